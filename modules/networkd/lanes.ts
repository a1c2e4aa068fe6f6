/** Work that must not run side by side: one queue a key, first come first served. */
export class Lanes {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs `work` after everything that was given the same key before; a failure does not stop those behind. */
  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const result = before.then(work, work);
    const settled = (): void => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    };
    const tail = result.then(settled, settled);
    this.#tails.set(key, tail);
    return result;
  }
}
