/**
 * One process has the journal at a time: two that plan by it would give the same bytes away twice. The lock is
 * the kernel's, on a file beside the journal, so that it ends with its process however that ends.
 */
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, truncateSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { GridError } from '../../schemas/errors/index.ts';
import { isDamage } from './database.ts';

/** How long a process that is about to end may still have it. */
const WAIT_MS = 2_000;

export interface JournalLock {
  release(): void;
}

/**
 * Takes the lock of the journal at `path`, whose folder is made. Throws `journal_in_use` with the other's number
 * where another process keeps it; does not return for up to two seconds then.
 */
export function lockJournal(path: string): JournalLock {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const file = `${path}.lock`;
  if (!existsSync(file)) closeSync(openSync(file, 'a', 0o600));
  chmodSync(file, 0o600);
  try {
    return take(path, file);
  } catch (error) {
    if (!isDamage(error)) throw error;
    // Nothing of worth is in it, and whoever has it locked keeps it locked.
    truncateSync(file);
    return take(path, file);
  }
}

function take(path: string, file: string): JournalLock {
  const database = new DatabaseSync(file);
  try {
    // What is in the file tells who has it and may be lost at any time; the lock is what counts.
    database.exec(`PRAGMA busy_timeout = ${WAIT_MS}; PRAGMA synchronous = OFF`);
    leaveNumber(database);
    database.exec('BEGIN IMMEDIATE');
    return { release: () => database.close() };
  } catch (error) {
    const pid = isBusy(error) ? numberIn(database) : undefined;
    database.close();
    if (pid === undefined) throw error;
    throw new GridError('journal_in_use', { path, pid }, { cause: error });
  }
}

/** Whoever is refused can name this process; where the disk is full nobody can. */
function leaveNumber(database: DatabaseSync): void {
  try {
    database.exec(`PRAGMA user_version = ${process.pid}`);
  } catch (error) {
    if (isBusy(error) || isDamage(error)) throw error;
  }
}

/** 0 when it can not be told. */
function numberIn(database: DatabaseSync): number {
  try {
    return Number(database.prepare('PRAGMA user_version').get()?.user_version ?? 0);
  } catch {
    return 0;
  }
}

function isBusy(error: unknown): boolean {
  // SQLITE_BUSY, of which the low byte is the kind.
  return error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === 5;
}
