/** A deployment's lane: what the engine knows of it while something is to be done, and the place it works in. */
import type { DeploymentId } from '../store/journal.ts';
import type { Hands } from './job.ts';
import { Interrupted } from './later.ts';
import type { Places, Release } from './places.ts';

/** Whom a lane waits beside for a place. */
export type Urgency = 'urgent' | 'work' | 'verify';

export class Lane {
  readonly id: DeploymentId;
  readonly twin: number;
  /** What runs by the journal is to be looked for on the host. */
  unverified = false;
  /** Of that, what was found or made since. */
  readonly seen = new Set<string>();
  /** Failures nobody foresaw, one after another. */
  failures = 0;
  delayMs = 0;
  /** Waits for time to pass. */
  isResting = false;
  /** And for long: it is put aside. */
  isParked = false;
  /** Until when, by the clock of the process, in milliseconds. */
  parkedUntil = 0;
  /** Resolves when the present turn is over; undefined between two. */
  running: Promise<void> | undefined;
  /** Gives up waiting for a place or for time to pass. */
  #leave: (() => void) | undefined;
  /** Of the present turn: its own, as one that followed the engine's would outlive it. */
  #signal = new AbortController();
  #ending = new AbortController();
  #isInterrupted = false;
  #places: Places | undefined;
  #release: Release | undefined;
  #resting = 0;

  constructor(id: DeploymentId, twin: number) {
    this.id = id;
    this.twin = twin;
  }

  /** For its turn or for time to pass. */
  get isWaiting(): boolean {
    return this.#leave !== undefined;
  }

  /** Waits for a place or for time, until `leave`. */
  wait(leave: () => void): void {
    this.#leave = leave;
  }

  leave(): void {
    this.#leave?.();
    this.#leave = undefined;
  }

  /** Its turn begins in a place; without one where it runs alone. */
  enter(places?: Places, release?: Release): void {
    this.#leave = undefined;
    this.isResting = false;
    this.#places = places;
    this.#release = release;
  }

  /** Its turn is over. */
  exit(): void {
    this.#places = undefined;
    this.#release?.();
    this.#release = undefined;
  }

  /** Ends what the lane does now: it looks at the journal again. */
  interrupt(): void {
    this.#isInterrupted = true;
    this.#end(new Interrupted('the deployment has something else to do'));
  }

  /** Something was asked of it since its last look at the journal. */
  get isInterrupted(): boolean {
    return this.#isInterrupted;
  }

  /** The engine stops: no step begins any more, and with `isNow` the one under way ends, too. */
  stop(reason: Error, isNow: boolean): void {
    if (isNow) this.#end(reason);
    else this.#ending.abort(reason);
  }

  /** For the next look at the journal. */
  hands(): Hands {
    this.#isInterrupted = false;
    this.#signal = new AbortController();
    this.#ending = new AbortController();
    const { signal: ending } = this.#ending;
    return {
      signal: this.#signal.signal,
      ending,
      rest: (waiting) => this.#rest(waiting, ending),
      seen: (workload) => this.seen.add(workload),
    };
  }

  #end(reason: Error): void {
    this.#ending.abort(reason);
    this.#signal.abort(reason);
  }

  async #rest<T>(waiting: () => Promise<T>, ending: AbortSignal): Promise<T> {
    this.#resting += 1;
    this.#release?.();
    this.#release = undefined;
    try {
      return await waiting();
    } finally {
      this.#resting -= 1;
      await this.#retake(ending);
    }
  }

  /** Takes a place again, unless another part of the lane still waits or has one. */
  async #retake(ending: AbortSignal): Promise<void> {
    const places = this.#places;
    if (places === undefined || this.#resting > 0 || this.#release !== undefined) return;
    const release = await places.take(ending, this.twin);
    if (this.#places === undefined || this.#resting > 0 || this.#release !== undefined) release();
    else this.#release = release;
  }
}
