/** Everything the peer does in the local Redis. */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { z } from 'zod';
import { newUid } from '../rmb/client.ts';
import { nowSeconds } from '../rmb/envelope.ts';
import type { LocalLimits } from './limits.ts';
import { MAX_MESSAGE_BYTES } from './messages.ts';
import { backlogKey, PRIVATE, serviceQueue } from './names.ts';
import { openRedis, type RedisPlace } from './redis.ts';
import * as scripts from './scripts.ts';

/** One message taken off a queue; it stays kept until it is confirmed. */
export interface Taken {
  readonly id: string;
  readonly text: string;
  /** Bytes the message had; of one too long `text` has the ends. */
  readonly sizeBytes: number;
  /** Unix seconds when it was taken for the first time. */
  readonly takenAt: number;
}

/** A request of a local client whose answers are to come. */
export interface Asked {
  readonly ref: string | null;
  readonly ret: string;
  /** Session of the destinations. */
  readonly session: string | undefined;
  readonly destinations: readonly number[];
  readonly expiresAtSeconds: number;
}

const Served = z.object({
  uid: z.string(),
  twin: z.int(),
  session: z.string().optional(),
  command: z.string(),
  encrypted: z.boolean(),
  expiresAtSeconds: z.int(),
});
/** A request of another twin that a local service is to answer. */
export type Served = z.infer<typeof Served>;

export type EnqueueResult = 'ok' | 'requests' | 'twin' | 'messages' | 'bytes';

const BLOCK_SECONDS = 5;
const RETRY_FIRST_MS = 100;
const RETRY_LONGEST_MS = 2000;
/** Relay errors one request may bring its sender, beyond one for each destination none. */
const RELAY = 'relay';

const pendingKey = (queue: string): string => `${PRIVATE}.${queue}.pending`;
const stagingKey = (queue: string): string => `${PRIVATE}.${queue}.staging`;
const SERVED_INDEX = `${PRIVATE}.served`;
const ASKED_INDEX = `${PRIVATE}.asked`;

/** The record of a request that a service answers: uids are the senders' own, so the sender is part of the name. */
function servedKey(address: string, uid: string): string {
  return `${PRIVATE}.served.${createHash('sha256').update(`${address}\n${uid}`).digest('hex')}`;
}

export class LocalStore {
  readonly redis: Redis;
  readonly #place: RedisPlace;
  readonly #log: Logger;
  readonly #limits: LocalLimits;
  readonly #hashes = new Map<string, string>();
  readonly #blocking = new Set<Redis>();
  readonly #stopping = new AbortController();

  constructor(place: RedisPlace, limits: LocalLimits, log: Logger) {
    this.#place = place;
    this.#limits = limits;
    this.#log = log;
    this.redis = openRedis(place, 'peer', log);
  }

  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  get ready(): boolean {
    return this.redis.status === 'ready';
  }

  /** Work in Redis that must be done: again and again until it is, `untilMs` comes, or the peer stops. */
  async insist<T>(work: () => Promise<T>, untilMs: number): Promise<T> {
    for (let pauseMs = RETRY_FIRST_MS; ; pauseMs = Math.min(RETRY_LONGEST_MS, pauseMs * 2)) {
      try {
        return await work();
      } catch (error) {
        if (this.stopping.aborted || Date.now() + pauseMs >= untilMs) throw error;
        await sleep(pauseMs, undefined, { signal: this.stopping }).catch(() => undefined);
      }
    }
  }

  /** At most `count` messages of a queue, oldest first. */
  async take(queue: string, count: number, bytes: number): Promise<Taken[]> {
    const ids = Array.from({ length: count }, () => newUid());
    const keys = [stagingKey(queue), queue, pendingKey(queue)];
    const now = nowSeconds();
    const taken = await this.#run(scripts.take, keys, [MAX_MESSAGE_BYTES, bytes, now, ...ids]);
    return (taken as [string, string, number][]).map(([id, text, sizeBytes]) => ({
      id,
      text,
      sizeBytes,
      takenAt: now,
    }));
  }

