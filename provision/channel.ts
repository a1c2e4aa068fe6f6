/** Values from many places to one reader, in order; a reader that falls too far behind is told so, never left guessing. */

/** The reader was so far behind that values were given up; reading again goes on with newer ones. */
export class MissedError extends Error {
  override readonly name = 'MissedError';
  readonly missed: number;

  constructor(missed: number) {
    super(`the reader was ${missed} values behind, they are lost`);
    this.missed = missed;
  }
}

export class Channel<T> {
  readonly #bound: number;
  #values: T[] = [];
  #wake: (() => void) | undefined;
  #missed = 0;

  constructor(bound: number) {
    this.#bound = bound;
  }

  push(value: T): void {
    if (this.#missed > 0) this.#missed += 1;
    else if (this.#values.length < this.#bound) this.#values.push(value);
    else {
      this.#missed = this.#values.length + 1;
      this.#values = [];
    }
    this.#wake?.();
  }

  /** Every value until the signal aborts. One reader at a time. Throws `MissedError` when more than the bound waited. */
  async *read(signal: AbortSignal): AsyncGenerator<T> {
    while (!signal.aborted) {
      if (this.#missed > 0) {
        const missed = this.#missed;
        this.#missed = 0;
        throw new MissedError(missed);
      }
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
