/** A TCP proxy that can fall silent: its sockets stay open and nothing passes. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export class TcpProxy {
  readonly #server: Server;
  readonly #pairs = new Set<readonly [near: Socket, far: Socket]>();
  #isSilent = false;
  accepted = 0;

  private constructor(target: URL) {
    this.#server = createServer((near) => {
      this.accepted += 1;
      const far = connect(Number(target.port), target.hostname);
      const pair = [near, far] as const;
      this.#pairs.add(pair);
      for (const socket of pair) {
        socket.on('error', () => undefined);
        socket.on('close', () => {
          this.#pairs.delete(pair);
          for (const one of pair) one.destroy();
        });
      }
      near.pipe(far);
      far.pipe(near);
      if (this.#isSilent) this.#hold(pair);
    });
  }

  /** Before a WebSocket server. */
  static async before(url: string): Promise<TcpProxy> {
    const proxy = new TcpProxy(new URL(url));
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Connections that are open. */
  get open(): number {
    return this.#pairs.size;
  }

  /** Nothing passes in either direction from now on, on present and new connections. */
  fallSilent(): void {
    this.#isSilent = true;
    for (const pair of this.#pairs) this.#hold(pair);
  }

  /** New connections pass again; what was held stays held. */
  speak(): void {
    this.#isSilent = false;
  }

  #hold([near, far]: readonly [Socket, Socket]): void {
    near.unpipe(far);
    far.unpipe(near);
    near.pause();
    far.pause();
  }

  async close(): Promise<void> {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
