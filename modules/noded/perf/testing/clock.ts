/** A clock that tests move: a calendar that can be set, and time that passes only when told. */
import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

export class TestClock implements Clock {
  #passedMs = 0;
  #calendarMs: number;
  readonly #sleepers = new Set<Sleeper>();

  constructor(start: string) {
    this.#calendarMs = Date.parse(start);
  }

  now(): number {
    return this.#calendarMs + this.#passedMs;
  }

  get text(): string {
    return new Date(this.now()).toISOString();
  }

  get sleepers(): number {
    return this.#sleepers.size;
  }

  /** Sets the calendar; no time passes. */
  set(text: string): void {
    this.#calendarMs = Date.parse(text) - this.#passedMs;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const onAbort = (): void => {
        this.#sleepers.delete(sleeper);
        reject(signal.reason);
      };
      const wake = (): void => {
        this.#sleepers.delete(sleeper);
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      const sleeper = { at: this.#passedMs + ms, wake };
      this.#sleepers.add(sleeper);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Lets `ms` pass, from one who wakes to the next; `quiet` says when all that was woken has gone on. */
  async pass(ms: number, quiet: () => boolean): Promise<void> {
    const end = this.#passedMs + ms;
    for (;;) {
      await until(quiet);
      const [first] = [...this.#sleepers].sort((a, b) => a.at - b.at);
      if (first === undefined || first.at > end) break;
      this.#passedMs = Math.max(this.#passedMs, first.at);
      first.wake();
    }
    this.#passedMs = end;
  }
}

/** Waits for what real files and promises still have to do. */
export async function until(condition: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > giveUpAt) throw new Error('this did not come about within 20 s');
    await turn();
  }
}
