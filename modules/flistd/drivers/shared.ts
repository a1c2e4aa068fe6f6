/** One run of a piece of work for all who ask for it at the same time. */
interface Running<T> {
  readonly result: Promise<T>;
  readonly stop: AbortController;
  waiting: number;
}

export class Shared<T> {
  readonly #running = new Map<string, Running<T>>();

  /**
   * The result of `work` for `key`. It goes on while anyone waits for it and is
   * aborted when the last one has given up.
   */
  async run(key: string, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const running = this.#running.get(key) ?? this.#start(key, work);
    running.waiting++;
    let giveUp: (() => void) | undefined;
    const given = new Promise<never>((_, reject) => {
      giveUp = () => reject(signal.reason as Error);
      signal.addEventListener('abort', giveUp, { once: true });
    });
    try {
      return await Promise.race([running.result, given]);
    } finally {
      if (giveUp !== undefined) signal.removeEventListener('abort', giveUp);
      running.waiting--;
      if (running.waiting === 0) {
        // Nobody joins a run that is being stopped.
        if (this.#running.get(key) === running) this.#running.delete(key);
        running.stop.abort();
      }
    }
  }

  #start(key: string, work: (signal: AbortSignal) => Promise<T>): Running<T> {
    const stop = new AbortController();
    const result = work(stop.signal);
    const running: Running<T> = { result, stop, waiting: 0 };
    this.#running.set(key, running);
    const forget = (): void => {
      if (this.#running.get(key) === running) this.#running.delete(key);
    };
    result.then(forget, forget);
    return running;
  }
}
