/** The way to the relay: an address that stays while the relay dies, and a place where each message waits. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** First byte of a whole WebSocket message; pings, ends and handshakes have another. */
const MESSAGE = 0x82;

/** Resolves when the message may go on. */
type Listener = (site: string) => Promise<void>;

export class Line {
  /** Port of the relay on loopback, 0 while there is none. */
  target = 0;
  readonly #near: string;
  readonly #listener: Listener;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(near: string, listener: Listener) {
    this.#near = near;
    this.#listener = listener;
    this.#server = createServer((socket) => this.#join(socket));
  }

  /** `near` is who talks to the relay over it. */
  static async open(near: string, listener: Listener): Promise<Line> {
    const line = new Line(near, listener);
    line.#server.listen(0, '127.0.0.1');
    await once(line.#server, 'listening');
    return line;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Ends all that goes over it without a word. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(near: Socket): void {
    if (this.target === 0) {
      near.destroy();
      return;
    }
    const far = connect(this.target, '127.0.0.1');
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    this.#pass(near, far, `${this.#near} to relay`);
    this.#pass(far, near, `relay to ${this.#near}`);
  }

  #pass(from: Socket, to: Socket, site: string): void {
    let turn: Promise<unknown> = Promise.resolve();
    from.on('data', (chunk: Buffer) => {
      turn = turn
        .then(async () => {
          if (chunk[0] === MESSAGE) await this.#listener(site);
          if (!to.destroyed) to.write(chunk);
        })
        .catch(() => from.destroy());
    });
  }
}
