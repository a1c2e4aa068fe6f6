/** Places that run side by side up to a bound; waiters are served by priority, then by arrival. */

interface Waiter {
  readonly priority: readonly number[];
  readonly arrival: number;
  readonly grant: () => void;
}

export type Release = () => void;

export class Slots {
  readonly #size: number;
  readonly #waiters: Waiter[] = [];
  #taken = 0;
  #arrivals = 0;
  #isServing = false;

  constructor(size: number) {
    this.#size = size;
  }

  /**
   * Waits for a place and gives the function that hands it back. Lower
   * priorities come first. Throws the signal's reason when it aborts first.
   */
  take(signal: AbortSignal, priority: readonly number[] = []): Promise<Release> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const giveUp = (): void => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(signal.reason as Error);
      };
      const waiter: Waiter = {
        priority,
        arrival: this.#arrivals++,
        grant: () => {
          signal.removeEventListener('abort', giveUp);
          let isBack = false;
          resolve(() => {
            if (isBack) return;
            isBack = true;
            this.#taken -= 1;
            this.#serveSoon();
          });
        },
      };
      signal.addEventListener('abort', giveUp, { once: true });
      this.#waiters.push(waiter);
      this.#serveSoon();
    });
  }

  /** Places are given at the end of the turn, so that all who came in it are compared. */
  #serveSoon(): void {
    if (this.#isServing) return;
    this.#isServing = true;
    setImmediate(() => {
      this.#isServing = false;
      this.#waiters.sort(compare);
      while (this.#taken < this.#size) {
        const next = this.#waiters.shift();
        if (next === undefined) return;
        this.#taken += 1;
        next.grant();
      }
    });
  }
}

function compare(a: Waiter, b: Waiter): number {
  for (let i = 0; i < Math.max(a.priority.length, b.priority.length); i++) {
    const difference = (a.priority[i] ?? 0) - (b.priority[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.arrival - b.arrival;
}
