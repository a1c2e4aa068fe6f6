/** What the comparisons of the host with the journal have found so far, as numbers by kind. */
import type { HostItem } from './host.ts';

/** Of one kind, in the last run. */
export interface KindLeaks {
  readonly kind: string;
  /** Needed by nothing. */
  readonly found: number;
  readonly foundBytes: number;
  readonly removed: number;
  readonly removedBytes: number;
  /** Found and still there: too young, in use, beyond the cap, or not to be removed. */
  readonly kept: number;
  readonly keptBytes: number;
  /** Never known to this journal; never removed. */
  readonly unknown: number;
  readonly unknownBytes: number;
  /** Wanted and not there. */
  readonly missing: number;
}

export interface Leaks {
  /** Runs that ended since the process began. */
  readonly runs: number;
  /** Of the last run, milliseconds since 1970; 0 before the first. */
  readonly startedAt: number;
  readonly durationMs: number;
  /** Why the last run did not come to its end; empty when it did. */
  readonly error: string;
  /** Daemons that did not answer in the last run: nothing is said of their kinds. */
  readonly away: readonly string[];
  readonly kinds: readonly KindLeaks[];
  /** Since the process began, by kind. */
  readonly removedInAll: Readonly<Record<string, number>>;
  readonly failedInAll: Readonly<Record<string, number>>;
  readonly repairsInAll: Readonly<Record<string, number>>;
}

export const NO_LEAKS: Leaks = {
  ...{ runs: 0, startedAt: 0, durationMs: 0, error: '', away: [], kinds: [] },
  ...{ removedInAll: {}, failedInAll: {}, repairsInAll: {} },
};

type Counts = { -readonly [K in keyof KindLeaks]: KindLeaks[K] };

/** Counts of one run by kind. */
export class Tally {
  readonly #kinds = new Map<string, Counts>();

  found({ kind, bytes }: HostItem): void {
    const counts = this.#of(kind);
    counts.found += 1;
    counts.foundBytes += bytes;
    counts.kept += 1;
    counts.keptBytes += bytes;
  }

  removed({ kind, bytes }: HostItem): void {
    const counts = this.#of(kind);
    counts.removed += 1;
    counts.removedBytes += bytes;
    counts.kept -= 1;
    counts.keptBytes -= bytes;
  }

  unknown({ kind, bytes }: HostItem): void {
    const counts = this.#of(kind);
    counts.unknown += 1;
    counts.unknownBytes += bytes;
  }

  missing(kind: string): void {
    this.#of(kind).missing += 1;
  }

  get kinds(): KindLeaks[] {
    return [...this.#kinds.values()].sort((a, b) => (a.kind < b.kind ? -1 : 1)).map((one) => ({ ...one }));
  }

  #of(kind: string): Counts {
    const found = this.#kinds.get(kind);
    if (found !== undefined) return found;
    const none = { found: 0, removed: 0, kept: 0, unknown: 0, missing: 0 };
    const made = { kind, ...none, foundBytes: 0, removedBytes: 0, keptBytes: 0, unknownBytes: 0 };
    this.#kinds.set(kind, made);
    return made;
  }
}
