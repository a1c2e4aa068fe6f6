/** Check 7: no more than a twin's share, in requests a second and requests at once. */
import { LRUCache } from 'lru-cache';
import { GridError } from '../../schemas/errors/index.ts';
import type { DoorLimits } from './limits.ts';

interface Bucket {
  tokens: number;
  filledAt: number;
}

/** One token bucket a twin. */
export class RateLimit {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #buckets = new LRUCache<number, Bucket>({ max: 20_000 });

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
  }

  take(twin: number, nowMs: number): boolean {
    const bucket = this.#buckets.get(twin) ?? { tokens: this.#burst, filledAt: nowMs };
    const elapsed = Math.max(0, nowMs - bucket.filledAt) / 1000;
    bucket.tokens = Math.min(this.#burst, bucket.tokens + elapsed * this.#perSecond);
    bucket.filledAt = nowMs;
    this.#buckets.set(twin, bucket);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }
}

/** Requests that run now. */
export class Concurrency {
  readonly #limits: DoorLimits;
  readonly #perTwin = new Map<number, number>();
  #running = 0;

  constructor(limits: DoorLimits) {
    this.#limits = limits;
  }

  /** A function that gives the place back (once), or a refusal. */
  enter(twin: number): (() => void) | GridError {
    const { concurrency, concurrencyPerTwin } = this.#limits;
    const ofTwin = this.#perTwin.get(twin) ?? 0;
    if (ofTwin >= concurrencyPerTwin) {
      return new GridError('concurrency_exceeded', { twin, running: ofTwin, limit: concurrencyPerTwin });
    }
    if (this.#running >= concurrency) return new GridError('door_busy', { running: this.#running, limit: concurrency });
    this.#perTwin.set(twin, ofTwin + 1);
    this.#running += 1;
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#running -= 1;
      const now = (this.#perTwin.get(twin) ?? 1) - 1;
      if (now > 0) this.#perTwin.set(twin, now);
      else this.#perTwin.delete(twin);
    };
  }

  get running(): number {
    return this.#running;
  }
}
