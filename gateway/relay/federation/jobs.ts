/**
 * Messages that wait for other relays, in one Redis stream: added, taken by one
 * of the processes that share it, and deleted when they are done. What a
 * process that died had taken is taken over by the others, or by the next.
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { whenReady } from '../../../modules/zbus/broker.ts';
import { openStore, READY_MS } from '../queue.ts';

export interface StoredJob {
  readonly id: string;
  readonly bytes: Uint8Array;
}

const KEY = 'relay.federation.stream';
const GROUP = 'federation';
const FIELD = 'msg';
const READ_COUNT = 64;
/** A process that did not say for this long that it still works on a job is dead. */
const ABANDONED_MS = 20_000;
const HEARTBEAT_MS = 5000;
const OLD_CONSUMER_MS = 3_600_000;

export interface JobLimits {
  readonly messages: number;
  readonly bytes: number;
}

export class JobStore {
  readonly #redis: ReturnType<typeof openStore>;
  readonly #log: Logger;
  readonly #limits: JobLimits;
  readonly #name = `relay-${randomUUID()}`;
  readonly #mine = new Set<string>();
  readonly #heartbeat: NodeJS.Timeout;
  #group: Promise<void> | undefined;
  #storedBytes = 0;

  /** `onAbandoned` is called when there may be jobs to take. */
  constructor(broker: string, log: Logger, limits: JobLimits, onAbandoned: () => void, heartbeatMs = HEARTBEAT_MS) {
    this.#log = log;
    this.#limits = limits;
    this.#redis = openStore(broker, log, 'federation');
    // A store that was started anew knows nothing of the group.
    this.#redis.on('ready', () => {
      this.#group = undefined;
    });
    this.#heartbeat = setInterval(() => {
      this.#stayAlive().then(onAbandoned, (error: unknown) => {
        log.debug({ reason: (error as Error).message }, 'federation heartbeat');
      });
    }, heartbeatMs);
    this.#heartbeat.unref();
  }

  async ready(): Promise<void> {
    await whenReady(this.#redis, READY_MS).catch(() => undefined);
  }

  /** `full` where the stream holds as much as it may. Rejects when Redis is away. */
  async add(bytes: Uint8Array): Promise<'added' | 'full'> {
    if (this.#storedBytes + bytes.length > this.#limits.bytes) return 'full';
    const value = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const answers = await this.#redis.multi().xlen(KEY).xadd(KEY, '*', FIELD, value).exec();
    const problem = answers?.find(([error]) => error !== null)?.[0];
    if (answers === null || problem) throw problem ?? new Error('transaction discarded');
    if (Number(answers[0]?.[1]) >= this.#limits.messages) {
      await this.#redis.xdel(KEY, String(answers[1]?.[1]));
      return 'full';
    }
    this.#storedBytes += bytes.length;
    return 'added';
  }

  /** New jobs, now this process's. Empty when there are none. */
  async take(): Promise<StoredJob[]> {
    const answer = (await this.#inGroup(() =>
      this.#redis.callBuffer('XREADGROUP', ...['GROUP', GROUP, this.#name, 'COUNT', READ_COUNT, 'STREAMS', KEY, '>']),
    )) as [Buffer, [Buffer, Buffer[] | null][]][] | null;
    return this.#own(answer?.[0]?.[1] ?? []);
  }

  /** Jobs of processes that are gone. */
  async takeOver(): Promise<StoredJob[]> {
    const answer = (await this.#inGroup(() =>
      this.#redis.callBuffer('XAUTOCLAIM', ...[KEY, GROUP, this.#name, ABANDONED_MS, '0-0', 'COUNT', READ_COUNT]),
    )) as [Buffer, ([Buffer, Buffer[] | null] | null)[]];
    return this.#own(answer[1].filter((row) => row === null || !this.#mine.has(row[0].toString('latin1'))));
  }

  async done({ id, bytes }: StoredJob): Promise<void> {
    this.#mine.delete(id);
    this.#storedBytes = Math.max(0, this.#storedBytes - bytes.length);
    await this.#redis.multi().xack(KEY, GROUP, id).xdel(KEY, id).exec();
  }

  /** What is not done stays for whoever comes next. */
  close(): void {
    clearInterval(this.#heartbeat);
    this.#redis.disconnect();
  }

  #own(rows: readonly (readonly [Buffer, Buffer[] | null] | null)[]): StoredJob[] {
    return rows.flatMap((row) => {
      // As Redis 6 shows what was deleted meanwhile.
      if (row === null) return [];
      const [id, fields] = row;
      const job = { id: id.toString('latin1'), bytes: fields?.[1] ?? Buffer.alloc(0) };
      this.#mine.add(job.id);
      return [job];
    });
  }

  async #stayAlive(): Promise<void> {
    await this.#grouped();
    this.#storedBytes = Number((await this.#redis.memory('USAGE', KEY, 'SAMPLES', 0)) ?? 0);
    const mine = [...this.#mine];
    if (mine.length === 0) return;
    await this.#inGroup(() => this.#redis.call('XCLAIM', KEY, GROUP, this.#name, 0, ...mine, 'JUSTID'));
  }

  /** The group is made once, and again where the store was emptied. */
  async #inGroup<T>(command: () => Promise<T>): Promise<T> {
    await this.#grouped();
    try {
      return await command();
    } catch (error) {
      if (!(error as Error).message.startsWith('NOGROUP')) throw error;
      this.#group = undefined;
      await this.#grouped();
      return await command();
    }
  }

  #grouped(): Promise<void> {
    this.#group ??= this.#makeGroup().catch((error: unknown) => {
      this.#group = undefined;
      throw error;
    });
    return this.#group;
  }

  async #makeGroup(): Promise<void> {
    await this.#redis.xgroup('CREATE', KEY, GROUP, '0', 'MKSTREAM').catch((error: Error) => {
      if (!error.message.startsWith('BUSYGROUP')) throw error;
    });
    // Each life has a name of its own; those that left nothing behind are forgotten.
    const consumers = (await this.#redis.xinfo('CONSUMERS', KEY, GROUP)) as (string | number)[][];
    for (const fields of consumers) {
      const value = (name: string): string | number | undefined => fields[fields.indexOf(name) + 1];
      if (value('pending') !== 0 || Number(value('idle')) < OLD_CONSUMER_MS) continue;
      await this.#redis.xgroup('DELCONSUMER', KEY, GROUP, String(value('name')));
      this.#log.debug({ consumer: value('name') }, 'forgot a federation consumer');
    }
  }
}
