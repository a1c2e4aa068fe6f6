/** storaged as a process: real btrfs on a loop file, real redis, real bus. */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { mkdir, open, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MINIMUM_FORMATTED_BYTES } from '../../schemas/capacity.ts';
import { listMounts } from '../host/mounts.ts';
import { ZbusClient } from '../zbus/client.ts';
import type { Client } from '../zbus/definition.ts';
import { startRedis, type TestRedis } from '../zbus/testing/redis.ts';
import { formatDisk } from './drivers/disks.ts';
import { listLoops } from './drivers/loop.ts';
import { storage } from './interface.ts';
import { purgeStorage } from './purge.ts';
import { startDaemon, type TestDaemon } from './testing/daemon.ts';

const MIB = 1024 ** 2;
/** Linux: quota exceeded; Node has no name for it. */
const EDQUOT = 122;
const main = join(import.meta.dirname, 'main.ts');
const isRoot = process.getuid?.() === 0;

describe.skipIf(!isRoot)('storaged', { timeout: 120_000 }, () => {
  const state = mkdtempSync(join(tmpdir(), 'gn-st-'));
  let redis: TestRedis;
  let bus: ZbusClient;
  let client: Client<typeof storage>;
  let daemon: TestDaemon | undefined;

  const start = async (flags: Record<string, string> = {}): Promise<void> => {
    daemon = await startDaemon(main, {
      state,
      broker: redis.broker,
      'pool-size': String(1024 * MIB),
      'cache-size': String(32 * MIB),
      ...flags,
    });
  };
  const stop = async (signal?: NodeJS.Signals): Promise<void> => {
    await daemon?.stop(signal);
    daemon = undefined;
  };
  const pool = (): string => listMounts().find((mount) => mount.target.startsWith(`${state}/pools/`))?.target ?? '';
  const used = async (): Promise<number> => (await client.Metrics({}))[0]?.Used ?? -1;
  const free = async (): Promise<number> => {
    const [metrics] = await client.Metrics({});
    return (metrics?.Size ?? 0) - (metrics?.Used ?? 0);
  };
  const loops = (): string[] => [...listLoops().values()].filter((file) => file.startsWith(`${state}/`));

  beforeAll(async () => {
    redis = await startRedis();
    bus = new ZbusClient({ broker: redis.broker, deadlineMs: 30_000 });
    client = bus.of(storage);
    await start();
  });

  afterAll(async () => {
    await stop();
    await bus?.close();
    await redis?.stop();
    await purgeStorage(state);
    rmSync(state, { recursive: true, force: true });
  });

  it('makes one pool from a sparse file and a cache volume in it', async () => {
    const metrics = await client.Metrics({});
    expect(metrics).toHaveLength(1);
    expect(metrics[0]).toMatchObject({ Type: 'ssd', Used: 32 * MIB });
    expect(metrics[0]?.Size).toBeGreaterThan(800 * MIB);
    expect(metrics[0]?.Size).toBeLessThan(1024 * MIB);
    expect(await client.Total({ kind: 'ssd' })).toBe(metrics[0]?.Size);
    expect(await client.Total({ kind: 'hdd' })).toBe(0);
    expect(await client.Cache({})).toMatchObject({ Name: 'zos-cache', Usage: { Size: 32 * MIB } });
    expect(await client.BrokenPools({})).toEqual([]);
    expect(await client.BrokenDevices({})).toEqual([]);
    expect((await stat(join(state, 'storaged', `${metrics[0]?.Name}.img`))).blocks * 512).toBeLessThan(64 * MIB);
    expect((await stat(join(state, 'storaged'))).mode & 0o777).toBe(0o700);
  });

  it('makes a volume once, limits it and removes it', async () => {
    const before = await used();
    const volume = await client.VolumeCreate({ name: 'rootfs:7-8-vm', size: 40 * MIB });
    expect(volume).toEqual({
      Name: 'rootfs:7-8-vm',
      Path: join(pool(), 'rootfs:7-8-vm'),
      Usage: { Size: 40 * MIB, Used: 40 * MIB },
    });
    expect(await client.VolumeCreate({ name: 'rootfs:7-8-vm', size: 40 * MIB })).toEqual(volume);
    expect(await client.VolumeLookup({ name: 'rootfs:7-8-vm' })).toEqual(volume);
    expect(await client.VolumeExists({ name: 'rootfs:7-8-vm' })).toBe(true);
    expect((await client.VolumeList({})).map((found) => found.Name)).toEqual(['rootfs:7-8-vm']);
    expect(await used()).toBe(before + 40 * MIB);

    const file = await open(join(volume.Path, 'filling'), 'w');
    await expect(
      (async () => {
        for (let i = 0; i < 80; i++) await file.write(Buffer.alloc(MIB, i + 1));
        await file.sync();
      })(),
    ).rejects.toMatchObject({ errno: -EDQUOT });
    await file.close();

    await client.VolumeUpdate({ name: 'rootfs:7-8-vm', size: 60 * MIB });
    expect(await used()).toBe(before + 60 * MIB);
    await expect(client.VolumeUpdate({ name: 'rootfs:7-8-vm', size: 2 * MIB })).rejects.toMatchObject({
      remote: { code: 'storage_shrink' },
    });
    await expect(client.VolumeUpdate({ name: 'rootfs:7-8-vm', size: 4096 * MIB })).rejects.toThrow(
      'not enough space left in pools of this type ssd',
    );
    await client.VolumeDelete({ name: 'rootfs:7-8-vm' });
    await client.VolumeDelete({ name: 'rootfs:7-8-vm' });
    expect(await client.VolumeExists({ name: 'rootfs:7-8-vm' })).toBe(false);
    expect(await used()).toBe(before);
    await expect(client.VolumeLookup({ name: 'rootfs:7-8-vm' })).rejects.toThrow("'rootfs:7-8-vm' not found");
  });

  it.each([
    '',
    '.',
    '..',
    '../x',
    'a/b',
    'a b',
    'a\nb',
    '.making-x',
    '-x',
    'zdb-1',
    'zos-cache',
    'vdisks',
    'x'.repeat(201),
  ])('refuses the volume name %j', async (name) => {
    await expect(client.VolumeCreate({ name, size: 2 * MIB })).rejects.toMatchObject({
      remote: { code: 'storage_invalid_name' },
    });
    await expect(client.VolumeDelete({ name })).rejects.toMatchObject({ remote: { code: 'storage_invalid_name' } });
  });

  it('keeps the sentence of the reserved prefix', async () => {
    await expect(client.VolumeCreate({ name: 'zdb', size: MIB })).rejects.toThrow(
      'invalid volume name. zdb prefix is reserved',
    );
  });

  it('makes disks that are fully allocated, grow and never shrink', async () => {
    const before = await used();
    const disk = await client.DiskCreate({ name: '1-2-d', size: 64 * MIB });
    expect(disk).toEqual({ Path: join(pool(), 'vdisks', '1-2-d'), Size: 64 * MIB });
    expect((await stat(disk.Path)).blocks * 512).toBe(64 * MIB);
    expect(execFileSync('lsattr', [disk.Path], { encoding: 'utf8' })).toMatch(/^-*C/);
    expect(await client.DiskCreate({ name: '1-2-d', size: 64 * MIB })).toEqual(disk);
    await expect(client.DiskCreate({ name: '1-2-d', size: 65 * MIB })).rejects.toThrow(
      "disk with id '1-2-d' already exists: file already exists",
    );
    expect((await client.DiskResize({ name: '1-2-d', size: 96 * MIB })).Size).toBe(96 * MIB);
    await expect(client.DiskResize({ name: '1-2-d', size: 64 * MIB })).rejects.toThrow('not safe to shrink a disk');
    await expect(client.DiskResize({ name: '1-2-d', size: 9000 * MIB })).rejects.toThrow('not enough space left');
    expect(await client.DiskLookup({ name: '1-2-d' })).toEqual({ Path: disk.Path, Size: 96 * MIB });
    expect(await client.DiskList({})).toEqual([{ Path: disk.Path, Size: 96 * MIB }]);
    expect(await used()).toBe(before + 96 * MIB);
    await client.DiskDelete({ name: '1-2-d' });
    await client.DiskDelete({ name: '1-2-d' });
    expect(await client.DiskExists({ name: '1-2-d' })).toBe(false);
    expect(await client.DiskExists({ name: '../vdisks/1-2-d' })).toBe(false);
    await expect(client.DiskResize({ name: '1-2-d', size: MIB })).rejects.toThrow('does not exists');
    await expect(client.DiskLookup({ name: '../vdisks/x' })).rejects.toMatchObject({
      remote: { code: 'storage_invalid_name' },
    });
    expect(await used()).toBe(before);
  });

  it('formats a blank disk once and writes an image only to a blank one', async () => {
    await client.DiskCreate({ name: 'format', size: 128 * MIB });
    await client.DiskFormat({ name: 'format' });
    const { Path: formatted } = await client.DiskLookup({ name: 'format' });
    const uuid = (): string =>
      execFileSync('blkid', ['-p', '-o', 'value', '-s', 'UUID', formatted], { encoding: 'utf8' });
    const first = uuid();
    await client.DiskFormat({ name: 'format' });
    expect(uuid()).toBe(first);

    const image = join(state, 'image.raw');
    await rm(image, { force: true });
    const fd = openSync(image, 'w');
    ftruncateSync(fd, 120 * MIB);
    writeSync(fd, 'tail', 110 * MIB);
    closeSync(fd);
    execFileSync('mkfs.btrfs', ['--quiet', image], { stdio: 'ignore' });
    await client.DiskCreate({ name: 'image', size: 130 * MIB });
    await client.DiskWrite({ name: 'image', image });
    const { Path: written } = await client.DiskLookup({ name: 'image' });
    const content = await readFile(image);
    expect((await readFile(written)).subarray(0, content.length).equals(content)).toBe(true);
    expect(readdirSync(join(pool(), 'vdisks')).sort()).toEqual(['format', 'image']);

    // A second image does not replace what is there.
    await writeFile(join(state, 'other.raw'), Buffer.alloc(MIB, 7));
    await client.DiskWrite({ name: 'image', image: join(state, 'other.raw') });
    expect((await readFile(written)).subarray(0, content.length).equals(content)).toBe(true);

    // An interrupted write is not content: it is done again, over zeros.
    await writeFile(join(pool(), 'vdisks', '.writing-image'), '');
    await client.DiskWrite({ name: 'image', image: join(state, 'other.raw') });
    const again = await readFile(written);
    expect(again.subarray(0, MIB).equals(Buffer.alloc(MIB, 7))).toBe(true);
    expect(again.subarray(MIB).every((byte) => byte === 0)).toBe(true);
    await client.DiskDelete({ name: 'image' });
    await client.DiskDelete({ name: 'format' });
  });

  it('knows the smallest disk that mkfs formats, and says of a failure nothing about this host', async () => {
    await client.DiskCreate({ name: 'least', size: MINIMUM_FORMATTED_BYTES });
    await client.DiskFormat({ name: 'least' });
    const { Path: formatted } = await client.DiskLookup({ name: 'least' });
    expect(execFileSync('blkid', ['-p', '-o', 'value', '-s', 'TYPE', formatted], { encoding: 'utf8' })).toBe('btrfs\n');
    // What a disk was cut to behind storaged's back is refused by mkfs's own words, where it says the path.
    const tooSmall = { name: 'least', path: join(state, 'cut'), size: MINIMUM_FORMATTED_BYTES };
    await writeFile(tooSmall.path, '');
    truncateSync(tooSmall.path, MINIMUM_FORMATTED_BYTES - 1);
    const failed = await formatDisk(tooSmall).catch((error: unknown) => error);
    expect(failed).toMatchObject({ code: 'storage_format_failed' });
    expect((failed as Error).message).toContain(`minimum size for each btrfs device is ${MINIMUM_FORMATTED_BYTES}`);
    expect((failed as Error).message).not.toContain(state);
    await client.DiskDelete({ name: 'least' });
  });

  it('takes an image only from a regular file that fits', async () => {
    await client.DiskCreate({ name: 'small', size: 2 * MIB });
    const target = join(state, 'big.raw');
    await writeFile(target, Buffer.alloc(3 * MIB, 1));
    await expect(client.DiskWrite({ name: 'small', image: target })).rejects.toThrow('image size is bigger than disk');
    const link = join(state, 'link.raw');
    await symlink('/etc/passwd', link);
    const fifo = join(state, 'fifo');
    execFileSync('mkfifo', [fifo]);
    for (const image of [link, fifo, '/dev/zero', state, join(state, 'absent')]) {
      await expect(client.DiskWrite({ name: 'small', image })).rejects.toMatchObject({
        remote: { code: 'storage_image_refused' },
      });
    }
    await expect(client.DiskFormat({ name: 'small' })).rejects.toMatchObject({
      remote: { code: 'storage_invalid_size', details: { requested: 2 * MIB, minimum: MINIMUM_FORMATTED_BYTES } },
    });
    await expect(client.DiskWrite({ name: 'none', image: target })).rejects.toThrow("'none' does not exists");
    await client.DiskDelete({ name: 'small' });
  });

  it('fills the pool to the last promised byte and refuses one more with the numbers', async () => {
    const rest = await free();
    await client.DiskCreate({ name: 'fill-1', size: Math.floor(rest / 2) });
    await client.DiskCreate({ name: 'fill-2', size: await free() });
    const total = await client.Total({ kind: 'ssd' });
    const refused = await client.VolumeCreate({ name: 'more', size: 5 * MIB }).catch((error: unknown) => error);
    expect(refused).toMatchObject({
      kind: 'call_failed',
      message: expect.stringContaining('not enough space left in pools of this type ssd'),
      remote: {
        code: 'storage_not_enough_space',
        details: { requested: 5 * MIB, free: await free(), largestPool: total, pools: 1 },
      },
    });
    await expect(client.DiskCreate({ name: 'more', size: 5 * MIB })).rejects.toThrow('not enough space left');
    expect(await client.VolumeExists({ name: 'more' })).toBe(false);
    expect((await client.DiskList({})).map((disk) => basename(disk.Path)).sort()).toEqual(['fill-1', 'fill-2']);
    await client.DiskDelete({ name: 'fill-1' });
    await client.DiskDelete({ name: 'fill-2' });
  });

  it('gives the space of a filled, deleted volume to a disk at once', async () => {
    const size = Math.floor((await free()) * 0.9);
    const volume = await client.VolumeCreate({ name: 'filled', size });
    const file = await open(join(volume.Path, 'f'), 'w');
    for (let written = 0; written < size * 0.8; written += 8 * MIB) await file.write(Buffer.alloc(8 * MIB, 3));
    await file.sync();
    await file.close();
    await client.VolumeDelete({ name: 'filled' });
    const disk = await client.DiskCreate({ name: 'after', size });
    expect(disk.Size).toBe(size);
    await client.DiskDelete({ name: 'after' });
  });

  it('two callers never share the last free bytes', async () => {
    const size = Math.floor((await free()) * 0.6);
    const results = await Promise.allSettled(['a', 'b', 'c', 'd'].map((name) => client.VolumeCreate({ name, size })));
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
    for (const name of ['a', 'b', 'c', 'd']) await client.VolumeDelete({ name });
  });

  it('makes nothing for a caller that has given up', async () => {
    const before = await used();
    const pid = daemon?.pid ?? Number.NaN;
    const names = Array.from({ length: 12 }, (_, index) => `gone-${index}`);
    // Frozen, so that each call's time is over before it can be begun.
    process.kill(pid, 'SIGSTOP');
    try {
      const calls = names.flatMap((name) => [
        client.VolumeCreate({ name, size: 2 * MIB }, { deadlineMs: 25 }),
        client.DiskCreate({ name, size: 2 * MIB }, { deadlineMs: 25 }),
      ]);
      const settled = await Promise.allSettled(calls);
      expect(settled.filter((result) => result.status === 'fulfilled')).toEqual([]);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    // Changes are made one after the other: what was taken before this one has been looked at.
    await client.VolumeCreate({ name: 'after', size: MIB });
    await client.VolumeDelete({ name: 'after' });
    expect(await client.VolumeList({})).toEqual([]);
    expect(await client.DiskList({})).toEqual([]);
    expect(await used()).toBe(before);
  });

  it('leaves nothing half made of what its caller gives up in the middle', async () => {
    const before = await used();
    const names = Array.from({ length: 12 }, (_, index) => `gone-${index}`);
    await Promise.allSettled(
      names.flatMap((name, index) => [
        client.VolumeCreate({ name, size: 2 * MIB }, { deadlineMs: 10 * (index + 1) }),
        client.DiskCreate({ name, size: 2 * MIB }, { deadlineMs: 10 * (index + 1) }),
      ]),
    );
    for (const name of names) {
      await client.VolumeDelete({ name });
      await client.DiskDelete({ name });
    }
    expect(await used()).toBe(before);
    expect(readdirSync(pool()).filter((entry) => entry.startsWith('.making'))).toEqual([]);
    expect(readdirSync(join(pool(), 'vdisks'))).toEqual([]);
  });

  it('refuses device calls where there is no hdd, and what has no size', async () => {
    expect(await client.Devices({})).toEqual([]);
    await expect(client.DeviceAllocate({ min: MIB })).rejects.toThrow('no more free devices found');
    await expect(client.DeviceLookup({ name: 'x' })).rejects.toThrow('device not found');
    await expect(client.Total({ kind: 'tape' })).rejects.toThrow('kind tape unknown');
    for (const size of [0, 1]) {
      await expect(client.VolumeCreate({ name: 'none', size })).rejects.toMatchObject({
        remote: { code: 'storage_invalid_size' },
      });
      await expect(client.DiskCreate({ name: 'none', size })).rejects.toMatchObject({
        remote: { code: 'storage_invalid_size' },
      });
    }
  });

  it('sends the numbers of its pools', async () => {
    for await (const stats of bus.stream(storage, 'Monitor', { signal: AbortSignal.timeout(20_000) })) {
      const [[name, found] = []] = [...stats];
      expect(name).toBe(basename(pool()));
      expect(found).toMatchObject({ Fstype: 'btrfs', Path: pool() });
      expect([...(found?.Counters.keys() ?? [])]).toHaveLength(1);
      break;
    }
  });

  it.each(['SIGTERM', 'SIGKILL'] as const)('keeps everything over %s and drops what was half made', async (signal) => {
    const volume = await client.VolumeCreate({ name: 'kept', size: 20 * MIB });
    const disk = await client.DiskCreate({ name: 'kept', size: 20 * MIB });
    const before = await used();
    const mounted = pool();
    await stop(signal);
    expect(pool()).toBe(mounted);
    // What a crash between two steps leaves behind.
    execFileSync('btrfs', ['subvolume', 'create', join(mounted, '.making-volume')]);
    await writeFile(join(mounted, 'vdisks', '.making-disk'), Buffer.alloc(MIB));
    await writeFile(join(state, 'storaged', 'gridnode-0123456789ab.img.new'), 'x');
    await start();
    expect(await client.VolumeLookup({ name: 'kept' })).toEqual(volume);
    expect(await client.DiskLookup({ name: 'kept' })).toEqual(disk);
    expect(await used()).toBe(before);
    expect(readdirSync(mounted)).not.toContain('.making-volume');
    expect(readdirSync(join(mounted, 'vdisks'))).toEqual(['kept']);
    expect(readdirSync(join(state, 'storaged'))).toHaveLength(1);
    expect(loops()).toHaveLength(1);
    await client.VolumeDelete({ name: 'kept' });
    await client.DiskDelete({ name: 'kept' });
  });

  it('is killed at any instant of its work and never leaves half of anything', async () => {
    const sizes = new Map([['first', MIB]]);
    await client.DiskCreate({ name: 'first', size: MIB });
    for (let round = 0; round < 6; round++) {
      const names = ['a', 'b', 'c', 'd'].map((name) => `r${round}${name}`);
      const work = names.flatMap((name, index) => {
        sizes.set(name, (index + 2) * MIB);
        const call = { name, size: (index + 2) * MIB };
        const short = { deadlineMs: 2000 };
        return [client.VolumeCreate(call, short), client.DiskCreate(call, short)];
      });
      const settled = Promise.allSettled(work);
      await delay(round * 9);
      await stop('SIGKILL');
      await start();
      await settled;
      // A call whose caller gave up may still be at work for a moment.
      await expect
        .poll(async () => {
          const volumes = await client.VolumeList({});
          for (const volume of volumes) expect(volume.Usage.Size).toBe(sizes.get(volume.Name));
          const found = await client.DiskList({});
          for (const disk of found) expect(disk.Size).toBe(sizes.get(basename(disk.Path)));
          const listed = [...volumes.map((volume) => volume.Name), '.seektime', 'vdisks', 'zos-cache'];
          const disks = found.map((disk) => basename(disk.Path));
          return (
            isDeepStrictEqual(readdirSync(pool()).sort(), listed.sort()) &&
            isDeepStrictEqual(readdirSync(join(pool(), 'vdisks')).sort(), disks.sort())
          );
        })
        .toBe(true);
    }
    for (const name of sizes.keys()) {
      await client.VolumeDelete({ name });
      await client.DiskDelete({ name });
    }
    expect(await used()).toBe(32 * MIB);
  });

  it('mounts again what was unmounted, and grows with its flag', async () => {
    await client.VolumeCreate({ name: 'kept', size: 20 * MIB });
    const mounted = pool();
    const before = await client.Total({ kind: 'ssd' });
    await stop();
    execFileSync('umount', [mounted]);
    await start({ 'pool-size': String(1536 * MIB) });
    expect(pool()).toBe(mounted);
    expect(await client.VolumeExists({ name: 'kept' })).toBe(true);
    expect(await client.Total({ kind: 'ssd' })).toBeGreaterThan(before + 400 * MIB);
    await client.VolumeDelete({ name: 'kept' });
  });

  it('survives the loss of its broker', async () => {
    await redis.restart(500);
    await expect.poll(() => client.VolumeList({}).catch(() => undefined), { timeout: 20_000 }).toEqual([]);
  });

  it('leaves foreign devices alone and uses named blank ones', async () => {
    const other = mkdtempSync(join(tmpdir(), 'gn-st-'));
    const devices: string[] = [];
    const attach = (name: string, prepare: (file: string) => void): string => {
      const file = join(other, name);
      const fd = openSync(file, 'w');
      ftruncateSync(fd, 256 * MIB);
      closeSync(fd);
      prepare(file);
      const device = execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8' }).trim();
      devices.push(device);
      return device;
    };
    let second: TestDaemon | undefined;
    try {
      const blank = attach('blank', () => undefined);
      const blankHdd = attach('hdd', () => undefined);
      const foreign = attach('foreign', (file) =>
        execFileSync('mkfs.btrfs', ['-q', '-L', 'precious', file], { stdio: 'ignore' }),
      );
      const partitioned = attach('table', (file) => {
        // A partition table with one Linux partition and nothing else.
        const table = Buffer.alloc(512);
        table.set([0, 0, 2, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0x40, 0, 0], 446);
        table.set([0x55, 0xaa], 510);
        const fd = openSync(file, 'r+');
        writeSync(fd, table, 0, 512, 0);
        closeSync(fd);
      });
      const before = [foreign, partitioned].map((device) => execFileSync('md5sum', [device], { encoding: 'utf8' }));
      const list = [blank, `${blankHdd}:hdd`, foreign, partitioned, join(other, 'blank'), '/dev/none'].join(',');
      await stop();
      second = await startDaemon(main, { state: other, broker: redis.broker, device: list, 'cache-size': '0' });
      const broken = await client.BrokenDevices({});
      expect(broken.map((device) => device.Path)).toEqual([foreign, partitioned, join(other, 'blank'), '/dev/none']);
      expect(broken[0]?.Err).toContain("label 'precious'");
      expect((await client.Metrics({})).map((found) => found.Type)).toEqual(['ssd', 'hdd']);
      expect(await client.Devices({})).toEqual([]);
      const device = await client.DeviceAllocate({ min: 10 * MIB });
      expect(await client.Devices({})).toEqual([device]);
      expect(await client.DeviceLookup({ name: device.ID })).toEqual(device);
      await expect(client.DeviceAllocate({ min: 10 * MIB })).rejects.toThrow('no more free devices found');
      await client.VolumeCreate({ name: 'kept', size: 10 * MIB });
      await second.stop('SIGKILL');
      second = await startDaemon(main, { state: other, broker: redis.broker, device: list, 'cache-size': '0' });
      expect(await client.VolumeExists({ name: 'kept' })).toBe(true);
      expect(await client.Devices({})).toEqual([device]);
      await second.stop();
      expect([foreign, partitioned].map((name) => execFileSync('md5sum', [name], { encoding: 'utf8' }))).toEqual(
        before,
      );
    } finally {
      await second?.stop();
      await purgeStorage(other);
      for (const device of devices) execFileSync('losetup', ['--detach', device]);
      rmSync(other, { recursive: true, force: true });
    }
    await start();
  });

  it('refuses a pool file larger than the host, in words', async () => {
    const other = mkdtempSync(join(tmpdir(), 'gn-st-'));
    try {
      await expect(
        startDaemon(main, { state: other, broker: redis.broker, 'pool-size': String(2 ** 50) }),
      ).rejects.toThrow(/does not fit/);
      expect(readdirSync(join(other, 'storaged'))).toEqual([]);
    } finally {
      await purgeStorage(other);
      rmSync(other, { recursive: true, force: true });
    }
  });

  it('purge takes everything away, also twice and after a kill', async () => {
    await client.VolumeCreate({ name: 'kept', size: 20 * MIB });
    await mkdir(join(state, 'other'), { recursive: true });
    await stop('SIGKILL');
    execFileSync(process.execPath, [join(import.meta.dirname, 'purge.ts'), '--state', state]);
    execFileSync(process.execPath, [join(import.meta.dirname, 'purge.ts'), '--state', state]);
    expect(listMounts().filter((mount) => mount.target.startsWith(state))).toEqual([]);
    expect(loops()).toEqual([]);
    expect(existsSync(join(state, 'pools'))).toBe(false);
    expect(existsSync(join(state, 'storaged'))).toBe(false);
    expect(existsSync(join(state, 'other'))).toBe(true);
  });
});
