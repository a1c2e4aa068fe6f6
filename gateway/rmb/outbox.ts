/** Messages on their way to any of a twin's relays; waits where no line is open, within bounds. */
import { RmbError } from './errors.ts';
import type { RelaySocket } from './socket.ts';

const MAX_MESSAGES = 2048;
const MAX_BYTES = 32 * 1024 * 1024;

interface Waiting {
  readonly bytes: Uint8Array;
  readonly done: (error?: RmbError) => void;
  readonly timer: NodeJS.Timeout;
}

export class Outbox {
  readonly #sockets: () => readonly RelaySocket[];
  #queue = new Set<Waiting>();
  #bytes = 0;
  #last: RelaySocket | undefined;

  constructor(sockets: () => readonly RelaySocket[]) {
    this.#sockets = sockets;
  }

  /**
   * Resolves when a relay's line took the message. Rejects with `RmbError`
   * `relay-lost` after `waitMs` or `busy` when too much waits already.
   */
  send(bytes: Uint8Array, waitMs: number, signal?: AbortSignal): Promise<void> {
    if (this.#queue.size === 0 && this.#offer(bytes)) return Promise.resolve();
    if (this.#queue.size >= MAX_MESSAGES || this.#bytes + bytes.length > MAX_BYTES) {
      return Promise.reject(
        new RmbError('busy', `${this.#queue.size} messages (${this.#bytes} bytes) wait for a relay already`),
      );
    }
    return new Promise((resolve, reject) => {
      const give = (): void => finish(new RmbError('relay-lost', this.#problem(waitMs)));
      const onAbort = (): void => finish(new RmbError('cancelled', 'the call was cancelled'));
      const finish = (error?: RmbError): void => {
        clearTimeout(waiting.timer);
        signal?.removeEventListener('abort', onAbort);
        if (this.#queue.delete(waiting)) this.#bytes -= bytes.length;
        if (error === undefined) resolve();
        else reject(error);
      };
      const waiting: Waiting = { bytes, done: finish, timer: setTimeout(give, waitMs) };
      this.#queue.add(waiting);
      this.#bytes += bytes.length;
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Sends what waits, oldest first, as far as there is room. */
  flush(): void {
    for (const waiting of this.#queue) {
      if (!this.#offer(waiting.bytes)) return;
      waiting.done();
    }
  }

  close(): void {
    for (const waiting of this.#queue) waiting.done(new RmbError('closed', 'the client was closed'));
  }

  /** The line that worked last goes first. */
  #offer(bytes: Uint8Array): boolean {
    if (this.#last?.trySend(bytes) === true) return true;
    for (const socket of this.#sockets()) {
      if (!socket.trySend(bytes)) continue;
      this.#last = socket;
      return true;
    }
    return false;
  }

  #problem(waitMs: number): string {
    const relays = this.#sockets().map(({ url, open, lastProblem }) => `${url} (${open ? 'slow' : lastProblem})`);
    return `no relay took the message within ${waitMs} ms: ${relays.join(', ')}`;
  }
}
