/** A reading that serves everyone who asks within a time: however many they are, the host is read once. */
export class Remembered<T> {
  readonly #validMs: { readonly found: number; readonly failed: number };
  readonly #read: () => Promise<T>;
  #until = Number.NEGATIVE_INFINITY;
  #answer: Promise<T> | undefined;

  /** Milliseconds that an answer, and a failure, are good for. */
  constructor(validMs: { readonly found: number; readonly failed: number }, read: () => Promise<T>) {
    this.#validMs = validMs;
    this.#read = read;
  }

  get(): Promise<T> {
    if (this.#answer !== undefined && performance.now() < this.#until) return this.#answer;
    // Shared while it is not known, good from the moment it is.
    this.#until = Number.POSITIVE_INFINITY;
    const answer = this.#read();
    this.#answer = answer;
    answer.then(
      () => this.#keep(this.#validMs.found),
      () => this.#keep(this.#validMs.failed),
    );
    return answer;
  }

  #keep(milliseconds: number): void {
    this.#until = performance.now() + milliseconds;
  }
}
