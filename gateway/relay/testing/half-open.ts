/** A line that may die without anybody being told: bytes go in and nothing comes out. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export class HalfOpenLine {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** From now on what either side sends is taken and lost. */
  dead = false;

  private constructor(relayPort: number) {
    this.#server = createServer((near) => {
      const far = connect(relayPort, '127.0.0.1');
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(one);
        one.on('data', (chunk) => {
          if (!this.dead) other.write(chunk);
        });
        one.on('error', () => undefined);
        one.on('close', () => {
          this.#sockets.delete(one);
          if (!this.dead) other.destroy();
        });
      }
    });
  }

  static async to(relayPort: number): Promise<HalfOpenLine> {
    const line = new HalfOpenLine(relayPort);
    await new Promise<void>((resolve) => line.#server.listen(0, '127.0.0.1', resolve));
    return line;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}
