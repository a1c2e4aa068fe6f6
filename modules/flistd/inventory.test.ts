/** What flistd says is mounted and kept, and how it removes what nobody owns: real mounts, real records. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { mountsBelow } from '../host/mounts.ts';
import { ZbusClient } from '../zbus/client.ts';
import { startRedis, type TestRedis } from '../zbus/testing/redis.ts';
import { Bases } from './drivers/bases.ts';
import { Mounts } from './drivers/mounts.ts';
import { Records } from './drivers/records.ts';
import { flistInventoryService } from './inventory.ts';

const log = pino({ level: 'silent' });
const isRoot = process.getuid?.() === 0;
const context = { signal: new AbortController().signal, trace: '' };

describe.skipIf(!isRoot)('the inventory of images', () => {
  let top: string;
  let redis: TestRedis;
  let bus: ZbusClient;
  let mounts: Mounts;
  let records: Records;
  let handlers: ReturnType<typeof flistInventoryService>;
  const base = (): string => join(top, 'base');
  const list = async (): Promise<string[]> =>
    (await handlers.Owned({}, context))
      .map((one) => `${one.Kind} ${one.Name} ${one.Owner} ${one.Residue ? 'residue' : ''}`.trim())
      .sort();
  const remove = async (kind: string, name: string): Promise<void> =>
    handlers.Remove({ kind, name, owner: '' }, context);

  beforeEach(async () => {
    top = realpathSync(mkdtempSync(join(tmpdir(), 'gn-fi-')));
    for (const folder of ['mnt', 'tree', 'volume']) mkdirSync(join(top, folder));
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', join(top, 'volume')]);
    redis = await startRedis();
    bus = new ZbusClient({ broker: redis.broker, log });
    mounts = new Mounts(join(top, 'mnt'));
    records = await Records.open(join(top, 'records'));
    const unpackings = await Bases.open({
      ...{ folder: base(), limitBytes: 1024 ** 3, allowed: [], addresses: { allowed: [], denyPrivate: false } },
      ...{ held: () => records.hashes(), log },
    });
    handlers = flistInventoryService({ mounts, records, bus, unpackings });
  });
  afterEach(async () => {
    for (const { target } of mountsBelow(top)) execFileSync('umount', [target]);
    await bus.close();
    await redis.stop();
    rmSync(top, { recursive: true, force: true });
  });

  it('lists mounts, names that keep an image, and unpackings that nobody is at', async () => {
    const tree = { path: join(top, 'tree'), sha256: 'a'.repeat(64), shown: 'x', kept: true };
    await mounts.mountReadOnly('7-1-vm', tree);
    await mounts.mountWritable('7-9-vm', tree, join(top, 'volume'));
    mkdirSync(mounts.path('7-9-hand'));
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', mounts.path('7-9-hand')]);
    for (const name of ['7-1-vm', '7-9-held']) {
      await records.write(name, { url: 'x', sha256: tree.sha256, readOnly: true, ownVolume: false });
    }
    for (const name of ['.unpack-0123456789ab', '.evict-0123456789ab', 'not ours']) mkdirSync(join(base(), name));
    expect(await list()).toEqual([
      'image-hold 7-9-held 7-9-held',
      'mount 7-1-vm 7-1-vm',
      'mount 7-9-hand 7-9-hand',
      'mount 7-9-vm 7-9-vm',
      'unpacking .evict-0123456789ab  residue',
      'unpacking .unpack-0123456789ab  residue',
    ]);
    await remove('mount', '7-9-vm');
    await remove('mount', '7-9-hand');
    await remove('image-hold', '7-9-held');
    await remove('unpacking', '.evict-0123456789ab');
    await remove('unpacking', '.unpack-0123456789ab');
    await remove('unpacking', 'not ours');
    expect(await list()).toEqual(['mount 7-1-vm 7-1-vm']);
    expect(mountsBelow(join(top, 'mnt')).map(({ target }) => target)).toEqual([mounts.path('7-1-vm')]);
    expect(readdirSync(join(top, 'records'))).toEqual(['7-1-vm.json']);
    expect(readdirSync(base())).toEqual(['not ours']);
    // What is in a tenant's volume is the volume's, and storaged's to remove.
    expect(existsSync(join(top, 'volume', 'rw'))).toBe(true);
    await expect(remove('mount', '../tree')).rejects.toThrow();
  });
});
