/**
 * Check 11: nobody waits long at the door. A burst may wait, for it ends, and
 * so may callers that wait for an answer before they ask again. When for a
 * whole interval not one request passed in time and more came than passed, only
 * as many are let inside as pass in time. Judged by the quickest of an
 * interval, as CoDel (RFC 8289) does, so that no single slow one counts.
 */
import { GridError } from '../../schemas/errors/index.ts';
import type { DoorLimits } from './limits.ts';

/** Requests inside that are never too many, and verdicts from which on an interval says something. */
const FEW = 32;
const RETRY_AFTER_SECONDS = 1;
/** So many times what passed have to come for the queue to grow. */
const GROWTH = 1.1;
/** A wait of so many times the limit is too long also where the queue does not grow. */
const FAR_TOO_LONG = 10;

export class Overload {
  readonly #waitMs: number;
  readonly #intervalMs: number;
  #inside = 0;
  #allowed = Number.POSITIVE_INFINITY;
  #shortestMs = Number.POSITIVE_INFINITY;
  /** Of the interval that runs. */
  #beganAt = Number.NEGATIVE_INFINITY;
  #heldAtBegin = 0;
  #came = 0;
  #passed = 0;
  #quickestMs = Number.POSITIVE_INFINITY;
  #refused = 0;

  constructor(limits: Pick<DoorLimits, 'overloadWaitMs' | 'overloadIntervalMs'>) {
    this.#waitMs = limits.overloadWaitMs;
    this.#intervalMs = limits.overloadIntervalMs;
  }

  /** Counts one that another check turns away before it may enter. */
  came(nowMs: number): void {
    this.#turn(nowMs);
    this.#came += 1;
  }

  /** A function to call (once) with the time when the request has passed or failed, or a refusal. Steady milliseconds. */
  enter(nowMs: number): ((nowMs: number) => void) | GridError {
    this.came(nowMs);
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
    const grows = this.#came > GROWTH * this.#passed || this.#quickestMs > FAR_TOO_LONG * this.#waitMs;
    // Where an interval began with next to nobody inside, the first wave is still on its way through.
    const standing = this.#heldAtBegin >= FEW && this.#passed >= FEW;
    const slow = standing && this.#quickestMs > this.#waitMs && grows;
    if (ended) this.#allowed = Number.POSITIVE_INFINITY;
    else if (slow) this.#shortestMs = this.#quickestMs;
    if (!ended && (slow || this.standing)) {
      this.#allowed = Math.max(FEW, Math.floor((this.#passed / elapsedMs) * this.#waitMs));
    }
    this.#beganAt = nowMs;
    this.#heldAtBegin = this.#inside;
    this.#came = 0;
    this.#passed = 0;
    this.#refused = 0;
    this.#quickestMs = Number.POSITIVE_INFINITY;
  }
}
