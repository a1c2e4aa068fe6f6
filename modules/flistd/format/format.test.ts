import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isGridError } from '../../../schemas/errors/index.ts';
import { makeTree } from '../testing/tree.ts';
import { BLOCK_BYTES, BlockError, decodeBlock, encodeBlock, packFlist, readFlist } from './index.ts';

const folder = mkdtempSync(join(tmpdir(), 'gn-fl-'));
const tree = join(folder, 'tree');
const output = join(folder, 'tree.fl');
const store = `dir://${folder}/store`;
const isRoot = process.getuid?.() === 0;

beforeAll(async () => {
  if (!isRoot) return;
  mkdirSync(tree);
  makeTree(tree);
  await packFlist({ directory: tree, output, store });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const hex = (text: string): Buffer => Buffer.from(text, 'hex');

describe('a block', () => {
  const id = hex('68ca892f2863d13ab37d13f07edbb3808b350a3a9c04b7eff9febbe4a3a57744');
  const key = hex('2b9b2f6028c2a92e07fe4d10ddd43ef57761eb1e9d16cde04a39d319d59e286f');
  const blob = hex('0fbf9a0deb48793e15dbb08a7e3d6de21e2e036ac3f4c744f7');
  const plain = hex('332e32312e330a');

  it('is what other tools of the grid wrote', () => {
    expect(encodeBlock(plain)).toEqual({ id, key, blob });
    expect(Buffer.from(decodeBlock(id, key, blob)).equals(plain)).toBe(true);
  });

  it('comes back as it was, whatever it holds', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 4000 }), (content) => {
        const block = encodeBlock(content);
        expect(Buffer.from(decodeBlock(block.id, block.key, block.blob)).equals(content)).toBe(true);
      }),
      { numRuns: 100 },
    );
    for (const content of [Buffer.alloc(BLOCK_BYTES), Buffer.alloc(BLOCK_BYTES, 'abcdefg')]) {
      const block = encodeBlock(content);
      expect(Buffer.from(decodeBlock(block.id, block.key, block.blob)).equals(content)).toBe(true);
    }
  });

  it('is refused with any bit changed, another key or too much content', () => {
    for (let bit = 0; bit < blob.length * 8; bit++) {
      const changed = Buffer.from(blob);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => decodeBlock(id, key, changed)).toThrow(BlockError);
    }
    expect(() => decodeBlock(id, id, blob)).toThrow('its key does not open it');
    expect(() => decodeBlock(id, key, Buffer.alloc(0))).toThrow(BlockError);
    const large = encodeBlock(Buffer.alloc(BLOCK_BYTES + 1));
    expect(() => decodeBlock(large.id, large.key, large.blob)).toThrow(/decompress/);
  });
});

describe.skipIf(!isRoot)('packing', () => {
  it('gives the same bytes for the same tree', async () => {
    const copy = join(folder, 'copy');
    execFileSync('cp', ['-a', tree, copy]);
    const first = await packFlist({ directory: tree, output: join(folder, '1.fl'), store });
    const second = await packFlist({ directory: copy, output: join(folder, '2.fl'), store });
    expect(second.md5).toBe(first.md5);
    expect(second.newBlocks).toBe(0);
    expect(readFileSync(join(folder, '1.fl')).equals(readFileSync(join(folder, '2.fl')))).toBe(true);
    expect(readFileSync(join(folder, '1.fl.md5'), 'utf8')).toBe(`${first.md5}\n`);
  });

  it('keeps everything that the format has room for', () => {
    const flist = readFlist(output);
    const find = (path: string) => flist.entries.find((entry) => entry.path === path);
    expect(flist.routes).toEqual([{ start: 0, end: 255, url: store }]);
    expect(find('bin/su')).toMatchObject({ kind: 'file', mode: 0o4755, uid: 1234, gid: 0, size: 70_000 });
    expect(find('bin/big')?.blocks?.length).toBe(3 * 64);
    expect(find('bin/exact')?.blocks?.length).toBe(2 * 64);
    expect(find('etc/deep/er/nothing')?.blocks?.length).toBe(0);
    expect(find('loop')).toMatchObject({ kind: 'link', target: 'dangling', uid: 1000, mtime: 1_000_000_000 });
    expect(find('')).toMatchObject({ kind: 'directory', mtime: 1_600_000_000 });
    expect(flist.bytes).toBe(70_000 + 1_300_000 + 1_048_576 + 2_000_000 + 3 + 7 + 3);
  });

  it('refuses what it cannot describe', async () => {
    const odd = join(folder, 'odd');
    mkdirSync(odd);
    writeFileSync(Buffer.concat([Buffer.from(`${odd}/`), Buffer.from([0xff, 0xfe])]), '');
    await expect(packFlist({ directory: odd, output: join(folder, 'odd.fl'), store })).rejects.toThrow('not UTF-8');
    await expect(packFlist({ directory: output, output: join(folder, 'odd.fl'), store })).rejects.toThrow(
      'not a directory',
    );
    await expect(packFlist({ directory: tree, output: join(folder, 'odd.fl'), store: 'zdb://x' })).rejects.toThrow(
      'dir:///',
    );
  });
});

