/** What storaged says is on its pools, and how it removes what nobody owns: over btrfs on a loop file, and over books. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { simulatedHost } from '../host/simulation.ts';
import type { OpenedPools, StoragePool } from './drivers/driver.ts';
import { openPools } from './drivers/open.ts';
import { openSimulatedPools } from './drivers/simulated.ts';
import { storageInventoryService } from './inventory.ts';
import { purgeStorage } from './purge.ts';
import { Serial } from './serial.ts';

const MIB = 1024 ** 2;
const POOL_BYTES = 1024 * MIB;
const log = pino({ level: 'silent' });
const isRoot = process.getuid?.() === 0;
const context = { signal: new AbortController().signal, trace: '' };

function service(opened: OpenedPools) {
  const handlers = storageInventoryService(opened, new Serial());
  return {
    owned: async () => (await handlers.Owned({}, context)).sort((a, b) => (a.Name < b.Name ? -1 : 1)),
    remove: (kind: string, name: string) => Promise.resolve(handlers.Remove({ kind, name, owner: '' }, context)),
  };
}

function poolOf({ pools }: OpenedPools): StoragePool {
  const [pool] = pools;
  if (pool === undefined) throw new Error('no pool');
  return pool;
}

async function fill(pool: StoragePool): Promise<void> {
  await pool.createVolume('7-1-vol', 64 * MIB);
  await pool.createVolume('rootfs:7-1-vm', 32 * MIB);
  await pool.createVolume('zos-cache', MIB);
  await pool.createVolume('somebody', MIB);
  await pool.createDisk('7-1-disk', 16 * MIB);
}

const filled = [
  { Kind: 'disk', Name: '7-1-disk', Owner: '7-1-disk', Bytes: 16 * MIB, Residue: false },
  { Kind: 'volume', Name: '7-1-vol', Owner: '7-1-vol', Bytes: 64 * MIB, Residue: false },
  { Kind: 'volume', Name: 'rootfs:7-1-vm', Owner: '7-1-vm', Bytes: 32 * MIB, Residue: false },
  { Kind: 'volume', Name: 'somebody', Owner: '', Bytes: MIB, Residue: false },
];

describe.skipIf(!isRoot)('the inventory of a btrfs pool', () => {
  const state = mkdtempSync(join(tmpdir(), 'gn-si-'));
  let opened: OpenedPools;

  beforeAll(async () => {
    mkdirSync(join(state, 'storaged'), { recursive: true });
    mkdirSync(join(state, 'pools'), { recursive: true });
    const folders = { root: join(state, 'storaged'), pools: join(state, 'pools') };
    opened = await openPools({ ...folders, devices: [], poolBytes: POOL_BYTES, log });
    await fill(poolOf(opened));
  });
  afterAll(async () => {
    await purgeStorage(state);
    rmSync(state, { recursive: true, force: true });
  });

  it('lists volumes and disks with owner, bytes and time, and none of the node itself', async () => {
    const found = await service(opened).owned();
    expect(found).toMatchObject(filled);
    expect(found).toHaveLength(filled.length);
    for (const { Since } of found) expect(Math.abs(Date.now() - Since)).toBeLessThan(600_000);
  });

  it('finds and removes what was made behind its back, whole or half, and leaves no quota of it', async () => {
    const pool = poolOf(opened);
    const btrfs = (...args: string[]): void => void execFileSync('btrfs', args, { stdio: 'pipe' });
    btrfs('subvolume', 'create', pool.path('7-9-hand'));
    btrfs('subvolume', 'create', pool.path('.making-7-9-half'));
    writeFileSync(join(pool.path('vdisks'), '7-9-disk'), Buffer.alloc(MIB));
    writeFileSync(join(pool.path('vdisks'), '.making-7-9-d2'), Buffer.alloc(MIB));
    const { owned, remove } = service(opened);
    const made = (await owned()).filter(({ Owner }) => Owner.startsWith('7-9-'));
    expect(made.map(({ Kind, Name, Owner, Residue }) => [Kind, Name, Owner, Residue])).toEqual([
      ['disk', '.making-7-9-d2', '7-9-d2', false],
      ['volume', '.making-7-9-half', '7-9-half', false],
      ['disk', '7-9-disk', '7-9-disk', false],
      ['volume', '7-9-hand', '7-9-hand', false],
    ]);
    for (const { Kind, Name } of made) await remove(Kind, Name);
    // Some kernels drop the quota of a removed volume by themselves, some time later; others never do.
    await expect
      .poll(async () => {
        const found = await owned();
        for (const { Kind, Name } of found) {
          if (Kind === 'quota') await remove(Kind, Name).catch(() => undefined);
        }
        return found.map(({ Kind, Name }) => `${Kind} ${Name}`);
      })
      .toEqual(filled.map(({ Kind, Name }) => `${Kind} ${Name}`));
    expect(existsSync(pool.path('7-9-hand'))).toBe(false);
    // What is gone is gone.
    await remove('volume', '7-9-hand');
    await remove('disk', '7-9-disk');
  });

  it('counts what other hands changed from the next list on, and what has no limit at any time', async () => {
    const pool = poolOf(opened);
    const before = pool.used;
    execFileSync('btrfs', ['qgroup', 'limit', String(80 * MIB), pool.path('7-1-vol')], { stdio: 'pipe' });
    writeFileSync(join(pool.path('vdisks'), '7-8-hand'), Buffer.alloc(4 * MIB));
    const { owned, remove } = service(opened);
    await owned();
    expect(pool.used - before).toBe(20 * MIB);
    await remove('disk', '7-8-hand');
    await pool.limitVolume('7-1-vol', 64 * MIB);
    expect(pool.used).toBe(before);

    await pool.createVolume('open');
    expect(pool.used - before).toBeLessThan(MIB);
    writeFileSync(join(pool.path('open'), 'content'), randomBytes(8 * MIB));
    await pool.commit();
    // With a page or two of the file system's own.
    expect(Math.floor((pool.used - before) / MIB)).toBe(8);
    await pool.deleteVolume('open');
    expect(pool.used).toBe(before);
  });

  it('refuses the node itself and what is no name', async () => {
    const { remove } = service(opened);
    for (const [kind, name] of [
      ['volume', 'zos-cache'],
      ['volume', 'vdisks'],
      ['volume', 'zdb'],
      ['volume', '../up'],
      ['disk', '../zos-cache'],
      ['pool', 'x'],
    ] as const) {
      await expect(remove(kind, name)).rejects.toThrow();
    }
    expect(poolOf(opened).has('zos-cache')).toBe(true);
  });
});

describe('the inventory of a pool of books', () => {
  const state = mkdtempSync(join(tmpdir(), 'gn-si-'));
  afterAll(() => rmSync(state, { recursive: true, force: true }));

  it('lists what the books have and removes it', async () => {
    const opened = await openSimulatedPools({
      ...{ root: join(state, 'storaged'), pools: join(state, 'pools'), bytes: { ssd: POOL_BYTES, hdd: 0 } },
      host: simulatedHost({ delayMs: 0, refuse: () => undefined }),
    });
    await fill(poolOf(opened));
    const { owned, remove } = service(opened);
    expect(await owned()).toMatchObject(filled);
    for (const { Kind, Name } of filled) await remove(Kind, Name);
    expect(await owned()).toEqual([]);
    expect(poolOf(opened).has('zos-cache')).toBe(true);
  });
});
