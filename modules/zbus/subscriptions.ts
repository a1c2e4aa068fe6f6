/** Streams of events: one subscribed connection, any number of listeners. */
import type { Redis } from 'ioredis';
import { type BrokerAddress, type BusLog, closeConnection, openConnection, whenReady } from './broker.ts';
import { ZbusError } from './errors.ts';

const CONNECT_DEADLINE_MS = 5_000;
/** Events a listener may lag behind before it is disconnected. */
const BACKLOG_MOST = 1_024;

interface Listener {
  push(payload: Buffer): void;
  fail(error: ZbusError): void;
}

export class Subscriptions {
  readonly #address: BrokerAddress;
  readonly #log: BusLog;
  readonly #channels = new Map<string, Set<Listener>>();
  #redis: Redis | undefined;
  #closed = false;

  constructor(address: BrokerAddress, log: BusLog) {
    this.#address = address;
    this.#log = log;
  }

  async *listen(
    channel: string,
    read: (payload: Buffer) => unknown,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<unknown> {
    const events: Buffer[] = [];
    let failure: ZbusError | undefined;
    let wake: () => void = () => undefined;
    const listener: Listener = {
      push: (payload) => {
        if (events.length < BACKLOG_MOST) events.push(payload);
        else {
          failure ??= new ZbusError(
            'busy',
            `${channel}: the listener is ${BACKLOG_MOST} events behind and was disconnected; read faster, then listen again`,
            { call: channel },
          );
        }
        wake();
      },
      fail: (error) => {
        failure ??= error;
        wake();
      },
    };
    const onAbort = (): void => wake();
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await this.#add(channel, listener);
      while (!signal?.aborted) {
        const payload = events.shift();
        if (payload !== undefined) {
          const value = this.#read(channel, read, payload);
          if (value !== undefined) yield value;
        } else if (failure !== undefined) throw failure;
        else {
          await new Promise<void>((resolve) => {
            wake = resolve;
            if (signal?.aborted) resolve();
          });
        }
      }
    } finally {
      signal?.removeEventListener('abort', onAbort);
      this.#remove(channel, listener);
    }
  }

  close(): void {
    this.#closed = true;
    for (const listeners of this.#channels.values()) {
      for (const listener of listeners) listener.fail(new ZbusError('cancelled', 'this bus client was closed'));
    }
    closeConnection(this.#redis);
  }

  #read(channel: string, read: (payload: Buffer) => unknown, payload: Buffer): unknown {
    try {
      return read(payload);
    } catch (error) {
      this.#log.warn({ err: error, channel, bytes: payload.length }, 'an event cannot be read and is dropped');
      return undefined;
    }
  }

  async #add(channel: string, listener: Listener): Promise<void> {
    if (this.#closed) throw new ZbusError('cancelled', `${channel}: this bus client is closed`, { call: channel });
    const redis = this.#connection();
    const listeners = this.#channels.get(channel) ?? new Set();
    this.#channels.set(channel, listeners);
    listeners.add(listener);
    await whenReady(redis, CONNECT_DEADLINE_MS);
    await redis.subscribe(channel).catch((cause: unknown) => {
      throw new ZbusError('bus_lost', `${channel}: the broker was lost while subscribing`, { call: channel, cause });
    });
  }

  #remove(channel: string, listener: Listener): void {
    const listeners = this.#channels.get(channel);
    listeners?.delete(listener);
    if (listeners === undefined || listeners.size > 0) return;
    this.#channels.delete(channel);
    // A subscription that outlives its listeners costs little; losing the broker ends it too.
    if (this.#redis?.status === 'ready') this.#redis.unsubscribe(channel).catch(() => undefined);
  }

  #connection(): Redis {
    if (this.#redis !== undefined) return this.#redis;
    const redis = openConnection(this.#address, 'events', this.#log, { autoResubscribe: true });
    redis.on('messageBuffer', (channel: Buffer, payload: Buffer) => {
      for (const listener of this.#channels.get(channel.toString()) ?? []) listener.push(payload);
    });
    this.#redis = redis;
    return redis;
  }
}
