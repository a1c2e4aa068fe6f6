/** Writes a flist file, version 2. The same tree gives the same bytes. */
import { randomBytes } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { ID_BYTES, KEY_BYTES } from './block.ts';
import type { EntryKind, FlistEntry, Route } from './tree.ts';

const SCHEMA = `
CREATE TABLE inode (ino INTEGER PRIMARY KEY AUTOINCREMENT, parent INTEGER, name VARCHAR(255), size INTEGER,
  uid INTEGER, gid INTEGER, mode INTEGER, rdev INTEGER, ctime INTEGER, mtime INTEGER);
CREATE INDEX parents ON inode (parent);
CREATE INDEX names ON inode (name);
CREATE TABLE extra (ino INTEGER PRIMARY KEY, data VARCHAR(4096));
CREATE TABLE block (ino INTEGER, id VARCHAR(32), key VARCHAR(32));
CREATE INDEX block_ino ON block (ino);
CREATE TABLE tag (key VARCHAR(10) PRIMARY KEY, value VARCHAR(255));
CREATE TABLE route (start INTEGER, "end" INTEGER, url VARCHAR(2048));
`;

const TYPE_BITS: Readonly<Record<EntryKind, number>> = {
  directory: 0o040000,
  file: 0o100000,
  link: 0o120000,
  'block-device': 0o060000,
  'character-device': 0o020000,
  fifo: 0o010000,
  socket: 0o140000,
};

/** Directories have this size everywhere: their real one depends on the file system. */
const DIRECTORY_BYTES = 4096;

function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? '' : path.slice(0, slash);
}

function sizeOf(entry: FlistEntry): number {
  if (entry.kind === 'directory') return DIRECTORY_BYTES;
  return entry.kind === 'link' ? Buffer.byteLength(entry.target ?? '') : entry.size;
}

/** Writes `entries` (root first, parents before children) to `output`, whole or not at all. */
export async function writeFlist(
  output: string,
  flist: {
    readonly entries: readonly FlistEntry[];
    readonly routes: readonly Route[];
    readonly tags: ReadonlyMap<string, string>;
  },
): Promise<void> {
  const temporary = `${output}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const database = new DatabaseSync(temporary);
    try {
      fill(database, flist.entries, flist.routes, flist.tags);
    } finally {
      database.close();
    }
    await rename(temporary, output);
  } catch (error) {
    for (const path of [temporary, `${temporary}-journal`]) await rm(path, { force: true });
    throw error;
  }
}

function fill(
  database: DatabaseSync,
  entries: readonly FlistEntry[],
  routes: readonly Route[],
  tags: ReadonlyMap<string, string>,
): void {
  database.exec('PRAGMA page_size = 4096; BEGIN;');
  database.exec(SCHEMA);
  const inode = database.prepare('INSERT INTO inode VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)');
  const extra = database.prepare('INSERT INTO extra VALUES (?, ?)');
  const block = database.prepare('INSERT INTO block VALUES (?, ?, ?)');
  const numbers = new Map<string, number>();
  for (const entry of entries) {
    const ino = numbers.size + 1;
    numbers.set(entry.path, ino);
    const parent = entry.path === '' ? 0 : (numbers.get(parentOf(entry.path)) ?? 0);
    const name = entry.path === '' ? '/' : entry.path.slice(entry.path.lastIndexOf('/') + 1);
    const mode = TYPE_BITS[entry.kind] | entry.mode;
    // The time of change is the time of modification: a copy of a tree packs to the same bytes.
    inode.run(ino, parent, name, sizeOf(entry), entry.uid, entry.gid, mode, entry.rdev, entry.mtime, entry.mtime);
    if (entry.target !== undefined) extra.run(ino, Buffer.from(entry.target));
    const blocks = entry.blocks ?? Buffer.alloc(0);
    for (let at = 0; at < blocks.length; at += ID_BYTES + KEY_BYTES) {
      const key = at + ID_BYTES;
      block.run(ino, blocks.subarray(at, key), blocks.subarray(key, key + KEY_BYTES));
    }
  }
  const tag = database.prepare('INSERT INTO tag VALUES (?, ?)');
  for (const [key, value] of tags) tag.run(key, value);
  const route = database.prepare('INSERT INTO route VALUES (?, ?, ?)');
  for (const { start, end, url } of routes) route.run(start, end, url);
  database.exec('COMMIT');
}
