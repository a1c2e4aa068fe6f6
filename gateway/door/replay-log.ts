/**
 * The requests that were let in, written down, so that the next process refuses
 * them too. It outlives the process, however that ends; it is not synced, so a
 * machine that loses power may forget the last of it.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import type { Logger } from 'pino';
import { Counter, Gauge, Registry } from 'prom-client';
import { DEFAULT_DOOR_LIMITS } from './limits.ts';
import type { ReplayEntry } from './replay.ts';
import { decodeRecord, encodeRecords, HEADER, RECORD_BYTES } from './replay-record.ts';

export interface ReplayLog {
  /**
   * What earlier processes let in and has not expired. From now on `living` is
   * asked what to keep when the log is rewritten. Called once.
   */
  begin(living: () => Iterable<ReplayEntry>): readonly ReplayEntry[];
  /**
   * Resolves when `entry`, which is among `living`, outlives this process, or
   * when it cannot be made to; never rejects.
   */
  append(entry: ReplayEntry): Promise<void>;
}

/** Nothing outlives the process. */
export const forgetfulLog: ReplayLog = { begin: () => [], append: () => Promise.resolve() };

export interface FileReplayLogOptions {
  readonly log: Logger;
  readonly registry?: Registry;
  /** Unexpired requests there may be: bounds what is read. */
  readonly replayEntries?: number;
  /** Records from which on a file may be rewritten, once half of them expired. */
  readonly rewriteFrom?: number;
  /** Milliseconds after which a file that failed is tried again. */
  readonly retryMs?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

interface Waiting {
  readonly entry: ReplayEntry;
  readonly done: () => void;
}

const REWRITE_FROM = 8192;
const RETRY_MS = 5000;
/** A request waits no longer than this for a disk that does not answer. */
const WRITE_DEADLINE_MS = 2000;
const RECORDS_AT_ONCE = 2048;

export class FileReplayLog implements ReplayLog {
  readonly #path: string;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #rewriteFrom: number;
  readonly #retryMs: number;
  readonly #unwritten: Counter;
  #file: FileHandle | undefined;
  /** Where the next record goes; what lies behind it is torn. */
  #end = 0;
  #records = 0;
  #rewriteAt: number;
  /** Whether all that lives is in the file; only a rewrite makes it true again. */
  #whole = true;
  #retryAt = 0;
  #earlier: readonly ReplayEntry[] = [];
  #living: () => Iterable<ReplayEntry> = () => this.#earlier;
  /** Bounded by the requests that may run at once: each waits here before it runs. */
  #waiting: Waiting[] = [];
  #draining: Promise<void> | undefined;
  /** The write under way is beyond its deadline: nobody waits until it ends. */
  #late = false;
  #mending: NodeJS.Timeout | undefined;

