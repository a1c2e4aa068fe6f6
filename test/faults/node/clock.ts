/** A clock for each world: what runs in one sees its jumps, whatever the others' show. */
import { AsyncLocalStorage } from 'node:async_hooks';

export interface Clock {
  /** Milliseconds that it is ahead of the machine's. */
  ahead: number;
}

const current = new AsyncLocalStorage<Clock>();
const now = Date.now;
let isInstalled = false;

/** Runs `work`, and all that comes of it, by that clock. */
export function byClock<T>(clock: Clock, work: () => T): T {
  if (!isInstalled) {
    isInstalled = true;
    Date.now = () => now() + (current.getStore()?.ahead ?? 0);
  }
  return current.run(clock, work);
}
