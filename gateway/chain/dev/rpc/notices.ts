/** What becomes of notifications on their way to the clients: sent, lost, or sent in another order. */

export class Notices {
  readonly #lost = new Map<string, number>();
  readonly #swapped = new Map<string, () => void>();
  readonly #swapping = new Set<string>();
  #isMute = false;

  /** Loses the next `count` notifications of that name. */
  lose(name: string, count: number): void {
    this.#lost.set(name, count);
  }

  /** Sends the next notification of that name after the one that follows it. */
  swap(name: string): void {
    this.#swapping.add(name);
  }

  /** While mute, nothing is notified. */
  set mute(isMute: boolean) {
    this.#isMute = isMute;
  }

  pass(name: string, send: () => void): void {
    if (this.#isMute) return;
    const lost = this.#lost.get(name) ?? 0;
    if (lost > 0) {
      this.#lost.set(name, lost - 1);
      return;
    }
    if (this.#swapping.delete(name)) {
      this.#swapped.set(name, send);
      return;
    }
    send();
    const late = this.#swapped.get(name);
    this.#swapped.delete(name);
    late?.();
  }
}
