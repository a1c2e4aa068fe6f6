/** Tells those who wait that some workload changed its state. */

/** Whose changes somebody waits for: a deployment's, a twin's, or everybody's. */
export type About = { readonly deployment: string } | { readonly twin: number } | undefined;

export class Settled {
  readonly #listeners = new Map<string, Set<() => void>>();

  /** Something changed of this deployment. */
  tell(deployment: string, twin: number): void {
    for (const key of [keyOf({ deployment }), keyOf({ twin }), keyOf(undefined)]) {
      const listeners = this.#listeners.get(key);
      if (listeners !== undefined) for (const listener of [...listeners]) listener();
    }
  }

  /** Looks again after every change until it is so. Throws an `AbortError` when the signal aborts first. */
  async until(signal: AbortSignal, isSo: () => boolean, about?: About): Promise<void> {
    while (!isSo()) await this.#change(keyOf(about), signal);
  }

  #change(key: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(ended(signal));
        return;
      }
      const listeners = this.#listeners.get(key) ?? new Set();
      this.#listeners.set(key, listeners);
      const leave = (): void => {
        listeners.delete(changed);
        if (listeners.size === 0 && this.#listeners.get(key) === listeners) this.#listeners.delete(key);
        signal.removeEventListener('abort', aborted);
      };
      const changed = (): void => {
        leave();
        resolve();
      };
      const aborted = (): void => {
        leave();
        reject(ended(signal));
      };
      listeners.add(changed);
      signal.addEventListener('abort', aborted, { once: true });
    });
  }
}

function ended(signal: AbortSignal): DOMException {
  return new DOMException('the wait was ended', { name: 'AbortError', cause: signal.reason });
}

function keyOf(about: About): string {
  if (about === undefined) return '';
  return 'twin' in about ? `twin ${about.twin}` : about.deployment;
}
