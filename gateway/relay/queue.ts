/** Messages for sessions, one Redis stream a session, for an hour after the last. */
import { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { parseBroker, whenReady } from '../../modules/zbus/broker.ts';
import type { Address } from '../rmb/envelope_pb.ts';
import { DEFAULT_QUEUE_LIMITS, QueueBudget, type QueueLimits } from './queue-budget.ts';

const LIFE_SECONDS = 3600;
const READ_COUNT = 100;
const READ_BYTES = 8 * 1024 * 1024;
const COMMAND_TIMEOUT_MS = 5000;
export const READY_MS = 3000;
/** A budget that says "full" is counted anew from the store, at most this often. */
const RECOUNT_MS = 5000;
/** Entries that one command removes. */
const REMOVE_COUNT = 1000;
/**
 * An empty stream would stay for an hour. It stays for a minute: a stream that
 * is made anew in the same millisecond would give the same entry names again.
 */
const REMOVE = `
redis.call('XDEL', KEYS[1], unpack(ARGV))
if redis.call('XLEN', KEYS[1]) == 0 then redis.call('EXPIRE', KEYS[1], 60) end
return 1`;

export interface QueuedMessage {
  readonly id: string;
  readonly bytes: Uint8Array;
}

export type QueueResult = 'queued' | 'full' | 'failed';

export type Queued =
  | { readonly result: 'queued'; readonly id: string }
  | { readonly result: Exclude<QueueResult, 'queued'> };

/** `stream:17`, or `stream:17:session`. */
export function streamKey(to: Pick<Address, 'twin' | 'connection'>): string {
  return to.connection === undefined ? `stream:${to.twin}` : `stream:${to.twin}:${to.connection}`;
}

/** A connection that refuses commands while it is down and repeats none. */
export function openStore(broker: string, log: Logger, role: string): Redis {
  const redis = new Redis({
    ...parseBroker(broker),
    // The form of what streams answer with differs between the two.
    protocol: 2,
    autoResendUnfulfilledCommands: false,
    // The driver's own new subscription ends the process when the store is lost once more meanwhile.
    autoResubscribe: false,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: COMMAND_TIMEOUT_MS,
    retryStrategy: (attempt: number) => Math.min(2000, 50 * 2 ** Math.min(attempt, 6)),
  });
  let problem = '';
  redis.on('error', (error: Error) => {
    if (error.message !== problem) log.warn({ role, reason: error.message }, 'queue store');
    problem = error.message;
  });
  redis.on('ready', () => {
    problem = '';
    log.info({ role }, 'queue store connected');
  });
  return redis;
}

export class OfflineQueue {
  readonly #redis: Redis;
  readonly #log: Logger;
  readonly #budget: QueueBudget;
  readonly #sweep: NodeJS.Timeout;
  /** Whether the queues of an earlier life are counted; until then nothing is queued. */
  #counted: Promise<void> | undefined;
  #recountedAt = 0;

  /** `broker`: `unix:///path/redis.sock` or `tcp://host:port`. */
  constructor(broker: string, log: Logger, limits: QueueLimits = DEFAULT_QUEUE_LIMITS) {
    this.#log = log;
    this.#budget = new QueueBudget(limits, LIFE_SECONDS * 1000);
    this.#redis = openStore(broker, log, 'queues');
    this.#sweep = setInterval(() => this.#budget.sweep(), 60_000);
    this.#sweep.unref();
  }

  /** Waits for the store, but not for ever: a relay without one still carries what need not be stored. */
  async ready(): Promise<void> {
    await whenReady(this.#redis, READY_MS).catch(() => undefined);
  }

  /** Messages for one session are stored in the order of the calls. */
  async add(to: Address, bytes: Uint8Array): Promise<Queued> {
    const key = streamKey(to);
    try {
      this.#counted ??= this.#count();
      await this.#counted;
    } catch (error) {
      this.#counted = undefined;
      this.#log.error({ reason: (error as Error).message, twin: to.twin }, 'message not queued');
      return { result: 'failed' };
    }
    if (!this.#budget.take(to.twin, key, bytes.length)) {
      // Another process may have emptied the queue, or the store was emptied.
      this.#recountSoon();
      return { result: 'full' };
    }
    try {
      const answers = await this.#redis
        .multi()
        .xadd(key, '*', '_', Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))
        .expire(key, LIFE_SECONDS)
        .exec();
      const problem = answers?.find(([error]) => error !== null)?.[0];
      if (answers === null || problem) throw problem ?? new Error('transaction discarded');
      return { result: 'queued', id: String(answers[0]?.[1]) };
    } catch (error) {
      this.#budget.release(to.twin, key, bytes.length);
      this.#log.error({ reason: (error as Error).message, twin: to.twin }, 'message not queued');
      return { result: 'failed' };
    }
  }

  /** The oldest messages of a session behind entry `after`; empty when there are none. Rejects when Redis is away. */
  async read(of: Address, after = ''): Promise<QueuedMessage[]> {
    // Behind what was added before: that may wait for the count.
    await this.#counted?.catch(() => undefined);
    const start = after === '' ? '-' : `(${after}`;
    const rows = await this.#redis.xrangeBuffer(streamKey(of), start, '+', 'COUNT', READ_COUNT);
    const messages: QueuedMessage[] = [];
    let size = 0;
    for (const [id, fields] of rows as [Buffer, Buffer[]][]) {
      const bytes = fields[1] ?? Buffer.alloc(0);
      if (size > 0 && size + bytes.length > READ_BYTES) break;
      size += bytes.length;
      messages.push({ id: id.toString('latin1'), bytes });
    }
    return messages;
  }

  async remove(of: Address, messages: readonly QueuedMessage[]): Promise<void> {
    if (messages.length === 0) return;
    const key = streamKey(of);
    for (let at = 0; at < messages.length; at += REMOVE_COUNT) {
      const some = messages.slice(at, at + REMOVE_COUNT);
      await this.#redis.eval(REMOVE, 1, key, ...some.map(({ id }) => id));
      for (const { bytes } of some) this.#budget.release(of.twin, key, bytes.length);
    }
  }

  close(): void {
    clearInterval(this.#sweep);
    this.#redis.disconnect();
  }

  #recountSoon(): void {
    const now = Date.now();
    if (now - this.#recountedAt < RECOUNT_MS) return;
    this.#recountedAt = now;
    // Whoever adds meanwhile waits for it, and is not counted away.
    const counted = this.#count();
    this.#counted = counted;
    counted.catch((error: unknown) => {
      this.#counted = undefined;
      this.#log.warn({ reason: (error as Error).message }, 'queues not counted');
    });
  }

  /** Takes what lies in the store into the budget: a relay that starts again must not begin with an empty one. */
  async #count(): Promise<void> {
    const found = new Map<string, { twin: number; bytes: number; messages: number; expiresAt: number }>();
    let cursor = '0';
    do {
      const [next, keys] = await this.#redis.scan(cursor, 'MATCH', 'stream:*', 'COUNT', 1000);
      cursor = next;
      await Promise.all(
        keys.map(async (key) => {
          const twin = Number(/^stream:(\d{1,10})(?::|$)/.exec(key)?.[1]);
          if (!Number.isInteger(twin)) return;
          const [bytes, messages, lifeMs] = await Promise.all([
            this.#redis.memory('USAGE', key),
            this.#redis.xlen(key),
            this.#redis.pttl(key),
          ]);
          if (bytes === null || messages === 0 || lifeMs <= 0) return;
          found.set(key, { twin, bytes, messages, expiresAt: Date.now() + lifeMs });
        }),
      );
    } while (cursor !== '0');
    this.#budget.reset();
    for (const [key, { twin, ...held }] of found) this.#budget.adopt(twin, key, held);
  }
}
