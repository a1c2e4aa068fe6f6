/** Packs a directory into a flist file and a folder of blocks. */
import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
} from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { GridError } from '../../../schemas/errors/index.ts';
import { writeFileAtomic } from '../../host/files.ts';
import { BLOCK_BYTES, type EncodedBlock, encodeBlock } from './block.ts';
import { byName, type FlistEntry, kindOf, type Route, TYPE_MASK } from './tree.ts';
import { writeFlist } from './write.ts';

/** Milliseconds of work after which a caller's other work, and its signal, get their turn. */
const TURN_MS = 20;

export interface PackOptions {
  readonly directory: string;
  /** Path of the flist file to write, ending in `.fl`; its MD5 is written beside it as `<output>.md5`. */
  readonly output: string;
  /** Where blocks are written: `dir:///path`. */
  readonly store: string;
  /** Where readers find the blocks; `store` for all of them when left out. */
  readonly routes?: readonly Route[];
  readonly tags?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface PackResult {
  /** MD5 of the flist file, its name on the grid. */
  readonly md5: string;
  readonly entries: number;
  /** Bytes of all files. */
  readonly bytes: number;
  readonly blocks: number;
  /** Blocks that the store did not hold before. */
  readonly newBlocks: number;
}

/** The folder of a `dir://` store. */
export function storeFolder(url: string): string {
  const path = url.startsWith('dir:///') ? fileURLToPath(`file://${url.slice('dir://'.length)}`) : '';
  if (!isAbsolute(path)) throw new GridError('flist_url_refused', { url, reason: 'expected dir:///path' });
  return path;
}

/** Where a `dir` store keeps a block: `<first two hex digits>/<hex>`. */
export function blockPath(folder: string, hex: string): string {
  return join(folder, hex.slice(0, 2), hex);
}

/**
 * Packs `directory`. The same tree (names, contents, modes, owners, times)
 * gives the same bytes. @throws GridError `flist_pack_refused`
 */
export async function packFlist(options: PackOptions): Promise<PackResult> {
  const folder = storeFolder(options.store);
  await mkdir(folder, { recursive: true });
  const seen = new Set<string>();
  let newBlocks = 0;
  let bytes = 0;
  let blocks = 0;
  const store = (block: EncodedBlock): void => {
    const hex = block.id.toString('hex');
    if (seen.has(hex)) return;
    seen.add(hex);
    const path = blockPath(folder, hex);
    if (statSync(path, { throwIfNoEntry: false })?.size === block.blob.length) return;
    writeBlock(path, block.blob);
    newBlocks++;
  };

  const entries: FlistEntry[] = [];
  let turnedAt = performance.now();
  for (const found of walk(options.directory)) {
    if (performance.now() - turnedAt > TURN_MS) {
      await turn();
      options.signal?.throwIfAborted();
      turnedAt = performance.now();
    }
    if (found.kind !== 'file') {
      entries.push(found);
      continue;
    }
    const encoded = packFile(join(options.directory, found.path), store);
    bytes += encoded.size;
    blocks += encoded.blocks.length / 64;
    entries.push({ ...found, ...encoded });
  }
  const routes = options.routes ?? [{ start: 0, end: 255, url: options.store }];
  await writeFlist(options.output, { entries, routes, tags: new Map(Object.entries(options.tags ?? {})) });
  const md5 = createHash('md5')
    .update(await readFile(options.output))
    .digest('hex');
  await writeFileAtomic(`${options.output}.md5`, `${md5}\n`, 0o644);
  return { md5, entries: entries.length, bytes, blocks, newBlocks };
}

/** Not synced: a block that a crash cut short has the wrong size, and the next pack writes it again. */
function writeBlock(path: string, blob: Buffer): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(temporary, blob, { mode: 0o644 });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

function* walk(directory: string): Generator<FlistEntry> {
  const root = lstatSync(directory, { throwIfNoEntry: false });
  if (!root?.isDirectory())
    throw new GridError('flist_pack_refused', { path: directory, reason: 'it is not a directory' });
  const queue: Array<{ path: string; stats: Stats }> = [{ path: '', stats: root }];
  yield entryOf(directory, '', root);
  for (const { path } of queue) {
    for (const name of namesIn(join(directory, path))) {
      const child = path === '' ? name : `${path}/${name}`;
      const stats = lstatSync(join(directory, child));
      yield entryOf(directory, child, stats);
      if (stats.isDirectory()) queue.push({ path: child, stats });
    }
  }
}

function namesIn(folder: string): string[] {
  return readdirSync(folder, { encoding: 'buffer' })
    .map((raw) => {
      const name = raw.toString('utf8');
      if (!Buffer.from(name).equals(raw)) {
        throw new GridError('flist_pack_refused', { path: join(folder, name), reason: 'its name is not UTF-8' });
      }
      return name;
    })
    .sort(byName);
}

function entryOf(directory: string, path: string, stats: Stats): FlistEntry {
  const kind = kindOf(stats.mode);
  if (kind === undefined) throw new GridError('flist_pack_refused', { path, reason: 'its kind is unknown' });
  const isDevice = kind === 'block-device' || kind === 'character-device';
  return {
    path,
    kind,
    mode: stats.mode & ~TYPE_MASK,
    uid: stats.uid,
    gid: stats.gid,
    size: 0,
    mtime: Math.floor(stats.mtimeMs / 1000),
    rdev: isDevice ? stats.rdev : 0,
    ...(kind === 'link' ? { target: targetOf(join(directory, path)) } : {}),
  };
}

function targetOf(link: string): string {
  const raw = readlinkSync(link, { encoding: 'buffer' });
  const target = raw.toString('utf8');
  if (Buffer.from(target).equals(raw)) return target;
  throw new GridError('flist_pack_refused', { path: link, reason: 'its target is not UTF-8' });
}

function packFile(path: string, store: (block: EncodedBlock) => void): { size: number; blocks: Buffer } {
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const parts: Buffer[] = [];
    const buffer = Buffer.alloc(Math.min(BLOCK_BYTES, fstatSync(file).size + 1));
    let size = 0;
    for (;;) {
      // Short reads happen; a block in the middle of a file must be whole.
      let filled = 0;
      while (filled < buffer.length) {
        const read = readSync(file, buffer, filled, buffer.length - filled, size + filled);
        if (read === 0) break;
        filled += read;
      }
      if (filled === 0) break;
      const block = encodeBlock(buffer.subarray(0, filled));
      store(block);
      parts.push(block.id, block.key);
      size += filled;
      if (filled < BLOCK_BYTES) break;
    }
    return { size, blocks: Buffer.concat(parts) };
  } finally {
    closeSync(file);
  }
}
