/** A relay that believes everybody and does what the test says with each message. */
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { address, createEnvelope, decodeEnvelope, type Envelope, encodeEnvelope, nowSeconds } from '../envelope.ts';

export class PlainRelay {
  readonly received: Envelope[] = [];
  /** What it does with a message; the answer's bytes, where there are any, go back. */
  onMessage: (envelope: Envelope, socket: WebSocket) => Uint8Array | undefined = () => undefined;
  /** What it gives to who connects. */
  onConnection: (socket: WebSocket) => void = () => undefined;
  readonly #server: WebSocketServer;

  private constructor(server: WebSocketServer) {
    this.#server = server;
    server.on('connection', (socket) => {
      socket.on('message', (data: Buffer) => {
        const envelope = decodeEnvelope(data);
        this.received.push(envelope);
        const answer = this.onMessage(envelope, socket);
        if (answer !== undefined) socket.send(answer);
      });
      this.onConnection(socket);
    });
  }

  static async start(port = 0): Promise<PlainRelay> {
    const server = new WebSocketServer({ port, host: '127.0.0.1', perMessageDeflate: false });
    await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject));
    return new PlainRelay(server);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  get sockets(): WebSocket[] {
    return [...this.#server.clients];
  }

  send(bytes: Uint8Array): void {
    for (const socket of this.#server.clients) socket.send(bytes);
  }

  /** Commands of the requests it got, in order. */
  get commands(): string[] {
    return this.received.flatMap(({ message }) => (message.case === 'request' ? [message.value.command] : []));
  }

  async stop(): Promise<void> {
    for (const socket of this.#server.clients) socket.terminate();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** A relay's own error to who sent `request`. */
export function relayError(request: Envelope, text: string): Uint8Array {
  return encodeEnvelope(
    createEnvelope({
      uid: request.uid,
      timestamp: BigInt(nowSeconds()),
      expiration: 300n,
      destination: address(request.source?.twin ?? 0, request.source?.connection),
      message: { case: 'error', value: { code: 0, message: text } },
    }),
  );
}
