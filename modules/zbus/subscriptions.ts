/** Streams of events: one subscribed connection, any number of listeners. */
import type { Redis } from 'ioredis';
import { type BrokerAddress, type BusLog, closeConnection, openConnection, pause, whenReady } from './broker.ts';
import { INTERRUPTED, WireError, ZbusError } from './errors.ts';
import { FRAME_MOST_BYTES } from './limits.ts';

const CONNECT_DEADLINE_MS = 5_000;
/** Events a listener may lag behind before it is disconnected. */
const BACKLOG_MOST = 1_024;
/** Between one try to have a snapshot and the next. */
const SNAPSHOT_PAUSE_MS = 500;

/** The subscription is in force: first, and again after each loss of the broker. Events may be missing before it. */
const SUBSCRIBED = Symbol('subscribed');
type Subscribed = typeof SUBSCRIBED;

/** What a stream with a snapshot gives. */
export type Followed<S, E> =
  | { readonly kind: 'snapshot'; readonly value: S }
  | { readonly kind: 'event'; readonly value: E };

interface Listener {
  push(payload: Buffer | Subscribed): void;
  fail(error: ZbusError): void;
}

export class Subscriptions {
  readonly #address: BrokerAddress;
  readonly #log: BusLog;
  readonly #channels = new Map<string, Set<Listener>>();
  readonly #closing = new AbortController();
  #redis: Redis | undefined;

  constructor(address: BrokerAddress, log: BusLog) {
    this.#address = address;
    this.#log = log;
  }

  async *listen(
    channel: string,
    read: (payload: Buffer) => unknown,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<unknown> {
    for await (const payload of this.#receive(channel, signal)) {
      if (payload === SUBSCRIBED) continue;
      const value = this.#read(channel, read, payload);
      if (value !== undefined) yield value;
    }
  }

  /**
   * A snapshot, the events since it was begun, and both again after each loss
   * of the broker. An event may tell what its snapshot has already; none is
   * between the two and told by neither.
   */
  async *follow<S>(
    channel: string,
    read: (payload: Buffer) => unknown,
    snapshot: (signal: AbortSignal) => Promise<S>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Followed<S, unknown>> {
    const either = signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
    for await (const payload of this.#receive(channel, signal)) {
      if (payload === SUBSCRIBED) {
        const taken = await this.#take(channel, snapshot, either);
        if (taken !== undefined) yield { kind: 'snapshot', value: taken.value };
      } else {
        const value = this.#read(channel, read, payload);
        if (value !== undefined) yield { kind: 'event', value };
      }
    }
  }

  close(): void {
    this.#closing.abort();
    for (const listeners of this.#channels.values()) {
      for (const listener of listeners) listener.fail(new ZbusError('cancelled', 'this bus client was closed'));
    }
    closeConnection(this.#redis);
  }

  /** Asks again while the module or the broker is away. */
  async #take<S>(
    channel: string,
    snapshot: (signal: AbortSignal) => Promise<S>,
    signal: AbortSignal,
  ): Promise<{ value: S } | undefined> {
    while (!signal.aborted) {
      try {
        return { value: await snapshot(signal) };
      } catch (error) {
        if (signal.aborted) return undefined;
        if (!isPassing(error)) throw error;
        this.#log.warn({ err: error, channel, againInMs: SNAPSHOT_PAUSE_MS }, 'a snapshot could not be had yet');
        await pause(SNAPSHOT_PAUSE_MS, signal);
      }
    }
    return undefined;
  }

  async *#receive(channel: string, signal: AbortSignal | undefined): AsyncGenerator<Buffer | Subscribed> {
    const events: Array<Buffer | Subscribed> = [];
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
        if (payload !== undefined) yield payload;
        else if (failure !== undefined) throw failure;
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

  #read(channel: string, read: (payload: Buffer) => unknown, payload: Buffer): unknown {
    try {
      if (payload.length > FRAME_MOST_BYTES) throw new WireError(`larger than ${FRAME_MOST_BYTES} bytes`);
      return read(payload);
    } catch (error) {
      this.#log.warn({ err: error, channel, bytes: payload.length }, 'an event cannot be read and is dropped');
      return undefined;
    }
  }

  async #add(channel: string, listener: Listener): Promise<void> {
    if (this.#closing.signal.aborted) throw closedClient(channel);
    const redis = this.#connection();
    await whenReady(redis, CONNECT_DEADLINE_MS, this.#closing.signal);
    // Joined in the turn in which the subscription leaves: one that is lost with the broker is made anew with the others.
    const listeners = this.#channels.get(channel) ?? new Set();
    this.#channels.set(channel, listeners);
    listeners.add(listener);
    await redis.subscribe(channel).catch((cause: unknown) => {
      if (this.#closing.signal.aborted) throw closedClient(channel);
      throw new ZbusError('bus_lost', `${channel}: the broker was lost while subscribing`, { call: channel, cause });
    });
    listener.push(SUBSCRIBED);
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
    const redis = openConnection(this.#address, 'events', this.#log);
    redis.on('messageBuffer', (channel: Buffer, payload: Buffer) => {
      for (const listener of this.#channels.get(channel.toString()) ?? []) listener.push(payload);
    });
    redis.on('ready', () => this.#subscribeAgain(redis));
    this.#redis = redis;
    return redis;
  }

  #subscribeAgain(redis: Redis): void {
    const channels = [...this.#channels].map(([channel, listeners]) => ({ channel, listeners: [...listeners] }));
    if (channels.length === 0) return;
    redis.subscribe(...channels.map(({ channel }) => channel)).then(
      () => {
        for (const { listeners } of channels) for (const listener of listeners) listener.push(SUBSCRIBED);
      },
      // Lost again: the next connection subscribes.
      (error: unknown) => this.#log.debug({ reason: String(error) }, 'subscribing again failed'),
    );
  }
}

function closedClient(channel: string): ZbusError {
  return new ZbusError('cancelled', `${channel}: this bus client is closed`, { call: channel });
}

/** Whether asking again may help. */
function isPassing(error: unknown): boolean {
  if (!(error instanceof ZbusError)) return false;
  if (error.kind === 'call_failed') return error.remote?.code === INTERRUPTED;
  return error.kind !== 'protocol' && error.kind !== 'cancelled';
}
