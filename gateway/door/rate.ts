/** Check 9: no more requests a second than a twin's share, and than all may send together. */
import { LRUCache } from 'lru-cache';
import { GridError } from '../../schemas/errors/index.ts';
import type { DoorLimits } from './limits.ts';

/** Tokens that come at a steady rate, up to a burst. */
export class Bucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #filledAt = 0;

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** Takes a token; the milliseconds until there is one where there is none now. */
  take(nowMs: number): number {
    // A clock that was set back gives nothing and takes nothing.
    const elapsed = this.#filledAt === 0 ? 0 : Math.max(0, nowMs - this.#filledAt);
    this.#tokens = Math.min(this.#burst, this.#tokens + (elapsed * this.#perSecond) / 1000);
    this.#filledAt = nowMs;
    if (this.#tokens < 1) return ((1 - this.#tokens) * 1000) / this.#perSecond;
    this.#tokens -= 1;
    return 0;
  }
}

/** One bucket a twin. */
export class TwinBuckets {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #buckets = new LRUCache<number, Bucket>({ max: 20_000 });

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
  }

  take(twin: number, nowMs: number): number {
    let bucket = this.#buckets.get(twin);
    if (bucket === undefined) {
      bucket = new Bucket(this.#perSecond, this.#burst);
      this.#buckets.set(twin, bucket);
    }
    return bucket.take(nowMs);
  }
}

export class Rates {
  readonly #limits: DoorLimits;
  readonly #twins: TwinBuckets;
  readonly #all: Bucket;

  constructor(limits: DoorLimits) {
    this.#limits = limits;
    this.#twins = new TwinBuckets(limits.ratePerSecond, limits.rateBurst);
    this.#all = new Bucket(limits.ratePerSecondInAll, limits.rateBurstInAll);
  }

  check(twin: number, nowMs: number): GridError | undefined {
    const { ratePerSecond, rateBurst, ratePerSecondInAll, rateBurstInAll } = this.#limits;
    const waitMs = this.#twins.take(twin, nowMs);
    if (waitMs > 0) {
      const retryAfterSeconds = seconds(waitMs);
      return new GridError('rate_exceeded', { twin, perSecond: ratePerSecond, burst: rateBurst, retryAfterSeconds });
    }
    const waitInAllMs = this.#all.take(nowMs);
    if (waitInAllMs === 0) return undefined;
    return new GridError('rate_exceeded_in_all', {
      perSecond: ratePerSecondInAll,
      burst: rateBurstInAll,
      retryAfterSeconds: seconds(waitInAllMs),
    });
  }
}

/** Whole seconds, as clients that wait want them. */
const seconds = (milliseconds: number): number => Math.max(1, Math.ceil(milliseconds / 1000));
