/** One suite for every kind of pool behind the storage service: btrfs on a loop file, and books. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MINIMUM_FORMATTED_BYTES } from '../../../schemas/capacity.ts';
import { simulatedHost } from '../../host/simulation.ts';
import type { Service } from '../../zbus/definition.ts';
import type { storage } from '../interface.ts';
import { purgeStorage } from '../purge.ts';
import { Serial } from '../serial.ts';
import { storageService } from '../service.ts';
import type { OpenedPools } from './driver.ts';
import { openPools } from './open.ts';
import { openSimulatedPools } from './simulated.ts';

const MIB = 1024 ** 2;
const POOL_BYTES = 1024 * MIB;
const log = pino({ level: 'silent' });
const isRoot = process.getuid?.() === 0;

interface Kind {
  readonly name: string;
  readonly works: boolean;
  readonly open: (state: string) => Promise<OpenedPools>;
  readonly purge: (state: string) => Promise<void>;
}

const kinds: readonly Kind[] = [
  {
    name: 'btrfs',
    works: isRoot,
    open: (state) =>
      openPools({
        root: join(state, 'storaged'),
        pools: join(state, 'pools'),
        devices: [],
        poolBytes: POOL_BYTES,
        log,
      }),
    purge: purgeStorage,
  },
  {
    name: 'simulated',
    works: true,
    open: (state) =>
      openSimulatedPools({
        root: join(state, 'storaged'),
        pools: join(state, 'pools'),
        bytes: { ssd: POOL_BYTES, hdd: 0 },
        host: simulatedHost({ delayMs: 0, refuse: () => undefined }),
      }),
    purge: async () => undefined,
  },
];

for (const kind of kinds) {
  describe.skipIf(!kind.works)(`a pool of ${kind.name}`, () => {
    const state = mkdtempSync(join(tmpdir(), 'gn-sc-'));
    let handlers: Record<string, (args: unknown, context: unknown) => unknown>;
    const call = async <T = unknown>(method: keyof Service<typeof storage>, args: object = {}): Promise<T> =>
      (await handlers[method]?.(args, { signal: new AbortController().signal, trace: '' })) as T;
    const open = async (): Promise<void> => {
      handlers = storageService(await kind.open(state), new Serial()) as unknown as typeof handlers;
    };
    const pool = async (): Promise<{ Size: number; Used: number }> => {
      const [only] = await call<{ Size: number; Used: number }[]>('Metrics');
      if (only === undefined) throw new Error('no pool');
      return only;
    };

    beforeAll(async () => {
      mkdirSync(join(state, 'storaged'));
      await open();
    });
    afterAll(async () => {
      await kind.purge(state);
      rmSync(state, { recursive: true, force: true });
    });

    it('promises a volume once and takes it back', async () => {
      const before = await pool();
      const made = await call('VolumeCreate', { name: 'a', size: 64 * MIB });
      expect(made).toMatchObject({ Name: 'a', Usage: { Size: 64 * MIB } });
      expect(await call('VolumeCreate', { name: 'a', size: 64 * MIB })).toEqual(made);
      expect((await pool()).Used - before.Used).toBe(64 * MIB);
      await call('VolumeUpdate', { name: 'a', size: 128 * MIB });
      expect((await pool()).Used - before.Used).toBe(128 * MIB);
      expect(await call<{ Name: string }[]>('VolumeList')).toMatchObject([{ Name: 'a' }]);
      await call('VolumeDelete', { name: 'a' });
      await call('VolumeDelete', { name: 'a' });
      expect(await call('VolumeExists', { name: 'a' })).toBe(false);
      expect(await pool()).toEqual(before);
    });

    it('keeps a disk under its name, and lets it only grow', async () => {
      const before = await pool();
      const disk = await call<{ Path: string; Size: number }>('DiskCreate', { name: 'd', size: 32 * MIB });
      expect(disk.Path.endsWith('/vdisks/d')).toBe(true);
      expect(await call('DiskCreate', { name: 'd', size: 32 * MIB })).toEqual(disk);
      await expect(call('DiskCreate', { name: 'd', size: 33 * MIB })).rejects.toMatchObject({
        code: 'storage_disk_exists',
      });
      await expect(call('DiskResize', { name: 'd', size: MIB })).rejects.toMatchObject({ code: 'storage_shrink' });
      expect(await call('DiskResize', { name: 'd', size: 48 * MIB })).toEqual({ ...disk, Size: 48 * MIB });
      expect((await pool()).Used - before.Used).toBe(48 * MIB);
      expect(await call('DiskList')).toEqual([{ ...disk, Size: 48 * MIB }]);
      await call('DiskDelete', { name: 'd' });
      expect((await pool()).Used).toBe(before.Used);
      await expect(call('DiskLookup', { name: 'd' })).rejects.toMatchObject({ code: 'storage_disk_not_found' });
    });

    it('has the sum of all that is in it after each change, also after those that failed', async () => {
      const before = await pool();
      const changes: readonly (readonly [keyof Service<typeof storage>, object])[] = [
        ['VolumeCreate', { name: 'v1', size: 16 * MIB }],
        ['DiskCreate', { name: 'd1', size: 8 * MIB }],
        ['VolumeCreate', { name: 'v2', size: 32 * MIB }],
        ['VolumeUpdate', { name: 'v1', size: 48 * MIB }],
        ['DiskResize', { name: 'd1', size: 24 * MIB }],
        ['DiskResize', { name: 'd1', size: before.Size }],
        ['VolumeUpdate', { name: 'v2', size: before.Size }],
        ['DiskCreate', { name: 'd2', size: 4 * MIB }],
        ['DiskCreate', { name: 'd1', size: MIB }],
        ['VolumeUpdate', { name: 'v2', size: 20 * MIB }],
        ['VolumeDelete', { name: 'v1' }],
        ['DiskDelete', { name: 'd2' }],
        ['DiskDelete', { name: 'd1' }],
        ['VolumeDelete', { name: 'v2' }],
      ];
      const sums: number[] = [];
      for (const [method, args] of changes) {
        await call(method, args).catch(() => undefined);
        // The sum first: who lists has everything looked at anew.
        const { Used } = await pool();
        const volumes = await call<{ Usage: { Size: number } }[]>('VolumeList');
        const disks = await call<{ Size: number }[]>('DiskList');
        const bytes = [...volumes.map(({ Usage }) => Usage.Size), ...disks.map(({ Size }) => Size)];
        expect(Used - before.Used, method).toBe(bytes.reduce((sum, one) => sum + one, 0));
        sums.push((Used - before.Used) / MIB);
      }
      expect(sums).toEqual([16, 24, 56, 88, 104, 104, 104, 108, 108, 96, 48, 44, 20, 0]);
    });

    it('formats a blank disk of sufficient size, and takes an image that fits', async () => {
      const image = join(state, 'image');
      writeFileSync(image, Buffer.alloc(2 * MIB, 1));
      symlinkSync(image, join(state, 'link'));
      await call('DiskCreate', { name: 'small', size: MIB });
      await expect(call('DiskFormat', { name: 'small' })).rejects.toMatchObject({ code: 'storage_invalid_size' });
      const write = (file: string): Promise<unknown> => call('DiskWrite', { name: 'small', image: join(state, file) });
      await expect(write('image')).rejects.toMatchObject({ code: 'storage_image_too_big' });
      await expect(write('link')).rejects.toMatchObject({ code: 'storage_image_refused' });
      await expect(write('none')).rejects.toMatchObject({ code: 'storage_image_refused' });
      await call('DiskDelete', { name: 'small' });

      await call('DiskCreate', { name: 'large', size: MINIMUM_FORMATTED_BYTES });
      await call('DiskFormat', { name: 'large' });
      await call('DiskFormat', { name: 'large' });
      await call('DiskWrite', { name: 'large', image });
      await call('DiskDelete', { name: 'large' });
    });

    it('refuses what does not fit, with the numbers, and names that cannot be', async () => {
      const { Size, Used } = await pool();
      await expect(call('VolumeCreate', { name: 'huge', size: Size - Used + 1 })).rejects.toMatchObject({
        code: 'storage_not_enough_space',
        details: { requested: Size - Used + 1, free: Size - Used, pools: 1 },
      });
      await expect(call('DiskCreate', { name: '../x', size: MIB })).rejects.toMatchObject({
        code: 'storage_invalid_name',
      });
      await expect(call('VolumeCreate', { name: 'tiny', size: 1 })).rejects.toMatchObject({
        code: 'storage_invalid_size',
      });
    });

    it('finds everything again after a start', async () => {
      await call('VolumeCreate', { name: 'kept', size: 16 * MIB });
      await call('DiskCreate', { name: 'kept', size: 16 * MIB });
      const before = [await call('VolumeList'), await call('DiskList'), (await pool()).Used];
      await open();
      expect([await call('VolumeList'), await call('DiskList'), (await pool()).Used]).toEqual(before);
    });
  });
}