  private constructor(path: string, options: FileReplayLogOptions) {
    this.#path = path;
    this.#log = options.log;
    this.#now = options.now ?? Date.now;
    this.#rewriteFrom = options.rewriteFrom ?? REWRITE_FROM;
    this.#rewriteAt = this.#rewriteFrom;
    this.#retryMs = options.retryMs ?? RETRY_MS;
    const registers = [options.registry ?? new Registry()];
    this.#unwritten = new Counter({
      name: 'gateway_replay_log_unwritten_total',
      help: 'requests let in that a restart may forget because they could not be written down in time',
      registers,
    });
    const records = (): number => this.#records;
    new Gauge({
      name: 'gateway_replay_log_records',
      help: 'requests in the log that outlives a restart',
      registers,
      collect() {
        this.set(records());
      },
    });
  }

  /** Reads the log at `path`, or begins one. A file that cannot be used is logged, and tried again later. */
  static async open(path: string, options: FileReplayLogOptions): Promise<FileReplayLog> {
    const log = new FileReplayLog(path, options);
    await log.#load(options.replayEntries ?? DEFAULT_DOOR_LIMITS.replayEntries);
    return log;
  }

  begin(living: () => Iterable<ReplayEntry>): readonly ReplayEntry[] {
    const earlier = this.#earlier;
    this.#earlier = [];
    this.#living = living;
    return earlier;
  }

  append(entry: ReplayEntry): Promise<void> {
    if (this.#late) {
      this.#whole = false;
      this.#unwritten.inc();
      return Promise.resolve();
    }
    return new Promise((done) => {
      this.#waiting.push({ entry, done });
      // What arrives in the same turn is written together.
      this.#draining ??= new Promise<void>((resolve) => setImmediate(resolve)).then(() => this.#drain());
    });
  }

  /** Writes what waits and closes the file. */
  async close(): Promise<void> {
    await this.#draining;
    clearTimeout(this.#mending);
    await this.#file?.close();
    this.#file = undefined;
  }

  async #drain(): Promise<void> {
    do {
      const batch = this.#waiting;
      this.#waiting = [];
      const deadline = setTimeout(() => {
        this.#late = true;
        const held = [...batch, ...this.#waiting];
        this.#unwritten.inc(held.length);
        this.#log.error({ waitedMs: WRITE_DEADLINE_MS }, 'replay log does not take what is written');
        for (const { done } of held) done();
      }, WRITE_DEADLINE_MS);
      await this.#write(batch.map(({ entry }) => entry));
      clearTimeout(deadline);
      this.#late = false;
      for (const { done } of batch) done();
    } while (this.#waiting.length > 0);
    this.#draining = undefined;
    if (!this.#whole) this.#mendLater();
  }

  /** Tries a file that lacks requests again, also when no new ones come. */
  #mendLater(): void {
    this.#mending ??= setTimeout(() => {
      this.#mending = undefined;
      this.#draining ??= this.#drain();
    }, this.#retryMs).unref();
  }

  async #write(entries: readonly ReplayEntry[]): Promise<void> {
    if (!this.#whole && this.#now() < this.#retryAt) {
      this.#unwritten.inc(entries.length);
      return;
    }
    try {
      if (!this.#whole || this.#records + entries.length > this.#rewriteAt) {
        await this.#rewrite(this.#living());
      } else if (this.#file !== undefined) {
        this.#end += await writeAll(this.#file, encodeRecords(entries), this.#end);
        this.#records += entries.length;
      }
    } catch (error) {
      this.#unwritten.inc(entries.length);
      this.#fail(error);
    }
  }

  /** The door goes on without a file; when it can be written again, all that lives is. */
  #fail(error: unknown): void {
    if (this.#retryAt === 0) {
      const reason = (error as Error).message;
      this.#log.error({ reason }, 'replay log cannot be written; a restart would forget requests');
    }
    this.#whole = false;
    this.#retryAt = this.#now() + this.#retryMs;
  }

  /** Puts a file with `entries` alone in the place of the old one. */
  async #rewrite(entries: Iterable<ReplayEntry>): Promise<void> {
    const temporary = `${this.#path}.new`;
    await rm(temporary, { force: true });
    const file = await open(temporary, 'wx', 0o600);
    try {
      let end = await writeAll(file, HEADER, 0);
      let records = 0;
      let chunk: ReplayEntry[] = [];
      const flush = async (): Promise<void> => {
        end += await writeAll(file, encodeRecords(chunk), end);
        records += chunk.length;
        chunk = [];
      };
      for (const entry of entries) {
        chunk.push(entry);
        if (chunk.length >= RECORDS_AT_ONCE) await flush();
      }
      await flush();
      await rename(temporary, this.#path);
      const old = this.#file;
      [this.#file, this.#end, this.#records] = [file, end, records];
      this.#rewriteAt = Math.max(this.#rewriteFrom, 2 * records);
      await old?.close().catch(() => undefined);
    } catch (error) {
      await file.close().catch(() => undefined);
      await rm(temporary, { force: true }).catch(() => undefined);
      throw error;
    }
    if (this.#retryAt !== 0) this.#log.info({ records: this.#records }, 'replay log is written again');
    this.#retryAt = 0;
    // What came while nobody waited for a late write may have been missed.
    this.#whole = !this.#late;
  }

  async #load(replayEntries: number): Promise<void> {
    try {
      await rm(`${this.#path}.new`, { force: true });
      this.#file = await open(this.#path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
      await this.#file.chmod(0o600);
      const { size } = await this.#file.stat();
      const header = Buffer.alloc(HEADER.length);
      await this.#file.read(header, 0, header.length, 0);
      const known = header.equals(HEADER);
      const present = known ? Math.floor((size - HEADER.length) / RECORD_BYTES) : 0;
      const wanted = Math.min(present, 2 * replayEntries + this.#rewriteFrom);
      this.#end = HEADER.length + present * RECORD_BYTES;
      this.#records = present;
      const { living, damaged } = await this.#read(this.#file, present - wanted, present);
      this.#earlier = living;
      const torn = known ? size - this.#end : size;
      if (damaged > 0 || torn > 0) this.#log.warn({ damaged, tornBytes: torn }, 'replay log was damaged');
      if (living.length > 0) this.#log.info({ records: living.length }, 'replay log read');
      if (!known || torn > 0 || living.length < present) await this.#rewrite(living);
      else this.#rewriteAt = Math.max(this.#rewriteFrom, 2 * present);
    } catch (error) {
      this.#fail(error);
      this.#mendLater();
    }
  }

  async #read(file: FileHandle, from: number, to: number): Promise<{ living: ReplayEntry[]; damaged: number }> {
    const nowSeconds = Math.floor(this.#now() / 1000);
    const living: ReplayEntry[] = [];
    let damaged = 0;
    const buffer = Buffer.alloc(RECORDS_AT_ONCE * RECORD_BYTES);
    for (let record = from; record < to; record += RECORDS_AT_ONCE) {
      const length = Math.min(RECORDS_AT_ONCE, to - record) * RECORD_BYTES;
      await file.read(buffer, 0, length, HEADER.length + record * RECORD_BYTES);
      for (let at = 0; at < length; at += RECORD_BYTES) {
        const entry = decodeRecord(buffer, at);
        if (entry === undefined) damaged += 1;
        else if (entry.expiresAt > nowSeconds) living.push(entry);
      }
    }
    return { living, damaged };
  }
}

/** All of `bytes` at `position`; their number. */
async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < bytes.length) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
  return bytes.length;
}