  /** A connection that waits for messages of one queue; what comes is safe while it is on its way. */
  waiter(queue: string): () => Promise<void> {
    const blocking = openRedis(this.#place, queue, this.#log, BLOCK_SECONDS);
    this.#blocking.add(blocking);
    return async () => {
      await blocking.blmove(queue, stagingKey(queue), 'RIGHT', 'LEFT', BLOCK_SECONDS);
    };
  }

  /** Messages taken and never confirmed. */
  async unconfirmed(queue: string): Promise<Taken[]> {
    const kept = await this.redis.hgetall(pendingKey(queue));
    return Object.entries(kept).map(([id, value]) => {
      const [, at, text = ''] = /^(\d+) (.*)$/s.exec(value) ?? [];
      return { id, text, sizeBytes: Buffer.byteLength(text), takenAt: Number(at ?? 0) };
    });
  }

  async confirm(queue: string, ids: readonly string[]): Promise<void> {
    await this.redis.hdel(pendingKey(queue), ...ids);
  }

  async length(queue: string): Promise<number> {
    return await this.redis.llen(queue);
  }

  /** Remembers whom answers to `uid` are for; `full` where too many requests wait. */
  async track(uid: string, asked: Asked): Promise<'tracked' | 'again' | 'full'> {
    const now = nowSeconds();
    const life = Math.max(1, asked.expiresAtSeconds - now);
    const fields: (string | number)[] = ['ret', asked.ret, RELAY, asked.destinations.length];
    if (asked.ref !== null) fields.push('ref', asked.ref);
    if (asked.session !== undefined) fields.push('con', asked.session);
    for (const twin of asked.destinations) fields.push(`to:${twin}`, 1);
    const args = [now, asked.expiresAtSeconds, this.#limits.askedRequests, uid, life, ...fields];
    const result = await this.#run(scripts.track, [backlogKey(uid), ASKED_INDEX], args);
    return result === 1 ? 'tracked' : result === 2 ? 'again' : 'full';
  }

  /** Whom an answer of `twin` to `uid` is for, while it is waited for. */
  async asked(
    uid: string,
    twin: number | undefined,
  ): Promise<{ readonly ref: string | null; readonly ret: string; readonly session: string | undefined } | undefined> {
    const field = counterOf(twin);
    const [ret, ref, con, left] = await this.redis.hmget(backlogKey(uid), 'ret', 'ref', 'con', field);
    if (typeof ret !== 'string' || Number(left ?? 0) < 1) return undefined;
    return { ret, ref: ref ?? null, session: con ?? undefined };
  }

  /** Gives the answer of `twin` (undefined: a relay's) to the client that asked, once. */
  async giveAnswer(uid: string, twin: number | undefined, ret: string, message: string): Promise<boolean> {
    return await this.#give(ret, message, uid, counterOf(twin));
  }

  /** Gives a client a message about a request that nobody remembers. */
  async tell(ret: string, message: string): Promise<boolean> {
    return await this.#give(ret, message, '', '');
  }

  async #give(ret: string, message: string, uid: string, counter: string): Promise<boolean> {
    const { listMessages, returnSeconds } = this.#limits;
    const args = [message, listMessages, returnSeconds, counter];
    const result = await this.#run(scripts.give, [ret, backlogKey(uid)], args);
    if (result === -1) this.#log.warn({ ret }, 'an answer has no list: its name is used for something else');
    return result === 1;
  }

  /** Puts a request before its service. */
  async enqueue(served: Served, address: string, message: string): Promise<EnqueueResult> {
    const now = nowSeconds();
    const { servedRequests, servedRequestsPerTwin, listMessages, listBytes } = this.#limits;
    const record = servedKey(address, served.uid);
    const keys = [serviceQueue(served.command), record, SERVED_INDEX, `${SERVED_INDEX}:${served.twin}`];
    const args = [
      ...[now, served.expiresAtSeconds, Math.max(1, served.expiresAtSeconds - now), record],
      ...[message, JSON.stringify(served)],
      ...[servedRequests, servedRequestsPerTwin, listMessages, listBytes],
    ];
    return (await this.#run(scripts.enqueue, keys, args)) as EnqueueResult;
  }

  /** The request that a service answers, `undefined` where none waits. */
  async served(address: string, uid: string): Promise<Served | undefined> {
    const record = await this.redis.get(servedKey(address, uid));
    return record === null ? undefined : Served.parse(JSON.parse(record));
  }

  /** Forgets a request that was answered. */
  async answered(served: Served, address: string): Promise<void> {
    const record = servedKey(address, served.uid);
    await this.redis
      .multi()
      .del(record)
      .zrem(SERVED_INDEX, record)
      .zrem(`${SERVED_INDEX}:${served.twin}`, record)
      .exec();
  }

  /** From now on nothing is waited for. */
  stop(): void {
    this.#stopping.abort();
    for (const blocking of this.#blocking) blocking.disconnect(false);
  }

  close(): void {
    this.stop();
    this.redis.disconnect(false);
  }

  async #run(script: string, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    let hash = this.#hashes.get(script);
    if (hash === undefined) {
      hash = createHash('sha1').update(script).digest('hex');
      this.#hashes.set(script, hash);
    }
    try {
      return await this.redis.evalsha(hash, keys.length, ...keys, ...args);
    } catch (error) {
      if (!(error as Error).message.startsWith('NOSCRIPT')) throw error;
      return await this.redis.eval(script, keys.length, ...keys, ...args);
    }
  }
}

const counterOf = (twin: number | undefined): string => (twin === undefined ? RELAY : `to:${twin}`);
