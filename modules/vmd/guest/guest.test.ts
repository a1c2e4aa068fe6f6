import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { isGridError } from '../../../schemas/errors/index.ts';
import { canRunMachines, GUEST_CACHE } from '../testing/rig.ts';
import { buildGuest } from './build.ts';
import { writeCpio } from './cpio.ts';
import { decodeLz4Legacy } from './lz4.ts';
import { extractVmlinux } from './vmlinux.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gn-guest-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

it.skipIf(!existsSync('/usr/bin/lz4'))('undoes what the lz4 program packs, over several blocks', async () => {
  const source = Buffer.concat([
    Buffer.alloc(9 * 1024 * 1024, 'abcabcd'),
    await readFile(process.execPath).then((file) => file.subarray(0, 3 * 1024 * 1024)),
    Buffer.from('the end'),
  ]);
  await writeFile(join(folder, 'a'), source);
  execFileSync('/usr/bin/lz4', ['-q', '-l', '-9', join(folder, 'a'), join(folder, 'a.lz4')]);
  const packed = await readFile(join(folder, 'a.lz4'));
  expect(decodeLz4Legacy(packed, 64 * 1024 * 1024).equals(source)).toBe(true);
  expect(() => decodeLz4Legacy(packed, 1024)).toThrow(/larger than/);
  expect(() => decodeLz4Legacy(Buffer.from('nothing'), 1024)).toThrow(/no LZ4/);
});

it('takes no kernel for one where there is none', () => {
  expect(extractVmlinux(Buffer.alloc(1000, 0x1f))).toBeUndefined();
  const elf = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 1, 2, 3]);
  expect(extractVmlinux(elf)).toBe(elf);
});

it('writes archives that cpio unpacks to the same files', async () => {
  const archive = writeCpio([
    { path: 'a', kind: 'directory', mode: 0o755 },
    { path: 'a/file', kind: 'file', mode: 0o640, data: Buffer.from('odd') },
    { path: 'a/link', kind: 'link', mode: 0o777, data: Buffer.from('file') },
  ]);
  execFileSync('/bin/busybox', ['cpio', '-id', '--quiet'], { cwd: folder, input: archive });
  expect(await readFile(join(folder, 'a/link'), 'utf8')).toBe('odd');
  expect(archive.equals(writeCpio([{ path: 'a', kind: 'directory', mode: 0o755 }]))).toBe(false);
});

it.skipIf(!canRunMachines)(
  'builds once, then only looks, and makes the same bytes again',
  { timeout: 120_000 },
  async () => {
    const first = await buildGuest({ stateDir: GUEST_CACHE });
    const initrd = await readFile(first.initrd);
    expect(initrd.length).toBeLessThan(12 * 1024 * 1024);
    expect((await readFile(first.kernel)).subarray(0, 4)).toEqual(Buffer.from([0x7f, 0x45, 0x4c, 0x46]));
    const { mtimeMs } = await stat(first.initrd);
    expect(await buildGuest({ stateDir: GUEST_CACHE })).toEqual(first);
    expect((await stat(first.initrd)).mtimeMs).toBe(mtimeMs);
    expect((await readdir(join(GUEST_CACHE, 'guest'))).filter((name) => name.startsWith('unpack-'))).toEqual([]);

    const packages = (await readdir(join(GUEST_CACHE, 'guest'))).filter((name) => name.endsWith('.deb'));
    const again = join(folder, 'guest');
    execFileSync('mkdir', ['-p', again]);
    for (const name of packages) execFileSync('cp', [join(GUEST_CACHE, 'guest', name), again]);
    const second = await buildGuest({ stateDir: folder });
    expect((await readFile(second.initrd)).equals(initrd)).toBe(true);
  },
);

it('says what to do where apt has no kernel to give', async () => {
  const path = process.env.PATH;
  process.env.PATH = folder;
  try {
    const failure = await buildGuest({ stateDir: folder }).catch((error: unknown) => error);
    expect(isGridError(failure, 'machine_guest_unavailable')).toBe(true);
    expect((failure as Error).message).toMatch(/apt-get update/);
  } finally {
    process.env.PATH = path;
  }
});
