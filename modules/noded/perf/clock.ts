/** The time as the schedule needs it: the calendar, which may jump, and waiting, which may not. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface Clock {
  /** Milliseconds since 1970, as the host believes. */
  now(): number;
  /** Resolves after `ms` that really passed. Rejects when `signal` is aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export const hostClock: Clock = {
  now: () => Date.now(),
  sleep: async (ms, signal) => {
    await sleep(ms, undefined, { signal, ref: false });
  },
};
