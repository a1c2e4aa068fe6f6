/**
 * Runs what may have ended the process one at a time while nothing else runs: if the process dies again,
 * it is known of what.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Places } from './places.ts';

const LOOK_MS = 10;

export class Alone {
  readonly #others: readonly Places[];
  readonly #aloneMs: number;
  readonly #stopping: AbortSignal;
  readonly #waiting = new Map<string, () => Promise<void>>();
  #isRunning = false;

  /** `others` come to rest for `aloneMs` at most, and wait for that long at most while one runs. */
  constructor(others: readonly Places[], aloneMs: number, stopping: AbortSignal) {
    this.#others = others;
    this.#aloneMs = aloneMs;
    this.#stopping = stopping;
  }

  get keys(): Iterable<string> {
    return this.#waiting.keys();
  }

  /** `work` never rejects. Returns how to give up waiting. */
  queue(key: string, work: () => Promise<void>): () => void {
    this.#waiting.set(key, work);
    this.#serve();
    return () => void this.#waiting.delete(key);
  }

  #serve(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    const served = (): void => {
      this.#isRunning = false;
      if (this.#waiting.size > 0 && !this.#stopping.aborted) this.#serve();
    };
    this.#runAll().then(served, served);
  }

  async #runAll(): Promise<void> {
    // Whoever came in this turn of events is begun before it is waited for.
    await sleep(0);
    for (;;) {
      const [next] = this.#waiting;
      if (next === undefined || this.#stopping.aborted) return;
      const released = this.#others.map((places) => places.hold());
      const over = AbortSignal.any([AbortSignal.timeout(this.#aloneMs), this.#stopping]);
      try {
        while (this.#others.some(({ taken }) => taken > 0) && !over.aborted) await sleep(LOOK_MS);
        const [key, work] = next;
        // It may have given up.
        if (!this.#waiting.delete(key) || this.#stopping.aborted) continue;
        await Promise.race([work(), sleep(this.#aloneMs, undefined, { ref: false })]);
      } finally {
        for (const release of released) release();
      }
      // The others have their turn in between.
      await sleep(LOOK_MS);
    }
  }
}
