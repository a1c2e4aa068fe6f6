/** Check 10: no more requests at once, and no more bytes of them, than a twin's share and than there is room for. */
import { GridError } from '../../schemas/errors/index.ts';
import type { DoorLimits } from './limits.ts';

/** Requests that run now. */
export class Concurrency {
  readonly #limits: DoorLimits;
  readonly #perTwin = new Map<number, number>();
  #running = 0;
  #bytes = 0;

  constructor(limits: DoorLimits) {
    this.#limits = limits;
  }

  /** A function that gives the place back (once), or a refusal. */
  enter(twin: number, sizeBytes: number): (() => void) | GridError {
    const { concurrency, concurrencyPerTwin, bytesInAll } = this.#limits;
    const ofTwin = this.#perTwin.get(twin) ?? 0;
    if (ofTwin >= concurrencyPerTwin) {
      return new GridError('concurrency_exceeded', { twin, running: ofTwin, limit: concurrencyPerTwin });
    }
    if (this.#running >= concurrency) {
      return new GridError('door_busy', { running: this.#running, limit: concurrency, retryAfterSeconds: 1 });
    }
    if (this.#bytes + sizeBytes > bytesInAll) {
      return new GridError('door_full', {
        sizeBytes,
        runningBytes: this.#bytes,
        limitBytes: bytesInAll,
        retryAfterSeconds: 1,
      });
    }
    this.#perTwin.set(twin, ofTwin + 1);
    this.#running += 1;
    this.#bytes += sizeBytes;
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#running -= 1;
      this.#bytes -= sizeBytes;
      const now = (this.#perTwin.get(twin) ?? 1) - 1;
      if (now > 0) this.#perTwin.set(twin, now);
      else this.#perTwin.delete(twin);
    };
  }

  get running(): number {
    return this.#running;
  }
}
