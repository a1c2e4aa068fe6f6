/**
 * Word that a caller has given up a call. Existing peers neither send nor read
 * it: the channel `<module>:cancel` carries the id of the request.
 */
import type { Redis } from 'ioredis';
import { type BrokerAddress, type BusLog, closeConnection, openConnection } from './broker.ts';

export function cancelChannel(module: string): string {
  return `${module}:cancel`;
}

/** Calls of one server that their callers may give up. */
export class Cancels {
  readonly #address: BrokerAddress;
  readonly #channel: string;
  readonly #log: BusLog;
  readonly #calls = new Map<string, AbortController>();
  #redis: Redis | undefined;

  constructor(address: BrokerAddress, module: string, log: BusLog) {
    this.#address = address;
    this.#channel = cancelChannel(module);
    this.#log = log;
  }

  /** Best effort: while the connection is away a caller is not heard, and its deadline still ends the call. */
  start(): void {
    const redis = openConnection(this.#address, 'cancels', this.#log);
    this.#redis = redis;
    redis.on('message', (_channel: string, id: string) => this.#calls.get(id)?.abort());
    redis.on('ready', () => {
      redis
        .subscribe(this.#channel)
        .catch((error: unknown) => this.#log.debug({ reason: String(error) }, 'callers that give up are not heard'));
    });
  }

  /** A signal that aborts when the caller gives up; `done` forgets the call. */
  follow(id: string): { readonly signal: AbortSignal; readonly done: () => void } {
    const given = new AbortController();
    this.#calls.set(id, given);
    return {
      signal: given.signal,
      done: () => {
        if (this.#calls.get(id) === given) this.#calls.delete(id);
      },
    };
  }

  stop(): void {
    closeConnection(this.#redis);
  }
}
