/**
 * Reads a flist file, version 2 (a SQLite database). Everything in it was
 * written by a stranger: sizes, types and structure are checked before use.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { GridError } from '../../../schemas/errors/index.ts';
import { BLOCK_BYTES, ID_BYTES, KEY_BYTES } from './block.ts';
import { DEFAULT_LIMITS, type ReadLimits } from './limits.ts';
import { byName, type Flist, type FlistEntry, kindOf, type Route, TYPE_MASK } from './tree.ts';

const ROUTE_LIMIT = 64;
const TAG_LIMIT = 256;
const ROUTE_URL_LIMIT = 2048;
const NAME_LIMIT_BYTES = 255;
/** Leaves room for the folder in which the tree is unpacked. */
const PATH_LIMIT_BYTES = 3000;
const TARGET_LIMIT_BYTES = 4095;
const ID_LIMIT = 0xfffffffe;

const COLUMNS: Readonly<Record<string, readonly string[]>> = {
  inode: ['ino', 'parent', 'name', 'size', 'uid', 'gid', 'mode', 'rdev', 'ctime', 'mtime'],
  extra: ['ino', 'data'],
  block: ['ino', 'id', 'key'],
  tag: ['key', 'value'],
  route: ['start', 'end', 'url'],
};

type Row = Record<string, unknown>;

/**
 * Reads and checks the flist at `path`. `shownAs` names it in errors.
 * @throws GridError `flist_malformed`, `flist_too_large`, `flist_version_unsupported`
 */
export function readFlist(path: string, limits: ReadLimits = DEFAULT_LIMITS, shownAs: string = path): Flist {
  checkFile(path, limits, shownAs);
  const malformed = (reason: string): GridError => new GridError('flist_malformed', { url: shownAs, reason });
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { readOnly: true, allowExtension: false });
    checkSchema(database, malformed);
    return new Reading(database, limits, shownAs).flist();
  } catch (error) {
    if (error instanceof GridError) throw error;
    throw malformed((error as Error).message);
  } finally {
    database?.close();
  }
}

function checkFile(path: string, limits: ReadLimits, url: string): void {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    if (size > limits.fileBytes) {
      throw new GridError('flist_too_large', { url, what: 'file bytes', size, limit: limits.fileBytes });
    }
    const head = Buffer.alloc(16);
    readSync(file, head, 0, head.length, 0);
    if (head.readUInt16BE(0) === 0x1f8b) {
      throw new GridError('flist_version_unsupported', { url, version: 1, required: 2 });
    }
    if (head.toString('latin1') !== 'SQLite format 3\0') {
      throw new GridError('flist_malformed', { url, reason: 'it is not a SQLite database' });
    }
  } finally {
    closeSync(file);
  }
}

/** Only plain tables of the known shape: no views, no computed columns, nothing that runs. */
function checkSchema(database: DatabaseSync, malformed: (reason: string) => GridError): void {
  database.exec('PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA ignore_check_constraints = ON;');
  const objects = database.prepare('SELECT type, name, rootpage FROM sqlite_schema').all() as Row[];
  for (const { type, name, rootpage } of objects) {
    if (type !== 'table' && type !== 'index') throw malformed(`it has a ${String(type)} '${String(name)}'`);
    if (rootpage === 0 || rootpage === null) throw malformed(`'${String(name)}' is a virtual table`);
    if (type === 'index') {
      const keys = database.prepare('SELECT cid FROM pragma_index_xinfo(?)').all(String(name)) as Row[];
      if (keys.some(({ cid }) => Number(cid) < -1)) throw malformed(`the index '${String(name)}' computes`);
    }
  }
  for (const [table, wanted] of Object.entries(COLUMNS)) {
    const columns = database.prepare('SELECT name, hidden FROM pragma_table_xinfo(?)').all(table) as Row[];
    if (columns.some(({ hidden }) => hidden !== 0)) throw malformed(`the table '${table}' computes`);
    const missing = wanted.filter((name) => !columns.some((column) => column.name === name));
    if (missing.length > 0) throw malformed(`the table '${table}' lacks ${missing.join(', ')}`);
  }
  const [check] = database.prepare('PRAGMA quick_check(1)').all() as Row[];
  if (check?.quick_check !== 'ok') throw malformed(`the database is damaged: ${String(check?.quick_check)}`);
}

