/**
 * Check 11: a burst may wait, for it ends; a queue that load without end keeps
 * up may not. Requests are turned away when for a whole interval not one passed
 * in time, and either more came than a burst can have, and the backlog is
 * higher than ever, or even the quickest waited beyond what callers have
 * patience for. Then only as many are let inside as pass within that bound.
 * Judged by the quickest of an interval, as CoDel (RFC 8289) does, so that no
 * single slow one counts.
 */
import { GridError } from '../../schemas/errors/index.ts';
import type { DoorLimits } from './limits.ts';

/** Requests inside that are never too many, and verdicts from which on an interval says something. */
const FEW = 32;
const RETRY_AFTER_SECONDS = 1;
/** So many times the highest backlog until now is a new one: callers that wait for their answers never get there. */
const GROWTH = 1.1;
/** Milliseconds a burst may wait, on a slow machine too: existing callers wait 10 s and longer for their answers. */
const PATIENCE_MS = 3000;

export class Overload {
  readonly #waitMs: number;
  readonly #patienceMs: number;
  readonly #intervalMs: number;
  readonly #burst: number;
  #inside = 0;
  /** Requests that may be inside, and the wait that this is to give them. */
  #allowed = Number.POSITIVE_INFINITY;
  #boundMs: number;
  #shortestMs = Number.POSITIVE_INFINITY;
  /** Since a request last passed in time: all that came, those turned away for lack of room, the most that waited. */
  #came = 0;
  #excess = 0;
  #highest = 0;
  /** Of the interval that runs. */
  #beganAt = Number.NEGATIVE_INFINITY;
  #heldAtBegin = 0;
  #passed = 0;
  #quickestMs = Number.POSITIVE_INFINITY;
  #refused = 0;

  constructor(limits: Pick<DoorLimits, 'overloadWaitMs' | 'overloadIntervalMs' | 'concurrency'>) {
    this.#waitMs = limits.overloadWaitMs;
    this.#patienceMs = Math.max(PATIENCE_MS, limits.overloadWaitMs);
    this.#boundMs = this.#patienceMs;
    this.#intervalMs = limits.overloadIntervalMs;
    this.#burst = limits.concurrency;
  }

  /** Counts one that came when all places were taken. */
  full(nowMs: number): void {
    this.#turn(nowMs);
    this.#came += 1;
    this.#excess += 1;
  }

  /** A function to call (once) with the time when the request has passed or failed, or a refusal. Steady milliseconds. */
  enter(nowMs: number): ((nowMs: number) => void) | GridError {
    this.#turn(nowMs);
    this.#came += 1;
    if (this.#inside >= this.#allowed) {
      this.#refused += 1;
      this.#excess += 1;
      return new GridError('door_overloaded', {
        waitMs: Math.round(this.#shortestMs),
        limitMs: this.#boundMs,
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
    const silent = elapsedMs > 2 * this.#intervalMs;
    // An interval in which nobody was turned away, or nobody came, ends it.
    if (this.standing && (this.#refused === 0 || silent)) this.#open();
    else this.#judge(elapsedMs);
    if (silent || this.#quickestMs <= this.#waitMs) [this.#came, this.#excess, this.#highest] = [0, 0, 0];
    this.#highest = Math.max(this.#highest, this.#inside + this.#excess);
    this.#beganAt = nowMs;
    this.#heldAtBegin = this.#inside;
    this.#passed = 0;
    this.#refused = 0;
    this.#quickestMs = Number.POSITIVE_INFINITY;
  }

  #open(): void {
    this.#allowed = Number.POSITIVE_INFINITY;
    this.#boundMs = this.#patienceMs;
  }

  #judge(elapsedMs: number): void {
    // Where an interval began with next to nobody inside, the first wave is still on its way through.
    const says = this.#heldAtBegin >= FEW && this.#passed >= FEW;
    const slow = says && this.#quickestMs > this.#waitMs;
    // A burst has no more requests than there are places; callers come to more by asking again, but to no new height.
    const grows = this.#inside + this.#excess > GROWTH * this.#highest;
    const crowded = slow && this.#came > this.#burst && grows;
    if (!this.standing && !crowded && !(slow && this.#quickestMs > this.#patienceMs)) return;
    if (slow) this.#shortestMs = this.#quickestMs;
    if (crowded) this.#boundMs = this.#waitMs;
    this.#allowed = Math.max(FEW, Math.floor((this.#passed / elapsedMs) * this.#boundMs));
  }
}
