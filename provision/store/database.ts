/** An SQLite file: write-ahead log, synced at every commit, readable by the node's owner only. */
import { chmodSync, closeSync, existsSync, openSync, rmSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';

export type Row = Record<string, unknown>;

/** How long a write waits for another program that writes: the process does nothing else meanwhile. */
const BUSY_MS = 250;
/** Pages of the log before it is taken over into the file, which takes as long as many commits. */
const CHECKPOINT_PAGES = 4000;

/** SQLite's numbers for a file that is damaged, or no database. */
const DAMAGED = new Set([11, 26]);
/** Busy, locked, out of memory, read only, failed, full, not to be opened, protocol, too big for the folder. */
const UNWRITABLE = new Set([5, 6, 7, 8, 10, 13, 14, 15, 22]);

/** The file itself is damaged: what SQLite says can not be trusted. */
export function isDamage(error: unknown): boolean {
  return DAMAGED.has(numberOf(error));
}

/** It was not written, and may be later. */
export function isUnwritable(error: unknown): boolean {
  return UNWRITABLE.has(numberOf(error));
}

function numberOf(error: unknown): number {
  const number = error instanceof Error && 'errcode' in error ? error.errcode : undefined;
  // The low byte is the kind.
  return typeof number === 'number' ? number & 0xff : -1;
}

/** The file at `path` with all that SQLite keeps beside it. */
export function removeDatabase(path: string): void {
  for (const part of ['', '-wal', '-shm']) rmSync(`${path}${part}`, { force: true });
}

export class Database {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  /** Each commit waits for the disk; else only what is taken over from the log. */
  #isSynced = true;

  /** Opens the file at `path`, or makes it. */
  constructor(path: string) {
    // Made first, so that SQLite's file and its log are never readable by others.
    if (!existsSync(path)) closeSync(openSync(path, 'ax', 0o600));
    chmodSync(path, 0o600);
    this.#database = new DatabaseSync(path, { enableForeignKeyConstraints: true });
    try {
      this.#database.exec(`PRAGMA busy_timeout = ${BUSY_MS}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
        PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /** What is wrong with the file, also where an index does not say what its table does; empty when it is whole. */
  faults(): string[] {
    const [first, ...rest] = this.arrays('PRAGMA integrity_check').map(([fault]) => String(fault));
    return first === undefined || first === 'ok' ? [] : [first, ...rest];
  }

  /** One transaction: all of it is on disk when this returns, nothing of it when this throws. */
  transaction<T>(work: () => T): T {
    return this.#committed(true, work);
  }

  /** The same, which outlives this process, and which a loss of power may undo. */
  unsynced<T>(work: () => T): T {
    return this.#committed(false, work);
  }

  #committed<T>(isSynced: boolean, work: () => T): T {
    if (this.#isSynced !== isSynced) {
      this.#database.exec(`PRAGMA synchronous = ${isSynced ? 'FULL' : 'NORMAL'}`);
      this.#isSynced = isSynced;
    }
    this.#prepare('BEGIN IMMEDIATE').run();
    try {
      const result = work();
      this.#prepare('COMMIT').run();
      return result;
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  get isInTransaction(): boolean {
    return this.#database.isTransaction;
  }

  /** Several statements without values. */
  execute(sql: string): void {
    this.#database.exec(sql);
  }

  /** How many rows were changed. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#prepare(sql).run(...values).changes);
  }

  get(sql: string, ...values: SQLInputValue[]): Row | undefined {
    try {
      return this.#prepare(sql).get(...values);
    } catch (error) {
      return this.#exact(error, sql, values)[0];
    }
  }

  all(sql: string, ...values: SQLInputValue[]): Row[] {
    try {
      return this.#prepare(sql).all(...values);
    } catch (error) {
      return this.#exact(error, sql, values);
    }
  }

  /** A number that JavaScript has none for comes as a `bigint`, instead of as an error of all rows. */
  #exact(error: unknown, sql: string, values: readonly SQLInputValue[]): Row[] {
    if (!(error instanceof Error && 'code' in error && error.code === 'ERR_OUT_OF_RANGE')) throw error;
    const statement = this.#prepare(`/* exact */ ${sql}`);
    statement.setReadBigInts(true);
    const plain = (value: unknown): unknown => {
      return typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value;
    };
    return statement
      .all(...values)
      .map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, plain(value)])));
  }

  /** Rows as lists of values. */
  arrays(sql: string, ...values: SQLInputValue[]): unknown[][] {
    return [...this.each(sql, ...values)];
  }

  /** The same one by one, for those that are read by the ten thousand. */
  each(sql: string, ...values: SQLInputValue[]): Iterable<unknown[]> {
    // A statement gives one shape of rows, so this is another one than that of `get` and `all`.
    const statement = this.#prepare(`/* lists */ ${sql}`);
    statement.setReturnArrays(true);
    return statement.iterate(...values) as unknown as Iterable<unknown[]>;
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }

  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}
