/** Messages for sessions that are away, one Redis stream a session, for an hour after the last. */
import { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { parseBroker } from '../../modules/zbus/broker.ts';
import type { Address } from '../rmb/envelope_pb.ts';
import { DEFAULT_QUEUE_LIMITS, QueueBudget, type QueueLimits } from './queue-budget.ts';

const MAX_ENTRIES = 10_000;
const LIFE_SECONDS = 3600;
const READ_COUNT = 100;
const READ_BYTES = 8 * 1024 * 1024;
const COMMAND_TIMEOUT_MS = 5000;

export interface QueuedMessage {
  readonly id: string;
  readonly bytes: Uint8Array;
}

export type QueueResult = 'queued' | 'full' | 'failed';

/** `stream:17`, or `stream:17:session`. */
export function streamKey(to: Pick<Address, 'twin' | 'connection'>): string {
  return to.connection === undefined ? `stream:${to.twin}` : `stream:${to.twin}:${to.connection}`;
}

export class OfflineQueue {
  readonly #redis: Redis;
  readonly #log: Logger;
  readonly #budget: QueueBudget;
  readonly #sweep: NodeJS.Timeout;
  /** Whether the queues of an earlier life are counted; until then nothing is queued. */
  #counted: Promise<void> | undefined;

  /** `broker`: `unix:///path/redis.sock` or `tcp://host:port`. */
  constructor(broker: string, log: Logger, limits: QueueLimits = DEFAULT_QUEUE_LIMITS) {
    this.#log = log;
    this.#budget = new QueueBudget(limits, LIFE_SECONDS * 1000);
    this.#redis = new Redis({
      ...parseBroker(broker),
      autoResendUnfulfilledCommands: false,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      commandTimeout: COMMAND_TIMEOUT_MS,
      retryStrategy: (attempt: number) => Math.min(2000, 50 * 2 ** Math.min(attempt, 6)),
    });
    let problem = '';
    this.#redis.on('error', (error: Error) => {
      if (error.message !== problem) log.warn({ reason: error.message }, 'queue store');
      problem = error.message;
    });
    this.#redis.on('ready', () => {
      problem = '';
      log.info('queue store connected');
    });
    this.#sweep = setInterval(() => this.#budget.sweep(), 60_000);
    this.#sweep.unref();
  }

  async add(to: Address, bytes: Uint8Array): Promise<QueueResult> {
    const key = streamKey(to);
    try {
      this.#counted ??= this.#count();
      await this.#counted;
    } catch (error) {
      this.#counted = undefined;
      this.#log.error({ reason: (error as Error).message, twin: to.twin }, 'message not queued');
      return 'failed';
    }
    if (!this.#budget.take(to.twin, key, bytes.length)) return 'full';
    try {
      const answers = await this.#redis
        .multi()
        .xadd(key, 'MAXLEN', '~', MAX_ENTRIES, '*', '_', Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))
        .expire(key, LIFE_SECONDS)
        .exec();
      const problem = answers?.find(([error]) => error !== null)?.[0];
      if (answers === null || problem) throw problem ?? new Error('transaction discarded');
      return 'queued';
    } catch (error) {
      this.#budget.release(to.twin, key, bytes.length);
      this.#log.error({ reason: (error as Error).message, twin: to.twin }, 'message not queued');
      return 'failed';
    }
  }

  /** Takes what lies in the store into the budget: a relay that starts again must not begin with an empty one. */
  async #count(): Promise<void> {
    let cursor = '0';
    do {
      const [next, keys] = await this.#redis.scan(cursor, 'MATCH', 'stream:*', 'COUNT', 1000);
      cursor = next;
      for (const key of keys) {
        const twin = Number(/^stream:(\d{1,10})(?::|$)/.exec(key)?.[1]);
        const [bytes, lifeMs] = await Promise.all([this.#redis.memory('USAGE', key), this.#redis.pttl(key)]);
        if (Number.isInteger(twin) && bytes !== null && lifeMs > 0) {
          this.#budget.adopt(twin, key, bytes, Date.now() + lifeMs);
        }
      }
    } while (cursor !== '0');
  }

  /** The oldest messages of a session; empty when there are none. Rejects when Redis is away. */
  async read(of: Address): Promise<QueuedMessage[]> {
    const rows = await this.#redis.xrangeBuffer(streamKey(of), '-', '+', 'COUNT', READ_COUNT);
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
    await this.#redis.xdel(key, ...messages.map(({ id }) => id));
    for (const { bytes } of messages) this.#budget.release(of.twin, key, bytes.length);
  }

  close(): void {
    clearInterval(this.#sweep);
    this.#redis.disconnect();
  }
}
