/**
 * What the chain's process keeps on disk: up to which final block it told of contracts, what it knew of
 * them then, and the last answers about twins, farms, nodes and contracts. All of it can be had from the
 * chain again, so a damaged file is set aside, and a disk that takes nothing stops nobody.
 */
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { deserialize, serialize } from 'node:v8';
import { z } from 'zod';

/** A final block by which a history is known again. */
const Mark = z.object({ number: z.int().nonnegative(), hash: z.string() });
export type Mark = z.infer<typeof Mark>;

const Cursor = z.object({
  /** Hash of the chain's block 0. */
  genesis: z.string(),
  /** The last final block whose events were handed on. */
  number: z.int().nonnegative(),
  hash: z.string(),
  /** Earlier ones, ever further apart, newest first. */
  marks: z.array(Mark).max(64),
  /** Whose contracts were told. */
  nodeId: z.int().nonnegative(),
});
export type Cursor = z.infer<typeof Cursor>;

/** What is remembered of a contract to see a change after a gap. */
export interface KnownContract {
  readonly twinId: number;
  readonly hash: string;
  readonly inGrace: boolean;
}

/** An answer of the chain as it was. */
export interface View {
  readonly value: unknown;
  /** The block it was read at. */
  readonly block: number;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export type StoreProblem = (what: string, error: unknown) => void;

const SCHEMA_VERSION = 1;
const SCHEMA = `
  CREATE TABLE chain (one INTEGER PRIMARY KEY CHECK (one = 1), genesis TEXT NOT NULL);
  CREATE TABLE cursor (one INTEGER PRIMARY KEY CHECK (one = 1), value TEXT NOT NULL);
  CREATE TABLE contracts (id TEXT PRIMARY KEY, twin INTEGER NOT NULL, hash TEXT NOT NULL, grace INTEGER NOT NULL);
  CREATE TABLE views (key TEXT PRIMARY KEY, value BLOB NOT NULL, block INTEGER NOT NULL, at INTEGER NOT NULL);
  CREATE INDEX views_at ON views (at);
  PRAGMA user_version = ${SCHEMA_VERSION};
`;
/** Answers kept; the oldest go first. */
const VIEW_LIMIT = 20_000;
/** Answers are written together: what a loss of power takes was asked in this time. */
const FLUSH_MS = 1_000;
/** An answer that says the same again is written anew after this. */
const REFRESH_MS = 60_000;

export class ChainStore {
  readonly #path: string;
  readonly #onProblem: StoreProblem;
  #database: DatabaseSync | undefined;
  readonly #unwritten = new Map<string, View>();
  #timer: NodeJS.Timeout | undefined;

  /** Opens or makes the file at `path`, readable by the node's owner only. */
  constructor(path: string, onProblem: StoreProblem) {
    this.#path = path;
    this.#onProblem = onProblem;
    this.#database = this.#guarded('open what is kept of the chain', () => this.#open()) ?? this.#begin();
  }

  #open(): DatabaseSync {
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
    // Made first, so that SQLite's file and its log are never readable by others.
    if (!existsSync(this.#path)) closeSync(openSync(this.#path, 'ax', 0o600));
    chmodSync(this.#path, 0o600);
    const database = new DatabaseSync(this.#path);
    try {
      database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 2000;');
      const check = Object.values(database.prepare('PRAGMA quick_check(1)').get() ?? {})[0];
      if (check !== 'ok') throw new Error(String(check));
      const version = Number(database.prepare('PRAGMA user_version').get()?.user_version);
      if (version === 0) database.exec(SCHEMA);
      else if (version !== SCHEMA_VERSION) throw new Error(`written by another version, schema ${version}`);
      return database;
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** A new file; the one that could not be read stays beside it for who wants to look. */
  #begin(): DatabaseSync | undefined {
    return this.#guarded('keep anything of the chain', () => {
      for (const end of ['-wal', '-shm']) rmSync(`${this.#path}${end}`, { force: true });
      if (existsSync(this.#path)) renameSync(this.#path, `${this.#path}.damaged`);
      return this.#open();
    });
  }

  /** The chain that is asked from now on; what is kept of another one is forgotten. False then. */
  belongTo(genesis: string): boolean {
    const kept = this.#guarded('read of which chain answers are', () =>
      this.#database?.prepare('SELECT genesis FROM chain').get(),
    );
    if (kept?.genesis === genesis) return true;
    if (kept !== undefined) this.clear();
    this.#guarded('keep of which chain answers are', () =>
      this.#run('INSERT OR REPLACE INTO chain (one, genesis) VALUES (1, ?)', genesis),
    );
    return kept === undefined;
  }

  /** Undefined where there is none, or none that can be read. */
  cursor(): Cursor | undefined {
    return this.#guarded('read up to where contracts were told', () => {
      const row = this.#database?.prepare('SELECT value FROM cursor').get();
      return row === undefined ? undefined : Cursor.parse(JSON.parse(String(row.value)));
    });
  }

