/** A value that takes a while to read, for those who rather have it of a moment ago than wait. */

export interface RecentOptions<T> {
  readonly read: () => Promise<T>;
  /** Milliseconds for which a value serves. */
  readonly validMs: number;
  /** Milliseconds for which it still serves while another is being read. */
  readonly staleMs: number;
}

export class Recent<T> {
  readonly #options: RecentOptions<T>;
  #latest: { readonly value: T; readonly at: number } | undefined;
  #reading: Promise<void> | undefined;

  constructor(options: RecentOptions<T>) {
    this.#options = options;
  }

  /** The last value that was read, if any. */
  get latest(): T | undefined {
    return this.#latest?.value;
  }

  /** Where nothing new can be read the last value serves; throws what reading threw where there is none. */
  async get(signal?: AbortSignal): Promise<T> {
    const { validMs, staleMs } = this.#options;
    const age = this.#latest === undefined ? Number.POSITIVE_INFINITY : performance.now() - this.#latest.at;
    if (age > validMs) {
      this.#reading ??= this.#read();
      const reading = this.#reading;
      if (age > staleMs) await (signal === undefined ? reading : unlessAborted(reading, signal));
      else reading.catch(() => undefined);
    }
    if (this.#latest === undefined) throw new Error('nothing was read');
    return this.#latest.value;
  }

  async #read(): Promise<void> {
    try {
      this.#latest = { value: await this.#options.read(), at: performance.now() };
    } catch (error) {
      if (this.#latest === undefined) throw error;
    } finally {
      this.#reading = undefined;
    }
  }
}

/** What `work` comes to, or the signal's reason when it aborts first; `work` goes on then. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const giveUp = (): void => aborted.reject(signal.reason as Error);
  if (signal.aborted) giveUp();
  signal.addEventListener('abort', giveUp, { once: true });
  return Promise.race([work, aborted.promise]).finally(() => signal.removeEventListener('abort', giveUp));
}
