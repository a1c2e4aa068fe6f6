/**
 * Places for work that runs side by side up to a bound. Whoever waits is served in turns between owners,
 * and by arrival for one owner, so that nobody's many wait in front of another's one.
 */

export type Release = () => void;

interface Ticket {
  readonly key: string;
  readonly granted: (release: Release) => void;
}

export class Places {
  readonly #size: number;
  readonly #sizePerOwner: number;
  /** Who waits, by owner; the owner whose turn is next comes first. */
  readonly #waiting = new Map<number, Set<Ticket>>();
  readonly #takenBy = new Map<number, number>();
  #taken = 0;
  #queued = 0;
  #holds = 0;

  /** `size` places, of which one owner has `sizePerOwner` at most. */
  constructor(size: number, sizePerOwner = size) {
    this.#size = size;
    this.#sizePerOwner = sizePerOwner;
  }

  get taken(): number {
    return this.#taken;
  }

  get queued(): number {
    return this.#queued;
  }

  /** Calls `granted` with the function that hands the place back, at once where one is free. Returns how to give up waiting. */
  queue(owner: number, granted: (release: Release) => void, key = ''): () => void {
    const ticket: Ticket = { key, granted };
    const tickets = this.#waiting.get(owner);
    if (tickets === undefined) this.#waiting.set(owner, new Set([ticket]));
    else tickets.add(ticket);
    this.#queued += 1;
    this.#serve();
    return () => this.#remove(owner, ticket);
  }

  /** Waits for a place and gives the function that hands it back. Throws the signal's reason when it aborts first. */
  take(signal: AbortSignal, owner: number): Promise<Release> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason as Error);
        return;
      }
      let withdraw: () => void = () => undefined;
      const giveUp = (): void => {
        withdraw();
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', giveUp, { once: true });
      withdraw = this.queue(owner, (release) => {
        signal.removeEventListener('abort', giveUp);
        resolve(release);
      });
    });
  }

  /** From now on nobody is served; what runs goes on. Returns how to serve again. */
  hold(): () => void {
    this.#holds += 1;
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#holds -= 1;
      this.#serve();
    };
  }

  /** Keys of those who wait, in the order in which they would be served if places came free one by one. */
  *order(): Generator<string> {
    const turns = [...this.#waiting.values()].map((tickets) => tickets.values());
    while (turns.length > 0) {
      for (let at = 0; at < turns.length; ) {
        const next = turns[at]?.next();
        if (next === undefined || next.done === true) {
          turns.splice(at, 1);
          continue;
        }
        yield next.value.key;
        at += 1;
      }
    }
  }

  #serve(): void {
    while (this.#holds === 0 && this.#taken < this.#size) {
      const next = this.#next();
      if (next === undefined) return;
      const [owner, ticket] = next;
      this.#remove(owner, ticket);
      const tickets = this.#waiting.get(owner);
      if (tickets !== undefined) {
        // Its next one comes after everybody else's.
        this.#waiting.delete(owner);
        this.#waiting.set(owner, tickets);
      }
      this.#count(owner, 1);
      let isBack = false;
      ticket.granted(() => {
        if (isBack) return;
        isBack = true;
        this.#count(owner, -1);
        this.#serve();
      });
    }
  }

  #next(): readonly [number, Ticket] | undefined {
    for (const [owner, tickets] of this.#waiting) {
      if ((this.#takenBy.get(owner) ?? 0) >= this.#sizePerOwner) continue;
      for (const ticket of tickets) return [owner, ticket];
    }
    return undefined;
  }

  #remove(owner: number, ticket: Ticket): void {
    const tickets = this.#waiting.get(owner);
    if (tickets === undefined || !tickets.delete(ticket)) return;
    this.#queued -= 1;
    if (tickets.size === 0) this.#waiting.delete(owner);
  }

  #count(owner: number, change: number): void {
    this.#taken += change;
    const has = (this.#takenBy.get(owner) ?? 0) + change;
    if (has === 0) this.#takenBy.delete(owner);
    else this.#takenBy.set(owner, has);
  }
}
