/** Decides which calls of one object may run side by side, in the order they came. */

/** `read` beside everything, `object` alone among changes, a key alone among equal keys. */
export type Turn = 'read' | 'object' | { readonly key: string };

export class Lanes {
  /** Changes that came and are not finished. */
  readonly #changes = new Set<Promise<void>>();
  readonly #keys = new Map<string, Promise<void>>();
  #barrier: Promise<void> = Promise.resolve();

  /** Waits for the call's turn; the returned function ends it and must be called once. */
  async enter(turn: Turn): Promise<() => void> {
    if (turn === 'read') return () => undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    const before = turn === 'object' ? [...this.#changes] : [this.#barrier, this.#keys.get(turn.key)];
    this.#changes.add(promise);
    if (turn === 'object') this.#barrier = promise;
    else this.#keys.set(turn.key, promise);
    await Promise.all(before);
    return () => {
      this.#changes.delete(promise);
      if (turn !== 'object' && this.#keys.get(turn.key) === promise) this.#keys.delete(turn.key);
      resolve();
    };
  }
}

/** A counted number of places; waiters are served in the order they came. */
export class Places {
  #free: number;
  readonly #waiting: Array<() => void> = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** How many of `count` are taken, and not more than that. */
  taken(count: number): number {
    return Math.min(count, Math.max(0, count - this.#free));
  }

  async take(): Promise<void> {
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Takes a place that may not be there; as many are given back before another is free. */
  force(): void {
    this.#free--;
  }

  give(): void {
    if (this.#free < 0) {
      this.#free++;
      return;
    }
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}