class Reading {
  readonly #database: DatabaseSync;
  readonly #limits: ReadLimits;
  readonly #url: string;

  constructor(database: DatabaseSync, limits: ReadLimits, url: string) {
    this.#database = database;
    this.#limits = limits;
    this.#url = url;
  }

  flist(): Flist {
    const blocks = this.#blocks();
    const children = new Map<number, Array<{ ino: number; name: string; entry: Omit<FlistEntry, 'path'> }>>();
    let root: Omit<FlistEntry, 'path'> | undefined;
    let count = 0;
    let bytes = 0;
    let blockCount = 0;
    for (const row of this.#rows(
      'SELECT inode.ino AS ino, parent, name, size, uid, gid, mode, rdev, mtime, data ' +
        'FROM inode NOT INDEXED LEFT JOIN extra ON inode.ino = extra.ino',
    )) {
      count++;
      if (count > this.#limits.entries) throw this.#tooLarge('entries', count, this.#limits.entries);
      const ino = this.#number(row, 'ino', 1);
      const entry = this.#entry(row, ino, blocks.get(ino));
      blocks.delete(ino);
      if (entry.kind === 'file') bytes += entry.size;
      if (bytes > this.#limits.treeBytes) throw this.#tooLarge('tree bytes', bytes, this.#limits.treeBytes);
      blockCount += (entry.blocks?.length ?? 0) / (ID_BYTES + KEY_BYTES);
      if (ino === 1) {
        root = entry;
        continue;
      }
      const parent = this.#number(row, 'parent', 1);
      const siblings = children.get(parent) ?? [];
      siblings.push({ ino, name: this.#name(row, ino), entry });
      children.set(parent, siblings);
    }
    if (root?.kind !== 'directory') throw this.#malformed('its root is not a directory');
    const [stray] = blocks.keys();
    if (stray !== undefined) throw this.#malformed(`it has blocks of entry ${stray}, which does not exist`);

    const entries: FlistEntry[] = [{ path: '', ...root }];
    const queue: Array<{ ino: number; path: string }> = [{ ino: 1, path: '' }];
    for (const { ino, path } of queue) {
      const found = children.get(ino);
      if (found === undefined) continue;
      children.delete(ino);
      found.sort((a, b) => byName(a.name, b.name));
      let previous: string | undefined;
      for (const { ino: child, name, entry } of found) {
        const childPath = path === '' ? name : `${path}/${name}`;
        if (name === previous) throw this.#malformed(`it has two entries '${childPath}'`);
        if (Buffer.byteLength(childPath) > PATH_LIMIT_BYTES) {
          throw this.#tooLarge('path bytes', Buffer.byteLength(childPath), PATH_LIMIT_BYTES);
        }
        previous = name;
        entries.push({ path: childPath, ...entry });
        if (entry.kind === 'directory') queue.push({ ino: child, path: childPath });
      }
    }
    // What is left hangs below a file, below nothing, or in a circle.
    if (entries.length !== count) {
      throw this.#malformed(`${count - entries.length} entries are not reachable from its root`);
    }
    return { entries, routes: this.#routes(), tags: this.#tags(), bytes, blockCount };
  }

  #entry(row: Row, ino: number, blocks: Buffer[] | undefined): Omit<FlistEntry, 'path'> {
    const st = this.#number(row, 'mode', 0, 0xffff);
    const kind = kindOf(st);
    if (kind === undefined) throw this.#malformed(`entry ${ino} has the unknown mode ${st.toString(8)}`);
    const size = this.#number(row, 'size', 0);
    if (kind !== 'file' && blocks !== undefined) throw this.#malformed(`entry ${ino} is no file and has blocks`);
    const expected = kind === 'file' ? Math.ceil(size / BLOCK_BYTES) : 0;
    if (kind === 'file' && (blocks?.length ?? 0) !== expected) {
      throw this.#malformed(`entry ${ino} of ${size} bytes has ${blocks?.length ?? 0} blocks, expected ${expected}`);
    }
    return {
      kind,
      mode: st & ~TYPE_MASK,
      uid: this.#number(row, 'uid', 0, ID_LIMIT),
      gid: this.#number(row, 'gid', 0, ID_LIMIT),
      size: kind === 'file' ? size : 0,
      mtime: this.#number(row, 'mtime', Number.MIN_SAFE_INTEGER),
      rdev: this.#number(row, 'rdev', 0),
      ...(kind === 'link' ? { target: this.#target(row, ino) } : {}),
      ...(kind === 'file' ? { blocks: Buffer.concat(blocks ?? []) } : {}),
    };
  }

  #name({ name }: Row, ino: number): string {
    if (typeof name !== 'string') throw this.#malformed(`the name of entry ${ino} is not text`);
    const fault =
      name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0')
        ? 'is not a file name'
        : Buffer.byteLength(name) > NAME_LIMIT_BYTES
          ? `has more than ${NAME_LIMIT_BYTES} bytes`
          : undefined;
    if (fault !== undefined)
      throw this.#malformed(`the name ${JSON.stringify(name.slice(0, 80))} of entry ${ino} ${fault}`);
    return name;
  }

  #target({ data }: Row, ino: number): string {
    const bytes =
      typeof data === 'string' ? Buffer.from(data) : data instanceof Uint8Array ? Buffer.from(data) : undefined;
    if (bytes === undefined || bytes.length === 0 || bytes.length > TARGET_LIMIT_BYTES || bytes.includes(0)) {
      throw this.#malformed(`the link ${ino} has no target of 1 to ${TARGET_LIMIT_BYTES} bytes`);
    }
    return bytes.toString('utf8');
  }

  #blocks(): Map<number, Buffer[]> {
    const blocks = new Map<number, Buffer[]>();
    for (const row of this.#rows('SELECT ino, id, key FROM block NOT INDEXED ORDER BY rowid')) {
      const ino = this.#number(row, 'ino', 1);
      const { id, key } = row;
      const whole =
        id instanceof Uint8Array && key instanceof Uint8Array && id.length === ID_BYTES && key.length === KEY_BYTES;
      if (!whole) throw this.#malformed(`a block of entry ${ino} has no id and key of 32 bytes`);
      const list = blocks.get(ino);
      const block = Buffer.concat([id, key]);
      if (list === undefined) blocks.set(ino, [block]);
      else list.push(block);
    }
    return blocks;
  }

  #routes(): Route[] {
    const routes: Route[] = [];
    for (const row of this.#rows('SELECT start, "end", url FROM route ORDER BY rowid')) {
      if (routes.length >= ROUTE_LIMIT) throw this.#tooLarge('routes', routes.length + 1, ROUTE_LIMIT);
      if (typeof row.url !== 'string' || row.url.length > ROUTE_URL_LIMIT) {
        throw this.#malformed(`a route has no address of at most ${ROUTE_URL_LIMIT} characters`);
      }
      routes.push({ start: this.#number(row, 'start', 0, 255), end: this.#number(row, 'end', 0, 255), url: row.url });
    }
    return routes;
  }

  #tags(): Map<string, string> {
    const tags = new Map<string, string>();
    for (const { key, value } of this.#rows('SELECT key, value FROM tag')) {
      if (tags.size >= TAG_LIMIT) throw this.#tooLarge('tags', tags.size + 1, TAG_LIMIT);
      if (typeof key === 'string' && typeof value === 'string') tags.set(key, value);
    }
    return tags;
  }

  #rows(sql: string): IterableIterator<Row> {
    const statement = this.#database.prepare(sql);
    statement.setReadBigInts(true);
    return statement.iterate() as IterableIterator<Row>;
  }

  #number(row: Row, column: string, minimum: number, maximum = Number.MAX_SAFE_INTEGER): number {
    const value = row[column];
    if (typeof value !== 'bigint' || value < BigInt(minimum) || value > BigInt(maximum)) {
      throw this.#malformed(
        `'${column}' of an entry is ${String(value).slice(0, 40)}, expected ${minimum} to ${maximum}`,
      );
    }
    return Number(value);
  }

  #malformed(reason: string): GridError {
    return new GridError('flist_malformed', { url: this.#url, reason });
  }

  #tooLarge(what: string, size: number, limit: number): GridError {
    return new GridError('flist_too_large', { url: this.#url, what, size, limit });
  }
}
