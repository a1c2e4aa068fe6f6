/** What the node counted and what it told the chain, in an SQLite file of its own: every method is one transaction. */
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { Database, isDamage } from '../store/database.ts';
import { CapacityTable } from './capacity-table.ts';
import { Facts } from './facts.ts';
import { TrafficTable } from './traffic-table.ts';

const SCHEMA = 1;

/** SQLite reads the file, and finds that it does not hold together. */
class Torn extends Error {}

export interface OpenedStore {
  readonly store: ReportStore;
  /** Where a file that could not be read was put, and why. */
  readonly damaged: { readonly path: string; readonly reason: string } | undefined;
}

export class ReportStore {
  readonly capacity: CapacityTable;
  readonly traffic: TrafficTable;
  readonly #database: Database;

  private constructor(database: Database) {
    this.#database = database;
    database.execute(`
      CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
      CREATE TABLE IF NOT EXISTS counters (
        workload TEXT PRIMARY KEY, deployment TEXT NOT NULL, epoch TEXT NOT NULL, bytes INTEGER NOT NULL) STRICT;
      CREATE TABLE IF NOT EXISTS windows (
        deployment TEXT PRIMARY KEY, opened INTEGER NOT NULL, until INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
      CREATE TABLE IF NOT EXISTS reports (
        id TEXT PRIMARY KEY, deployment TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL,
        bytes INTEGER NOT NULL, state TEXT NOT NULL, stamp INTEGER NOT NULL, passed INTEGER NOT NULL,
        reason TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
      CREATE INDEX IF NOT EXISTS reports_by_state ON reports (state, since);
      CREATE TABLE IF NOT EXISTS attempt (
        one INTEGER PRIMARY KEY CHECK (one = 1), birth INTEGER NOT NULL, included INTEGER NOT NULL) STRICT;
      CREATE TABLE IF NOT EXISTS capacity (
        deployment TEXT PRIMARY KEY, value TEXT NOT NULL, toldAt INTEGER NOT NULL, confirmed INTEGER NOT NULL,
        again INTEGER NOT NULL, refused TEXT NOT NULL, refusedAt INTEGER NOT NULL) STRICT;
    `);
    const facts = new Facts(database);
    const schema = facts.get('schema');
    if (schema > SCHEMA) {
      throw new Error(`reports of schema ${schema}, this program knows ${SCHEMA}; start the newer provisiond again`);
    }
    facts.set('schema', SCHEMA);
    this.capacity = new CapacityTable(database, facts);
    this.traffic = new TrafficTable(database, facts);
  }

  /**
   * Opens or makes the file. A damaged one is put aside: what it held is not told again, so counters begin at what
   * they stand at. One that is whole stays: throws when another program holds it, when it cannot be written, and when
   * a newer provisiond wrote it.
   */
  static open(path: string): OpenedStore {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const isNew = !existsSync(path);
    try {
      return { store: ReportStore.#checked(path), damaged: undefined };
    } catch (error) {
      if (isNew || !(error instanceof Torn || isDamage(error))) throw error;
      const aside = `${path}.damaged-${Date.now()}`;
      renameSync(path, aside);
      for (const suffix of ['-wal', '-shm']) {
        if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
      }
      const store = ReportStore.#checked(path);
      store.traffic.beginAtCounters();
      return { store, damaged: { path: aside, reason: (error as Error).message } };
    }
  }

  static #checked(path: string): ReportStore {
    const database = new Database(path);
    try {
      const [found] = database.all('PRAGMA quick_check(1)');
      if (found?.quick_check !== 'ok') throw new Torn(String(found?.quick_check));
      return new ReportStore(database);
    } catch (error) {
      database.close();
      throw error;
    }
  }

  close(): void {
    this.#database.close();
  }
}
