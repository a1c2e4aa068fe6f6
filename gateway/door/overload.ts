/**
 * Check 11: nobody waits long at the door. A burst may wait, for it ends; when
 * for a whole interval not one request passed in time, the queue stands, and
 * from then on only as many are inside as pass in time. Judged by the quickest
 * of an interval, as CoDel (RFC 8289) does, so that no single slow one counts.
 */
import { GridError } from '../../schemas/errors/index.ts';
import type { DoorLimits } from './limits.ts';

/** Requests inside that are never too many, and verdicts from which on an interval says something. */
const FEW = 32;
const RETRY_AFTER_SECONDS = 1;

export class Overload {
  readonly #waitMs: number;
  readonly #intervalMs: number;
  #inside = 0;
  #allowed = Number.POSITIVE_INFINITY;
  #shortestMs = Number.POSITIVE_INFINITY;
  /** Of the interval that runs. */
  #beganAt = Number.NEGATIVE_INFINITY;
  #passed = 0;
  #quickestMs = Number.POSITIVE_INFINITY;
  #refused = 0;

  constructor(limits: Pick<DoorLimits, 'overloadWaitMs' | 'overloadIntervalMs'>) {
    this.#waitMs = limits.overloadWaitMs;
    this.#intervalMs = limits.overloadIntervalMs;
  }

  /** A function to call (once) with the time when the request has passed or failed, or a refusal. Steady milliseconds. */
  enter(nowMs: number): ((nowMs: number) => void) | GridError {
    this.#turn(nowMs);
    if (this.#inside >= this.#allowed) {
      this.#refused += 1;
      return new GridError('door_overloaded', {
        waitMs: Math.round(this.#shortestMs),
        limitMs: this.#waitMs,
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      });
    }
    this.#inside += 1;
    let left = false;
    return (leftAtMs) => {
      if (left) return;
      left = true;
      this.#inside -= 1;
      this.#turn(leftAtMs);
      this.#passed += 1;
      this.#quickestMs = Math.min(this.#quickestMs, leftAtMs - nowMs);
    };
  }

  /** Whether requests are turned away. */
  get standing(): boolean {
    return this.#allowed !== Number.POSITIVE_INFINITY;
  }

  #turn(nowMs: number): void {
    const elapsedMs = nowMs - this.#beganAt;
    if (elapsedMs < this.#intervalMs) return;
    // An interval in which nobody was turned away, or nobody came, ends it.
    const ended = this.standing && (this.#refused === 0 || elapsedMs > 2 * this.#intervalMs);
    const slow = this.#passed >= FEW && this.#quickestMs > this.#waitMs;
    if (ended) this.#allowed = Number.POSITIVE_INFINITY;
    else if (slow) this.#shortestMs = this.#quickestMs;
    if (!ended && (slow || this.standing)) {
      this.#allowed = Math.max(FEW, Math.floor((this.#passed / elapsedMs) * this.#waitMs));
    }
    this.#beganAt = nowMs;
    this.#passed = 0;
    this.#refused = 0;
    this.#quickestMs = Number.POSITIVE_INFINITY;
  }
}
