/** The way to the relay: one address that stays while the relay is ended and started anew on another port. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

const CONNECT = /^CONNECT \S+:80 HTTP\/1\.1\r\n/;
const HEAD_LIMIT = 4096;

export class Front {
  /** Port of the relay on loopback, 0 while there is none. */
  target = 0;
  readonly #plain: Server;
  readonly #proxy: Server;
  readonly #sockets = new Set<Socket>();

  private constructor() {
    this.#plain = createServer((near) => this.#join(near, Buffer.alloc(0)));
    this.#proxy = createServer((near) => this.#accept(near));
  }

  static async open(): Promise<Front> {
    const front = new Front();
    for (const server of [front.#plain, front.#proxy]) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
    }
    return front;
  }

  /** For what takes a URL with a port. */
  get relay(): string {
    return `ws://127.0.0.1:${(this.#plain.address() as AddressInfo).port}`;
  }

  /** For `HTTP_PROXY`: whatever name the caller asks for on port 80, it gets the relay. */
  get proxy(): string {
    return `http://127.0.0.1:${(this.#proxy.address() as AddressInfo).port}`;
  }

  /** Ends every line without a word. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    const closing = [this.#plain, this.#proxy].map((server) => new Promise((resolve) => server.close(resolve)));
    this.cut();
    await Promise.all(closing);
  }

  #accept(near: Socket): void {
    this.#keep(near);
    let head = Buffer.alloc(0);
    const read = (bytes: Buffer): void => {
      head = Buffer.concat([head, bytes]);
      const end = head.indexOf('\r\n\r\n');
      if (end === -1 && head.length < HEAD_LIMIT) return;
      near.off('data', read);
      if (end === -1 || !CONNECT.test(head.toString('latin1'))) near.end('HTTP/1.1 400 Bad Request\r\n\r\n');
      else {
        near.write('HTTP/1.1 200 OK\r\n\r\n');
        this.#join(near, head.subarray(end + 4));
      }
    };
    near.on('data', read);
  }

  #join(near: Socket, first: Buffer): void {
    if (this.target === 0) {
      near.destroy();
      return;
    }
    const far = connect(this.target, '127.0.0.1');
    this.#keep(near);
    this.#keep(far);
    far.write(first);
    near.pipe(far).pipe(near);
    near.once('close', () => far.destroy());
    far.once('close', () => near.destroy());
  }

  #keep(socket: Socket): void {
    if (this.#sockets.has(socket)) return;
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => this.#sockets.delete(socket));
  }
}
