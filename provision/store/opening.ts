/**
 * Opens the journal's file, whatever became of it. A damaged one is read row by row into a new one, and kept
 * beside it. Each change of names may be cut short: the next start finishes it.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Database, isDamage, removeDatabase } from './database.ts';
import { headFaults } from './first-page.ts';
import type { DeploymentId } from './journal.ts';
import { rescue } from './rescue.ts';
import { migrate, schemaFaults } from './schema.ts';
import { lostCommits } from './wal.ts';

export interface JournalLog {
  error(facts: object, message: string): void;
}

const DAMAGED = '.damaged-';
const SALVAGED = '.salvaged-';
const HALF_MADE = '.making';
/** Of the faults of a file: those that are told. */
const FAULTS_TOLD = 20;
/** And of the deployments that they cost; the table names all. */
const NAMES_TOLD = 500;

/** Opens or makes the journal at `path`, and its folder. Throws when it is of a newer schema. */
export function openJournal(path: string, now: () => number, log: JournalLog): Database {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  finishExchange(path);
  if (!existsSync(path)) {
    makeNew(path);
    return new Database(path);
  }
  const lost = lostCommits(path);
  const cut = lost > 0 ? [`the log ends before ${lost} transactions that were committed`] : [];
  // Before SQLite believes it.
  const head = headFaults(path);
  const found = head.length > 0 ? [...head, ...cut] : tryToOpen(path, cut);
  if (!Array.isArray(found)) return found;
  const { aside, named } = exchange(path, found, now);
  const setAside = { number: named.length, deployments: named.slice(0, NAMES_TOLD) };
  const faults = found.slice(0, FAULTS_TOLD);
  log.error({ path, aside, faults, setAside }, 'the journal is damaged; what could be read goes on');
  const database = new Database(path);
  migrate(database, path);
  return database;
}

/** The open file, or what is wrong with it. */
function tryToOpen(path: string, faults: readonly string[]): Database | string[] {
  let database: Database | undefined;
  try {
    database = new Database(path);
    const all = [...faults, ...database.faults()];
    if (all.length === 0) {
      // A file is made elsewhere and gets its name when it is whole.
      if (isEmpty(database)) {
        all.push('the file is empty');
      } else {
        migrate(database, path);
        all.push(...schemaFaults(database));
      }
    }
    if (all.length === 0) return database;
    database.close();
    return all;
  } catch (error) {
    database?.close();
    if (!isDamage(error)) throw error;
    return [...faults, (error as Error).message];
  }
}

function isEmpty(database: Database): boolean {
  return database.get('SELECT 1 FROM sqlite_schema LIMIT 1') === undefined;
}

/** A file has its name only once it is whole: an empty one under that name lost something. */
function makeNew(path: string): void {
  const half = `${path}${HALF_MADE}`;
  removeDatabase(half);
  const database = new Database(half);
  migrate(database, half);
  database.close();
  renameSync(half, path);
}

/** Puts what can be read of the file at `path` in its place; returns where the damaged one is now, and what is set aside. */
function exchange(
  path: string,
  faults: readonly string[],
  now: () => number,
): { readonly aside: string; readonly named: readonly DeploymentId[] } {
  const half = `${path}${HALF_MADE}`;
  removeDatabase(half);
  const time = freeTime(path, now());
  const aside = `${path}${DAMAGED}${time}`;
  const told = faults.slice(0, FAULTS_TOLD);
  const named = rescue({ from: path, to: half, aside: basename(aside), faults: told, now });
  renameSync(half, `${path}${SALVAGED}${time}`);
  finishExchange(path);
  return { aside, named };
}

/** From the moment that a salvaged file has its name, it is the journal. */
function finishExchange(path: string): void {
  const folder = dirname(path);
  const prefix = `${basename(path)}${SALVAGED}`;
  const salvaged = readdirSync(folder).find((name) => name.startsWith(prefix) && !/-(wal|shm)$/.test(name));
  if (salvaged === undefined) return;
  const aside = `${path}${DAMAGED}${salvaged.slice(prefix.length)}`;
  // The log first: beside another file it would be taken for that one's.
  for (const part of ['-wal', '']) if (existsSync(`${path}${part}`)) renameSync(`${path}${part}`, `${aside}${part}`);
  rmSync(`${path}-shm`, { force: true });
  renameSync(join(folder, salvaged), path);
}

/** A time for names, which nothing beside the journal has. */
function freeTime(path: string, now: number): string {
  const time = new Date(now).toISOString().replaceAll(':', '-');
  for (let n = 1; ; n++) {
    const name = n === 1 ? time : `${time}-${n}`;
    if (!existsSync(`${path}${DAMAGED}${name}`)) return name;
  }
}
