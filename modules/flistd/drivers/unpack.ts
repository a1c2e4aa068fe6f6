/**
 * Unpacks a checked flist into an empty folder. Names are single components
 * and each folder is made here before anything is put into it, so no path ever
 * leads through a link.
 */
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  lutimesSync,
  mkdirSync,
  openSync,
  symlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { GridError } from '../../../schemas/errors/index.ts';
import { BLOCK_BYTES, ID_BYTES, KEY_BYTES } from '../format/block.ts';
import type { Flist, FlistEntry } from '../format/tree.ts';
import type { Router } from './router.ts';

/** Blocks that are fetched ahead of the one being written. */
const AHEAD = 12;
const PAIR_BYTES = ID_BYTES + KEY_BYTES;
/** What every file system can keep as a time, seconds. */
const TIME_LIMIT = 2 ** 33;

interface Piece {
  readonly entry: FlistEntry;
  readonly index: number;
  readonly plain: Promise<Uint8Array>;
}

/**
 * Unpacks into `folder`, which must be empty. Devices, fifos and sockets are
 * never made on the host but counted in `skipped`.
 * @throws GridError as `Router.block`; `flist_malformed`
 */
export async function unpack(flist: Flist, folder: string, router: Router, url: string): Promise<{ skipped: number }> {
  const directories = flist.entries.filter((entry) => entry.kind === 'directory');
  for (const { path } of directories) if (path !== '') mkdirSync(join(folder, path), { mode: 0o700 });

  let skipped = 0;
  for (const entry of flist.entries) {
    if (entry.kind === 'link') makeLink(folder, entry);
    else if (entry.kind === 'file' && entry.size === 0) closeFile(createFile(folder, entry), entry);
    else if (entry.kind !== 'file' && entry.kind !== 'directory') skipped++;
  }
  await writeFiles(flist, folder, router, url);

  // Last, deepest first: what is put into a folder changes its time.
  for (const entry of directories.reverse()) {
    const path = join(folder, entry.path);
    lchownSync(path, entry.uid, entry.gid);
    chmodSync(path, entry.mode);
    utimesSync(path, time(entry), time(entry));
  }
  return { skipped };
}

async function writeFiles(flist: Flist, folder: string, router: Router, url: string): Promise<void> {
  const stop = new AbortController();
  const pieces = piecesOf(flist, (id, key) => router.block(id, key, stop.signal));
  const queue: Piece[] = [];
  const refill = (): void => {
    while (queue.length < AHEAD) {
      const next = pieces.next();
      if (next.done) return;
      // Observed when its turn comes; until then a failure must not end the process.
      next.value.plain.catch(() => undefined);
      queue.push(next.value);
    }
  };
  let open: { entry: FlistEntry; fd: number; written: number } | undefined;
  try {
    for (refill(); ; refill()) {
      const piece = queue.shift();
      if (piece === undefined) return;
      const { entry } = piece;
      if (open === undefined) open = { entry, fd: createFile(folder, entry), written: 0 };
      const plain = await piece.plain;
      const expected = Math.min(BLOCK_BYTES, entry.size - open.written);
      if (plain.length !== expected) {
        const reason = `block ${piece.index} of '${entry.path}' has ${plain.length} bytes, expected ${expected}`;
        throw new GridError('flist_malformed', { url, reason });
      }
      writeAll(open.fd, plain);
      open.written += plain.length;
      if (open.written < entry.size) continue;
      const { fd } = open;
      open = undefined;
      closeFile(fd, entry);
    }
  } finally {
    if (open !== undefined) closeSync(open.fd);
    stop.abort();
    await Promise.allSettled(queue.map((piece) => piece.plain));
  }
}

function* piecesOf(flist: Flist, get: (id: Buffer, key: Buffer) => Promise<Uint8Array>): Generator<Piece, undefined> {
  for (const entry of flist.entries) {
    const blocks = entry.blocks ?? Buffer.alloc(0);
    for (let at = 0; at < blocks.length; at += PAIR_BYTES) {
      const plain = get(blocks.subarray(at, at + ID_BYTES), blocks.subarray(at + ID_BYTES, at + PAIR_BYTES));
      yield { entry, index: at / PAIR_BYTES, plain };
    }
  }
  return undefined;
}

function createFile(folder: string, entry: FlistEntry): number {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  return openSync(join(folder, entry.path), flags, 0o600);
}

function writeAll(fd: number, plain: Uint8Array): void {
  for (let at = 0; at < plain.length; ) at += writeSync(fd, plain, at);
}

function closeFile(fd: number, entry: FlistEntry): void {
  try {
    // A change of owner clears set-user-id, so the mode comes after it.
    fchownSync(fd, entry.uid, entry.gid);
    fchmodSync(fd, entry.mode);
    futimesSync(fd, time(entry), time(entry));
  } finally {
    closeSync(fd);
  }
}

function makeLink(folder: string, entry: FlistEntry): void {
  const path = join(folder, entry.path);
  symlinkSync(entry.target ?? '', path);
  lchownSync(path, entry.uid, entry.gid);
  lutimesSync(path, time(entry), time(entry));
}

function time(entry: FlistEntry): number {
  return Math.min(Math.max(entry.mtime, 0), TIME_LIMIT);
}
