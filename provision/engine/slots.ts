/** Places that run side by side up to a bound; waiters are served by priority, then by arrival. */

interface Waiter {
  readonly turn: Turn;
  readonly arrival: number;
  readonly grant: () => void;
}

export interface Turn {
  /** Lower comes first, compared number by number. */
  readonly priority?: readonly number[];
  /** Whose place it is, where one owner may not have them all. */
  readonly owner?: number;
}

export type Release = () => void;

export class Slots {
  readonly #size: number;
  readonly #sizePerOwner: number;
  readonly #waiters: Waiter[] = [];
  readonly #takenBy = new Map<number, number>();
  #taken = 0;
  #arrivals = 0;
  #isServing = false;

  /** `size` places, of which one owner has `sizePerOwner` at most. */
  constructor(size: number, sizePerOwner = size) {
    this.#size = size;
    this.#sizePerOwner = sizePerOwner;
  }

  /** Waits for a place and gives the function that hands it back. Throws the signal's reason when it aborts first. */
  take(signal: AbortSignal, turn: Turn = {}): Promise<Release> {
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
        turn,
        arrival: this.#arrivals++,
        grant: () => {
          signal.removeEventListener('abort', giveUp);
          let isBack = false;
          resolve(() => {
            if (isBack) return;
            isBack = true;
            this.#count(turn.owner, -1);
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
        const index = this.#waiters.findIndex(({ turn }) => this.#has(turn.owner) < this.#sizePerOwner);
        const [next] = index < 0 ? [] : this.#waiters.splice(index, 1);
        if (next === undefined) return;
        this.#count(next.turn.owner, 1);
        next.grant();
      }
    });
  }

  #has(owner: number | undefined): number {
    return owner === undefined ? 0 : (this.#takenBy.get(owner) ?? 0);
  }

  #count(owner: number | undefined, change: number): void {
    this.#taken += change;
    if (owner === undefined) return;
    const left = this.#has(owner) + change;
    if (left === 0) this.#takenBy.delete(owner);
    else this.#takenBy.set(owner, left);
  }
}

function compare({ turn: a, arrival: left }: Waiter, { turn: b, arrival: right }: Waiter): number {
  const [first, second] = [a.priority ?? [], b.priority ?? []];
  for (let i = 0; i < Math.max(first.length, second.length); i++) {
    const difference = (first[i] ?? 0) - (second[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return left - right;
}
