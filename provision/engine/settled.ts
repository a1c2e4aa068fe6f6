/** Tells those who wait that some workload changed its state. */
import { EventEmitter, once } from 'node:events';

export class Settled {
  readonly #changes = new EventEmitter().setMaxListeners(0);

  tell(): void {
    this.#changes.emit('change');
  }

  /** Looks again after every change until it is so. Throws an `AbortError` when the signal aborts first. */
  async until(signal: AbortSignal, isSo: () => boolean): Promise<void> {
    while (!isSo()) await once(this.#changes, 'change', { signal });
  }
}
