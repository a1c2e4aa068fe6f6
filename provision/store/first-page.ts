/**
 * A file whose first page is lost knows nothing of its tables. A new journal's first page says where they are in
 * every file that was made so; whether this is one is seen by what is found there.
 */
import { closeSync, copyFileSync, existsSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { Database, removeDatabase } from './database.ts';
import { ownerOf } from './quarantine.ts';
import { migrate } from './schema.ts';

const PAGE_BYTES = 4096;
/** Where SQLite's header has these, four bytes each with the highest first. */
const [CHANGES, PAGES, FIRST_FREE, FREE, VALID_FOR] = [24, 28, 32, 36, 92];

/**
 * Opens a copy of the damaged file at `from` with a new first page, at `copy`, where nothing is yet. Undefined where
 * that makes no sense of it. Whoever asks removes the copy.
 */
export function openWithHead(from: string, copy: string): DatabaseSync | undefined {
  const pages = Math.floor(statSync(from).size / PAGE_BYTES);
  if (pages < 2) return undefined;
  const head = firstPage(copy);
  head.writeUInt32BE(pages, PAGES);
  head.writeUInt32BE(0, FIRST_FREE);
  head.writeUInt32BE(0, FREE);
  head.copy(head, VALID_FOR, CHANGES, CHANGES + 4);
  copyFileSync(from, copy);
  if (existsSync(`${from}-wal`)) copyFileSync(`${from}-wal`, `${copy}-wal`);
  const file = openSync(copy, 'r+', 0o600);
  writeSync(file, head, 0, PAGE_BYTES, 0);
  closeSync(file);
  const source = new DatabaseSync(copy, { defensive: false });
  try {
    const rows = source.prepare('SELECT id, twin, contract FROM deployments').all();
    const isOurs = rows.every(({ id, twin, contract }) => {
      const owner = ownerOf(String(id));
      return owner !== undefined && owner.twin === twin && owner.contract.toString() === contract;
    });
    if (isOurs && rows.length > 0) return source;
  } catch {
    // Nothing is where it should be.
  }
  source.close();
  return undefined;
}

function firstPage(place: string): Buffer {
  const fresh = new Database(place);
  migrate(fresh, place);
  fresh.close();
  const page = Buffer.alloc(PAGE_BYTES);
  const file = openSync(place, 'r');
  readSync(file, page, 0, PAGE_BYTES, 0);
  closeSync(file);
  removeDatabase(place);
  return page;
}
