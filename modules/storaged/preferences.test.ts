import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { StoragePool } from './drivers/driver.ts';
import { openSimulatedPools } from './drivers/simulated.ts';
import { Preferences } from './preferences.ts';
import { Serial } from './serial.ts';
import { placementService, storageService } from './service.ts';

const MIB = 1024 ** 2;
let folder: string;
let pools: StoragePool[];
const context = { signal: new AbortController().signal, trace: '' };

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'placement-'));
  const host = { act: () => Promise.resolve() };
  pools = [];
  for (const name of ['a', 'b']) {
    const place = { root: join(folder, name), pools: join(folder, name), host };
    const opened = await openSimulatedPools({ ...place, bytes: { ssd: 100 * MIB, hdd: 0 } });
    // Pools of one simulated host have one name each.
    pools.push(...opened.pools.map((pool) => Object.defineProperty(pool, 'label', { value: name })));
  }
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

it('what is made goes where it was planned, in any order, and elsewhere where that has no room', async () => {
  const preferences = new Preferences();
  const opened = { pools, brokenPools: [], brokenDevices: [] };
  const service = storageService(opened, new Serial(), preferences);
  const placement = placementService(opened, preferences);
  for (const [name, pool] of [
    ['7-1-small', 'b'],
    ['7-1-large', 'a'],
    ['rootfs:7-1-vm', 'b'],
    ['7-2-full', 'a'],
    ['7-3-gone', 'no such pool'],
  ] as const) {
    expect(await placement.Prefer({ name, pool }, context as never)).toBe(true);
  }
  await service.DiskCreate({ name: '7-1-small', size: 30 * MIB }, context as never);
  await service.DiskCreate({ name: '7-1-large', size: 90 * MIB }, context as never);
  await service.VolumeCreate({ name: 'rootfs:7-1-vm', size: 20 * MIB }, context as never);
  await service.DiskCreate({ name: '7-2-full', size: 20 * MIB }, context as never);
  await service.DiskCreate({ name: '7-3-gone', size: 5 * MIB }, context as never);
  const [a, b] = pools;
  expect(a?.disks.map(({ path }) => path.split('/').at(-1))).toEqual(['7-1-large']);
  expect(b?.disks.map(({ path }) => path.split('/').at(-1)).sort()).toEqual(['7-1-small', '7-2-full', '7-3-gone']);
  expect(b?.has('rootfs:7-1-vm')).toBe(true);
});

it('says when there is nothing to choose', async () => {
  const service = placementService({ pools: pools.slice(0, 1), brokenPools: [], brokenDevices: [] }, new Preferences());
  expect(await service.Prefer({ name: '7-1-d', pool: 'a' }, context as never)).toBe(false);
});
