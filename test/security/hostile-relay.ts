/** A relay that does what it likes: takes every visitor, keeps every frame, and hands on what the test wants. */
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { decodeEnvelope, type Envelope, encodeEnvelope } from '../../gateway/rmb/index.ts';

export class HostileRelay {
  readonly frames: Uint8Array[] = [];
  readonly tokens: string[] = [];
  readonly #server: WebSocketServer;
  readonly #sockets = new Set<WebSocket>();
  /** Called with each envelope and the way back to its sender. */
  onEnvelope: (envelope: Envelope, reply: (envelope: Envelope) => void) => void = () => undefined;

  private constructor(server: WebSocketServer) {
    this.#server = server;
    server.on('connection', (socket, request) => {
      this.tokens.push(decodeURIComponent(request.url?.split('?')[1] ?? ''));
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => undefined);
      socket.on('message', (data: Buffer) => {
        this.frames.push(data);
        this.onEnvelope(decodeEnvelope(data), (envelope) => socket.send(encodeEnvelope(envelope)));
      });
    });
  }

  static async start(): Promise<HostileRelay> {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
    await new Promise<void>((resolve) => server.once('listening', resolve));
    return new HostileRelay(server);
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** To every peer that is connected. */
  send(bytes: Uint8Array): void {
    for (const socket of this.#sockets) socket.send(bytes);
  }

  /** Ends all connections. */
  drop(): void {
    for (const socket of this.#sockets) socket.terminate();
  }

  async stop(): Promise<void> {
    this.drop();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
