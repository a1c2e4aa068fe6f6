/** In which order the relays of a twin are asked: those that failed least lately first. */
import { LRUCache } from 'lru-cache';

const PERIOD_MS = 3_600_000;
const MAX_HOSTS = 4096;
const MAX_FAILURES = 256;

export class Ranking {
  readonly #periodMs: number;
  /** Times of failures; hosts come from chain records, so their number is bounded. */
  readonly #failures = new LRUCache<string, number[]>({ max: MAX_HOSTS });

  constructor(periodMs = PERIOD_MS) {
    this.#periodMs = periodMs;
  }

  failed(host: string, now = Date.now()): void {
    this.#failures.set(host, [...this.#recent(host, now), now].slice(-MAX_FAILURES));
  }

  /** Random among equals. */
  order(hosts: readonly string[], now = Date.now()): string[] {
    return hosts
      .map((host) => ({ host, failures: this.#recent(host, now).length, chance: Math.random() }))
      .sort((one, other) => one.failures - other.failures || one.chance - other.chance)
      .map(({ host }) => host);
  }

  #recent(host: string, now: number): number[] {
    return (this.#failures.get(host) ?? []).filter((at) => now - at < this.#periodMs);
  }
}
