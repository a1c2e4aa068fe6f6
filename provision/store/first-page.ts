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

/** What SQLite's header says in every file of ours, byte by byte: all else there differs between files. */
const SAID: readonly [at: number, bytes: readonly number[], what: string][] = [
  [18, [2, 2], 'how it is written and read'],
  [20, [0, 64, 32, 32], 'how its pages are filled'],
  [44, [0, 0, 0, 4], 'the form of its schema'],
  [52, [0, 0, 0, 0], 'that it is vacuumed by hand'],
  [56, [0, 0, 0, 1], 'that its text is UTF-8'],
];
const [VERSION, VERSIONS_MOST] = [60, 1000];
const HEADER_BYTES = 100;

/** What is wrong in a header that SQLite would believe: that the file is read only, of another encoding, of a far future. */
export function headFaults(path: string): string[] {
  const header = Buffer.alloc(HEADER_BYTES);
  const file = openSync(path, 'r');
  const length = readSync(file, header, 0, HEADER_BYTES, 0);
  closeSync(file);
  // Without its own name at the beginning it is no database, which SQLite says.
  if (length < HEADER_BYTES || header.toString('latin1', 0, 15) !== 'SQLite format 3') return [];
  const faults = SAID.filter(([at, bytes]) => !header.subarray(at, at + bytes.length).equals(Buffer.from(bytes)));
  const version = header.readUInt32BE(VERSION);
  return [
    ...faults.map(([, , what]) => `its header does not say ${what}`),
    ...(version > VERSIONS_MOST ? [`its header says that it is of schema ${version}`] : []),
  ];
}

/** Opens a copy of the file at `from` with a header that says what every one does, at `copy`, as the function below. */
export function openWithHeader(from: string, copy: string): DatabaseSync | undefined {
  copyWithLog(from, copy);
  const file = openSync(copy, 'r+', 0o600);
  for (const [at, bytes] of SAID) writeSync(file, Buffer.from(bytes), 0, bytes.length, at);
  closeSync(file);
  try {
    const source = new DatabaseSync(copy, { defensive: false });
    source.exec('PRAGMA writable_schema = ON');
    source.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get();
    return source;
  } catch {
    removeDatabase(copy);
    return undefined;
  }
}

function copyWithLog(from: string, copy: string): void {
  copyFileSync(from, copy);
  if (existsSync(`${from}-wal`)) copyFileSync(`${from}-wal`, `${copy}-wal`);
}

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
  copyWithLog(from, copy);
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
