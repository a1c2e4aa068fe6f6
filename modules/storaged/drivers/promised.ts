/** Bytes promised by name, and their sum, which costs the same however many names there are. */
export class PromisedBytes {
  readonly #bytes = new Map<string, number>();
  #sum = 0;

  /** Of all names together. Bytes are safe integers, so the sum is exact. */
  get sum(): number {
    return this.#sum;
  }

  /** `undefined`: nothing is promised by that name, or nobody knows. */
  set(name: string, bytes: number | undefined): void {
    this.#sum += (bytes ?? 0) - (this.#bytes.get(name) ?? 0);
    if (bytes === undefined) this.#bytes.delete(name);
    else this.#bytes.set(name, bytes);
  }

  /** Instead of all that was there. */
  replace(promised: Iterable<readonly [name: string, bytes: number]>): void {
    this.#bytes.clear();
    this.#sum = 0;
    for (const [name, bytes] of promised) this.set(name, bytes);
  }
}