  /** What was known of the node's contracts at the cursor. */
  contracts(): Map<bigint, KnownContract> {
    const found = new Map<bigint, KnownContract>();
    this.#guarded('read what was known of contracts', () => {
      for (const { id, twin, hash, grace } of this.#database?.prepare('SELECT * FROM contracts').all() ?? []) {
        found.set(BigInt(String(id)), { twinId: Number(twin), hash: String(hash), inGrace: Number(grace) === 1 });
      }
    });
    return found;
  }

  /** Cursor and contracts in one write, on disk when this returns. Without `contracts` those stay as they are. */
  keepCursor(cursor: Cursor, contracts?: ReadonlyMap<bigint, KnownContract>): void {
    this.#transaction('keep up to where contracts were told', () => {
      this.#run('INSERT OR REPLACE INTO cursor (one, value) VALUES (1, ?)', JSON.stringify(cursor));
      if (contracts === undefined) return;
      const kept = this.contracts();
      for (const id of kept.keys()) if (!contracts.has(id)) this.#run('DELETE FROM contracts WHERE id = ?', `${id}`);
      for (const [id, { twinId, hash, inGrace }] of contracts) {
        const before = kept.get(id);
        if (before?.twinId === twinId && before.hash === hash && before.inGrace === inGrace) continue;
        this.#run('INSERT OR REPLACE INTO contracts VALUES (?, ?, ?, ?)', `${id}`, twinId, hash, inGrace ? 1 : 0);
      }
    });
  }

  /** Forgets everything, as when it is of another chain. */
  clear(): void {
    this.#unwritten.clear();
    this.#transaction('forget what was kept', () => {
      this.#database?.exec('DELETE FROM chain; DELETE FROM cursor; DELETE FROM contracts; DELETE FROM views;');
    });
  }

  view(key: string): View | undefined {
    const unwritten = this.#unwritten.get(key);
    if (unwritten !== undefined) return unwritten;
    return this.#guarded('read an answer that was kept', () => {
      const row = this.#database?.prepare('SELECT value, block, at FROM views WHERE key = ?').get(key);
      if (row === undefined) return undefined;
      return { value: deserialize(row.value as Uint8Array), block: Number(row.block), at: Number(row.at) };
    });
  }

  keepView(key: string, value: unknown, block: number): void {
    const now = Date.now();
    const before = this.view(key);
    const isSame = before !== undefined && serialize(before.value).equals(serialize(value));
    if (isSame && now - before.at < REFRESH_MS) return;
    this.#unwritten.set(key, { value, block, at: now });
    this.#timer ??= setTimeout(() => this.#flush(), FLUSH_MS);
  }

  /** The chain said that there is no such thing any more. */
  dropView(key: string): void {
    this.#unwritten.delete(key);
    this.#guarded('drop an answer', () => this.#run('DELETE FROM views WHERE key = ?', key));
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#unwritten.size === 0) return;
    const views = [...this.#unwritten];
    this.#transaction('keep answers of the chain', () => {
      for (const [key, { value, block, at }] of views) {
        this.#run('INSERT OR REPLACE INTO views VALUES (?, ?, ?, ?)', key, serialize(value), block, at);
      }
      this.#run(
        'DELETE FROM views WHERE key IN (SELECT key FROM views ORDER BY at DESC LIMIT -1 OFFSET ?)',
        VIEW_LIMIT,
      );
    });
    for (const [key, view] of views) if (this.#unwritten.get(key) === view) this.#unwritten.delete(key);
  }

  close(): void {
    this.#flush();
    this.#database?.close();
    this.#database = undefined;
  }

  #run(sql: string, ...values: SQLInputValue[]): void {
    this.#database?.prepare(sql).run(...values);
  }

  #transaction(what: string, work: () => void): void {
    this.#guarded(what, () => {
      const database = this.#database;
      if (database === undefined) return;
      database.exec('BEGIN IMMEDIATE');
      try {
        work();
        database.exec('COMMIT');
      } catch (error) {
        if (database.isTransaction) database.exec('ROLLBACK');
        throw error;
      }
    });
  }

  #guarded<T>(what: string, work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      this.#onProblem(what, error);
      return undefined;
    }
  }
}