describe.skipIf(!isRoot)('a hostile flist', () => {
  const tampered = (sql: string): string => {
    const path = join(folder, 'hostile.fl');
    copyFileSync(output, path);
    const database = new DatabaseSync(path, { defensive: false });
    try {
      database.exec(sql);
    } finally {
      database.close();
    }
    return path;
  };
  const ino = "(SELECT ino FROM inode WHERE name = 'hostname')";

  it.each([
    ['climbs out', `UPDATE inode SET name = '../../escape' WHERE ino = ${ino}`, 'is not a file name'],
    ['is absolute', `UPDATE inode SET name = '/etc/cron.d/x' WHERE ino = ${ino}`, 'is not a file name'],
    ['names the parent', `UPDATE inode SET name = '..' WHERE ino = ${ino}`, 'is not a file name'],
    ['names itself', `UPDATE inode SET name = '.' WHERE ino = ${ino}`, 'is not a file name'],
    ['has no name', `UPDATE inode SET name = '' WHERE ino = ${ino}`, 'is not a file name'],
    ['has a NUL', `UPDATE inode SET name = 'a' || char(0) || 'b' WHERE ino = ${ino}`, 'is not a file name'],
    ['has a name that is bytes', `UPDATE inode SET name = x'2e2e' WHERE ino = ${ino}`, 'is not text'],
    ['has a long name', `UPDATE inode SET name = hex(zeroblob(128)) WHERE ino = ${ino}`, 'more than 255 bytes'],
    ['has one name twice', `UPDATE inode SET name = 'shadow' WHERE ino = ${ino}`, "two entries 'etc/shadow'"],
    [
      'is a circle',
      "UPDATE inode SET parent = (SELECT ino FROM inode WHERE name = 'er') WHERE name = 'deep'",
      'not reachable',
    ],
    ['is its own parent', "UPDATE inode SET parent = ino WHERE name = 'deep'", 'not reachable'],
    ['hangs below a file', `UPDATE inode SET parent = ${ino} WHERE name = 'su'`, 'not reachable'],
    [
      'hangs below a link',
      "UPDATE inode SET parent = (SELECT ino FROM inode WHERE name = 'absolute') WHERE name = 'su'",
      'not reachable',
    ],
    ['hangs below nothing', "UPDATE inode SET parent = 99999 WHERE name = 'su'", 'not reachable'],
    ['has no root', 'DELETE FROM inode WHERE ino = 1', 'root is not a directory'],
    [
      'has a link as its root',
      "UPDATE inode SET mode = 41471 WHERE ino = 1; INSERT INTO extra VALUES (1, '/')",
      'root is not a directory',
    ],
    ['is of an unknown kind', `UPDATE inode SET mode = 420 WHERE ino = ${ino}`, 'unknown mode'],
    ['has a huge file', `UPDATE inode SET size = 1 << 62 WHERE ino = ${ino}`, "'size' of an entry"],
    ['has a file larger than its blocks', `UPDATE inode SET size = 1000000000000 WHERE ino = ${ino}`, 'has 1 blocks'],
    ['has a negative size', `UPDATE inode SET size = -1 WHERE ino = ${ino}`, "'size' of an entry"],
    ['has a size that is text', `UPDATE inode SET size = 'many' WHERE ino = ${ino}`, "'size' of an entry"],
    ['has a size that is a fraction', `UPDATE inode SET size = 2.5 WHERE ino = ${ino}`, "'size' of an entry"],
    ['has blocks of a folder', 'UPDATE block SET ino = 1 WHERE rowid = 1', 'is no file and has blocks'],
    ['has blocks of nobody', 'UPDATE block SET ino = 99999', 'blocks'],
    ['has a short block id', "UPDATE block SET id = x'00'", 'no id and key of 32 bytes'],
    ['has a block id that is text', "UPDATE block SET id = '0123456789abcdef0123456789abcdef'", 'no id and key'],
    ['has a link without target', 'DELETE FROM extra', 'has no target'],
    ['has a target with a NUL', "UPDATE extra SET data = x'610062'", 'has no target'],
    ['has a target without end', 'UPDATE extra SET data = zeroblob(5000)', 'has no target'],
    ['has a route outside a byte', 'UPDATE route SET "end" = 300', "'end' of an entry"],
    ['lacks a table', 'DROP TABLE extra', "'extra' lacks"],
    ['has a view', 'CREATE VIEW v AS SELECT 1', "has a view 'v'"],
    ['has a trigger', 'CREATE TRIGGER t AFTER INSERT ON inode BEGIN DELETE FROM inode; END', "has a trigger 't'"],
    ['has a virtual table', 'CREATE VIRTUAL TABLE f USING fts5(a)', 'virtual table'],
    ['has a computed column', 'ALTER TABLE inode ADD COLUMN x AS (zeroblob(1000000000))', "'inode' computes"],
    ['has a computing index', 'CREATE INDEX x ON inode (length(name))', "'x' computes"],
  ])('that %s is refused', (_, sql, reason) => {
    const path = tampered(sql);
    const started = process.cpuUsage();
    let thrown: unknown;
    try {
      readFlist(path);
    } catch (error) {
      thrown = error;
    }
    expect(isGridError(thrown, 'flist_malformed')).toBe(true);
    expect((thrown as Error).message).toContain(reason);
    const { user, system } = process.cpuUsage(started);
    expect(user + system).toBeLessThan(2_000_000);
  });

  it('of too many entries, bytes or routes is refused with the numbers', () => {
    const limits = { fileBytes: 64 * 1024 ** 2, entries: 5, treeBytes: 2 ** 40 };
    expect(() => readFlist(output, limits)).toThrow('entries 6, limit 5');
    expect(() => readFlist(output, { ...limits, entries: 1000, treeBytes: 1000 })).toThrow(
      /tree bytes \d+, limit 1000/,
    );
    expect(() => readFlist(output, { ...limits, fileBytes: 100 })).toThrow(/file bytes \d+, limit 100/);
    const routes = tampered(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO route SELECT 0, 255, 'http://h' FROM n",
    );
    expect(() => readFlist(routes)).toThrow('routes 65, limit 64');
    const deep = tampered(
      'WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 1040) INSERT INTO inode SELECT i, iif(i = 1000, 1, i - 1), hex(zeroblob(100)), 0, 0, 0, 16877, 0, 0, 0 FROM n',
    );
    expect(() => readFlist(deep)).toThrow(/path bytes \d+, limit 3000/);
  });

  it('that is damaged or something else is refused', () => {
    const path = join(folder, 'damaged.fl');
    writeFileSync(path, gzipSync('version 1'));
    expect(() => readFlist(path)).toThrow('version 2 is required');
    writeFileSync(path, 'no database at all, but long enough');
    expect(() => readFlist(path)).toThrow('not a SQLite database');
    writeFileSync(path, '');
    expect(() => readFlist(path)).toThrow('not a SQLite database');
    copyFileSync(output, path);
    truncateSync(path, 8192);
    expect(() => readFlist(path)).toThrow(/malformed/);
    const whole = readFileSync(output);
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, value) => {
        const changed = Buffer.from(whole);
        changed[at] = value;
        writeFileSync(path, changed);
        try {
          readFlist(path);
        } catch (error) {
          expect(isGridError(error)).toBe(true);
        }
      }),
      { numRuns: 100 },
    );
  });
});
