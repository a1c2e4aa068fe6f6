/** Connections that have not shown who they are: where too many wait, the one that waits longest goes. */
import type { Socket } from 'node:net';

export class Strangers {
  readonly #places: number;
  /** In the order of their coming. */
  readonly #waiting = new Set<Socket>();

  constructor(places: number) {
    this.#places = places;
  }

  /**
   * A handshake takes moments, and who only wants to hold a place is slow: so
   * the newest gets in, however many places others hold.
   */
  enter(socket: Socket): void {
    for (const oldest of this.#waiting) {
      if (this.#waiting.size < this.#places) break;
      this.#waiting.delete(oldest);
      oldest.destroy();
    }
    this.#waiting.add(socket);
    socket.once('close', () => this.#waiting.delete(socket));
  }

  /** It has shown its token. */
  leave(socket: Socket): void {
    this.#waiting.delete(socket);
  }
}
