/** Answers to peers that ignore where a caller waits and push to a list named after the call. */
import type { Redis } from 'ioredis';
import { type BrokerAddress, type BusLog, closeConnection, openConnection, whenReady } from './broker.ts';
import { ZbusError } from './errors.ts';
import type { Response } from './frames.ts';
import { Places } from './order.ts';
import { readResponse, type Waiting } from './replies.ts';

/** Each waiting call holds a connection of its own. */
const CONNECTIONS_MOST = 20;
const CONNECT_DEADLINE_MS = 5_000;
const POP_SECONDS = 10;

export class ReplyPool {
  readonly #address: BrokerAddress;
  readonly #log: BusLog;
  readonly #places = new Places(CONNECTIONS_MOST);
  readonly #idle: Redis[] = [];
  readonly #busy = new Set<Redis>();
  readonly #closing = new AbortController();

  constructor(address: BrokerAddress, log: BusLog) {
    this.#address = address;
    this.#log = log;
  }

  /** The answer on the list `id`; `signal` ends the wait. */
  expect(id: string, signal: AbortSignal): Waiting {
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    promise.catch(() => undefined);
    const waiting = {
      answer: promise,
      settled: false,
      reject: (error: ZbusError) => {
        waiting.settled = true;
        reject(error);
      },
    };
    const either = AbortSignal.any([signal, this.#closing.signal]);
    this.#read(id, either).then(
      (response) => {
        waiting.settled = true;
        resolve(response);
      },
      (cause: unknown) => {
        if (signal.aborted) return;
        if (cause instanceof ZbusError && cause.kind === 'protocol') {
          waiting.reject(cause);
          return;
        }
        const reason = this.#closing.signal.aborted ? 'this bus client was closed' : (cause as Error).message;
        const kind = this.#closing.signal.aborted ? 'cancelled' : 'bus_lost';
        waiting.reject(new ZbusError(kind, `${reason} while the call was under way; it may or may not run`, { cause }));
      },
    );
    return waiting;
  }

  close(): void {
    this.#closing.abort();
    for (const redis of [...this.#idle.splice(0), ...this.#busy]) closeConnection(redis);
  }

  async #read(id: string, signal: AbortSignal): Promise<Response> {
    await this.#places.take();
    const redis = this.#idle.pop() ?? openConnection(this.#address, 'reply', this.#log);
    this.#busy.add(redis);
    // A pop that is given up would eat the answer of the next call on this connection.
    const end = (): void => closeConnection(redis);
    signal.addEventListener('abort', end, { once: true });
    try {
      for (;;) {
        signal.throwIfAborted();
        await whenReady(redis, CONNECT_DEADLINE_MS, signal);
        const found = await redis.blpopBuffer(id, POP_SECONDS);
        if (found !== null) return readResponse(found[1]);
      }
    } finally {
      signal.removeEventListener('abort', end);
      this.#busy.delete(redis);
      if (signal.aborted || redis.status !== 'ready') closeConnection(redis);
      else this.#idle.push(redis);
      this.#places.give();
    }
  }
}
