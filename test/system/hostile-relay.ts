/** A relay that checks nothing: whatever a test gives it, the peer behind it gets. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type WebSocket, WebSocketServer } from 'ws';
import { decodeEnvelope, type Envelope } from '../../gateway/rmb/index.ts';

export class HostileRelay {
  readonly received: Envelope[] = [];
  readonly #server: WebSocketServer;
  #peer: WebSocket | undefined;

  private constructor(server: WebSocketServer) {
    this.#server = server;
    server.on('connection', (socket) => {
      this.#peer = socket;
      socket.on('message', (data: Buffer) => this.received.push(decodeEnvelope(data)));
      socket.on('error', () => undefined);
    });
  }

  static async open(): Promise<HostileRelay> {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
    await new Promise((resolve) => server.once('listening', resolve));
    return new HostileRelay(server);
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the relay does not listen');
    return `ws://127.0.0.1:${address.port}`;
  }

  send(bytes: Uint8Array): void {
    this.#peer?.send(bytes, { binary: true });
  }

  sendText(text: string): void {
    this.#peer?.send(text);
  }

  /** The first answer to `uid`; undefined when none came in time. */
  async answer(uid: string, deadlineMs = 20_000): Promise<Envelope | undefined> {
    for (const until = Date.now() + deadlineMs; Date.now() < until; await sleep(5)) {
      const found = this.received.find((envelope) => envelope.uid === uid);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  async close(): Promise<void> {
    this.#peer?.terminate();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
