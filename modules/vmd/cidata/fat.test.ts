import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import { run } from '../../host/run.ts';
import { FatFullError, writeFat } from './fat.ts';

const MIB = 1024 * 1024;
const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

/** A reader written from the format's description alone. */
function readFat(image: Buffer): { label: string; files: Map<string, Buffer> } {
  const sector = image.readUInt16LE(11);
  const cluster = sector * (image[13] ?? 0);
  const fat = image.readUInt16LE(14) * sector;
  const fatBytes = image.readUInt16LE(22) * sector;
  const root = fat + (image[16] ?? 0) * fatBytes;
  const data = root + image.readUInt16LE(17) * 32;
  const next = (index: number): number => {
    const pair = image.readUInt16LE(fat + Math.floor((index * 3) / 2));
    return index % 2 === 0 ? pair & 0xfff : pair >> 4;
  };
  expect(image.subarray(fat, fat + fatBytes)).toEqual(image.subarray(fat + fatBytes, fat + 2 * fatBytes));
  let label = '';
  let name = '';
  const files = new Map<string, Buffer>();
  for (let at = root; image[at] !== 0 && at < data; at += 32) {
    const attributes = image[at + 11] ?? 0;
    if (attributes === 0x0f) {
      const offsets = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
      const codes = offsets.map((offset) => image.readUInt16LE(at + offset));
      const end = codes.indexOf(0);
      name = String.fromCharCode(...codes.slice(0, end === -1 ? 13 : end)) + name;
    } else if ((attributes & 0x08) !== 0) {
      label = image.toString('latin1', at, at + 11).trimEnd();
    } else {
      const size = image.readUInt32LE(at + 28);
      const parts: Buffer[] = [];
      for (let link = image.readUInt16LE(at + 26); size > 0 && link < 0xff8; link = next(link)) {
        expect(link).toBeGreaterThanOrEqual(2);
        parts.push(image.subarray(data + (link - 2) * cluster, data + (link - 1) * cluster));
      }
      files.set(name, Buffer.concat(parts).subarray(0, size));
      name = '';
    }
  }
  return { label, files };
}

it('gives back every file it was given', () => {
  const file = fc.record({
    name: fc.stringMatching(/^[a-z][a-z0-9-]{0,40}$/),
    data: fc.uint8Array({ maxLength: 5000 }),
  });
  const files = fc.uniqueArray(file, { maxLength: 8, selector: ({ name }) => name });
  fc.assert(
    fc.property(files, (list) => {
      const read = readFat(writeFat({ label: 'cidata', sizeBytes: 2 * MIB, files: list }));
      expect(read.label).toBe('cidata');
      expect(new Map([...read.files].map(([name, data]) => [name, [...data]]))).toEqual(
        new Map(list.map(({ name, data }) => [name, [...data]])),
      );
    }),
    { numRuns: 60 },
  );
});

it('fills the volume to its last cluster and refuses one byte more', () => {
  const data = new Uint8Array(4090 * 512);
  const full = (length: number) =>
    writeFat({ label: 'x', sizeBytes: 2 * MIB, files: [{ name: 'a', data: data.subarray(0, length) }] });
  let fits = 0;
  for (let clusters = 4030; clusters <= 4090; clusters += 1) {
    try {
      expect(readFat(full(clusters * 512)).files.get('a')?.length).toBe(clusters * 512);
      fits = clusters;
    } catch (error) {
      expect(error).toBeInstanceOf(FatFullError);
      break;
    }
  }
  expect(fits).toBeGreaterThan(4030);
  expect(() => full(fits * 512 + 1)).toThrow(FatFullError);
});

it('refuses sizes and names that the format cannot hold', () => {
  expect(() => writeFat({ label: 'x', sizeBytes: 64 * MIB, files: [] })).toThrow(RangeError);
  expect(() => writeFat({ label: 'x', sizeBytes: 1000, files: [] })).toThrow(RangeError);
  const named = (name: string) => writeFat({ label: 'x', sizeBytes: MIB, files: [{ name, data: new Uint8Array(1) }] });
  for (const name of ['', 'a b', 'ä', 'a/\u0000']) expect(() => named(name)).toThrow(RangeError);
});

it.skipIf(!existsSync('/usr/sbin/fsck.vfat'))('is clean in the eyes of fsck.vfat', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'gn-fat-'));
  folders.push(folder);
  const image = join(folder, 'image');
  await writeFile(
    image,
    writeFat({ label: 'cidata', sizeBytes: 2 * MIB, files: [{ name: 'user-data', data: Buffer.alloc(9999, 'x') }] }),
  );
  await run('/usr/sbin/fsck.vfat', ['-n', image], { deadlineMs: 5000 });
});
