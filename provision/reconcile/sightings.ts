/** Since when, and how often, something without an owner has been seen. Forgotten with the process, never by a clock. */

export interface Sighting {
  /** Milliseconds of a clock that only goes forward. */
  readonly since: number;
  readonly runs: number;
  readonly graceMs: number;
}

/** Something is seen for the first time in one run and may go in a later one. */
const RUNS = 2;

export class Sightings {
  #seen = new Map<string, Sighting>();

  /**
   * One run over: `now` are the things without an owner and how long each may stay. Others are forgotten, unless
   * `isUnseen` says that nobody could look for them.
   */
  update(seen: ReadonlyMap<string, number>, isUnseen: (key: string) => boolean, now: number): void {
    const next = new Map<string, Sighting>();
    for (const [key, before] of this.#seen) if (!seen.has(key) && isUnseen(key)) next.set(key, before);
    for (const [key, graceMs] of seen) {
      const before = this.#seen.get(key);
      next.set(key, before === undefined ? { since: now, runs: 1, graceMs } : { ...before, runs: before.runs + 1 });
    }
    this.#seen = next;
  }

  /** Milliseconds until it may go; 0 when it may now. */
  remainingMs(key: string, now: number): number {
    const sighting = this.#seen.get(key);
    if (sighting === undefined) return Number.POSITIVE_INFINITY;
    const left = Math.max(0, sighting.since + sighting.graceMs - now);
    return sighting.runs < RUNS ? Math.max(1, left) : left;
  }

  forget(key: string): void {
    this.#seen.delete(key);
  }
}
