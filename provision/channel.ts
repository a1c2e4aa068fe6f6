/** Values from many places to one reader, in order; what the reader can not keep up with is dropped, oldest first. */
export class Channel<T> {
  readonly #bound: number;
  readonly #values: T[] = [];
  #wake: (() => void) | undefined;
  #dropped = 0;

  constructor(bound: number) {
    this.#bound = bound;
  }

  /** Values that no reader has seen and never will. */
  get dropped(): number {
    return this.#dropped;
  }

  push(value: T): void {
    this.#values.push(value);
    if (this.#values.length > this.#bound) {
      this.#values.shift();
      this.#dropped += 1;
    }
    this.#wake?.();
  }

  /** Every value until the signal aborts. One reader at a time. */
  async *read(signal: AbortSignal): AsyncGenerator<T> {
    while (!signal.aborted) {
      const value = this.#values.shift();
      if (value !== undefined) yield value;
      else await this.#next(signal);
    }
  }

  #next(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#wake = undefined;
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#wake = done;
      signal.addEventListener('abort', done, { once: true });
    });
  }
}
