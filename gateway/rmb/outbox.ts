/** Messages on their way to any of a twin's relays; waits where no line is open, within bounds. */
import { RmbError } from './errors.ts';
import type { RelaySocket } from './socket.ts';

const MAX_MESSAGES = 2048;
const MAX_BYTES = 32 * 1024 * 1024;

interface Waiting {
  readonly bytes: Uint8Array;
  /** For a line that took it and could not send it. */
  readonly again: () => void;
  readonly done: (end: RelaySocket | RmbError) => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

export class Outbox {
  readonly #sockets: () => readonly RelaySocket[];
  #queue = new Set<Waiting>();
  #bytes = 0;
  #last: RelaySocket | undefined;
  #closed = false;

  constructor(sockets: () => readonly RelaySocket[]) {
    this.#sockets = sockets;
  }

  /**
   * Resolves with the relay whose line took the message. Rejects with `RmbError`
   * `relay-lost` after `waitMs` or `busy` when too much waits already. A message
   * that a line took and could not send goes to the next one within the same time.
   */
  send(bytes: Uint8Array, waitMs: number, signal?: AbortSignal): Promise<RelaySocket> {
    if (this.#closed) return Promise.reject(closedError());
    if (signal?.aborted) return Promise.reject(cancelledError(signal));
    const again = this.#again(bytes, Date.now() + waitMs, signal);
    const took = this.#queue.size === 0 ? this.#offer(bytes, again) : undefined;
    if (took !== undefined) return Promise.resolve(took);
    if (this.#queue.size >= MAX_MESSAGES || this.#bytes + bytes.length > MAX_BYTES) {
      return Promise.reject(
        new RmbError('busy', `${this.#queue.size} messages (${this.#bytes} bytes) wait for a relay already`),
      );
    }
    return new Promise((resolve, reject) => {
      const give = (): void => finish(new RmbError('relay-lost', this.#problem(waitMs)));
      const onAbort = (): void => finish(cancelledError(signal));
      const finish = (end: RelaySocket | RmbError): void => {
        clearTimeout(waiting.timer);
        signal?.removeEventListener('abort', onAbort);
        if (this.#queue.delete(waiting)) this.#bytes -= bytes.length;
        if (end instanceof RmbError) reject(end);
        else resolve(end);
      };
      const waiting: Waiting = { bytes, again, done: finish, timer: setTimeout(give, waitMs) };
      this.#queue.add(waiting);
      this.#bytes += bytes.length;
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Offers a message to one relay; whether its line took it. Where that cannot send it, another has `waitMs`. */
  sendBy(socket: RelaySocket, bytes: Uint8Array, waitMs: number): boolean {
    return this.#queue.size === 0 && socket.trySend(bytes, this.#again(bytes, Date.now() + waitMs, undefined));
  }

  /** Offers a message a relay refused to the others, once; the one that took it, if any. */
  sendElsewhere(bytes: Uint8Array, refusedBy: ReadonlySet<RelaySocket>): RelaySocket | undefined {
    for (const socket of this.#order()) {
      if (!refusedBy.has(socket) && socket.trySend(bytes)) return socket;
    }
    return undefined;
  }

  /** Sends what waits, oldest first, as far as there is room. */
  flush(): void {
    for (const waiting of this.#queue) {
      const took = this.#offer(waiting.bytes, waiting.again);
      if (took === undefined) return;
      waiting.done(took);
    }
  }

  close(): void {
    this.#closed = true;
    for (const waiting of this.#queue) waiting.done(closedError());
  }

  #again(bytes: Uint8Array, deadlineAt: number, signal: AbortSignal | undefined): () => void {
    return () => {
      const leftMs = deadlineAt - Date.now();
      if (this.#closed || leftMs <= 0 || signal?.aborted) return;
      // Who sent it was told that it left; what is lost from here ends by that one's own deadline.
      this.send(bytes, leftMs, signal).catch(() => undefined);
    };
  }

  #offer(bytes: Uint8Array, onFailed: () => void): RelaySocket | undefined {
    for (const socket of this.#order()) {
      if (!socket.trySend(bytes, onFailed)) continue;
      this.#last = socket;
      return socket;
    }
    return undefined;
  }

  /** The line that worked last goes first, those that made trouble moments ago last. */
  #order(): readonly RelaySocket[] {
    const sockets = this.#sockets();
    if (sockets.length === 1) return sockets;
    const rank = (socket: RelaySocket): number => (socket.cooling ? 2 : socket === this.#last ? 0 : 1);
    return sockets
      .map((socket) => ({ socket, rank: rank(socket) }))
      .sort((a, b) => a.rank - b.rank)
      .map(({ socket }) => socket);
  }

  #problem(waitMs: number): string {
    const relays = this.#sockets().map(({ url, open, lastProblem }) => `${url} (${open ? 'slow' : lastProblem})`);
    return `no relay took the message within ${waitMs} ms: ${relays.join(', ')}`;
  }
}

const closedError = (): RmbError => new RmbError('closed', 'the client was closed');

function cancelledError(signal: AbortSignal | undefined): RmbError {
  return new RmbError('cancelled', 'the call was cancelled', { cause: signal?.reason });
}
