import { describe, expect, it } from 'vitest';
import { chain } from '../modules/api-gateway/interface.ts';
import { type Deployment, noResult } from '../schemas/deployment.ts';
import { planner, provision } from './interface.ts';
import type { Provisiond } from './provisiond.ts';
import { failingJournal } from './store/failing.ts';
import { MemoryJournal } from './store/memory.ts';
import { LIMITS } from './testing/engine.ts';
import { bus, host, stand, standForEachTest, tenant } from './testing/stand.ts';
import { at, diskWorkload, machineWorkload, networkWorkload, volumeWorkload } from './testing/tenant.ts';
import { deploymentFromStruct } from './wire.ts';

const GIB = 1024 ** 3;

let daemon: Provisiond;

standForEachTest();

/** A network, a disk in use, a spare disk, a volume and a machine. */
const first = () => [
  networkWorkload('net1', 4127),
  diskWorkload('disk1', GIB),
  diskWorkload('spare', GIB),
  volumeWorkload('vol1', GIB),
  machineWorkload('vm1', { mounts: ['disk1', 'vol1'] }),
];

async function deployed(): Promise<void> {
  daemon = await stand.startHere();
  await stand.deploy(tenant.contracted(host, 1n, first()));
  await stand.running();
}

/** The signed next version, whose hash the contract has. */
function next(workloads: Deployment['workloads'], version = 1, metadata = ''): Deployment {
  const deployment = tenant.deployment(1n, workloads, version, metadata);
  host.rehash(deployment);
  return deployment;
}

const got = async (): Promise<Deployment> =>
  deploymentFromStruct(await bus.of(provision).Get({ twin: 7, contractID: 1n }), { results: 'keep' });

const logOf = async (version: number): Promise<string[]> => {
  const changes = await bus.of(provision).Changes({ twin: 7, contractID: 1n });
  return changes
    .filter((one) => one.Version === version || one.Result.State === 'deleted')
    .map(({ Name, Version, Result }) => `${Name} ${Version} ${Result.State} ${Result.Error}`.trim());
};

const settled = (): Promise<void> => daemon.engine.idle();

describe('an update', () => {
  it('adds, changes and removes in the order of nodes, and what stays is not touched', async () => {
    await deployed();
    const [net1, disk1, spare, vol1, vm1] = first();
    if (net1 === undefined || disk1 === undefined || spare === undefined || vol1 === undefined || vm1 === undefined) {
      throw new Error('five workloads');
    }
    const machine = host.machines.get('7-1-vm1');
    host.calls.length = 0;
    // In another order, and what stays written in another way.
    await stand.update(
      next([
        { ...vm1, data: JSON.stringify(JSON.parse(vm1.data), undefined, 2) },
        at(1, diskWorkload('disk2', 2 * GIB)),
        at(1, networkWorkload('net1', 4200, ['10.1.3.0/24'])),
        at(1, volumeWorkload('vol1', 3 * GIB)),
        disk1,
      ]),
    );
    expect((await got()).version).toBe(1);
    await settled();
    expect(host.changes[0]).toBe('DiskDelete');
    expect(host.changes.slice(1).sort()).toEqual(['CreateNR', 'DiskCreate', 'VolumeUpdate']);
    expect(host.machines.get('7-1-vm1')).toBe(machine);
    expect(host.volumes.get('7-1-vol1')).toBe(3 * GIB);
    expect(host.networkWishes.get('7-1-net1')).toMatchObject({ WGListenPort: 4200, Peers: [{ Endpoint: '' }] });
    expect((await logOf(1)).sort()).toEqual([
      'disk2 1 init',
      'disk2 1 ok',
      'net1 1 ok',
      'spare 0 deleted deleted by an update',
      'vol1 1 ok',
    ]);
    const now = await got();
    expect(now.workloads.map((one) => `${one.name} ${one.version} ${one.result.state} ${one.metadata}`.trim())).toEqual(
      ['vm1 0 ok', 'disk2 1 ok', 'net1 1 ok', 'vol1 1 ok', 'disk1 0 ok'],
    );
    expect(JSON.parse(now.workloads[3]?.data ?? '')).toEqual({ size: 3 * GIB });
    expect(await bus.of(provision).GetWorkloadStatus({ id: '7-1-spare' })).toEqual(['', false]);
    expect(await bus.of(provision).ListPrivateIPs({ twin: 7, network: 'net1' })).toEqual(['10.1.2.5']);
    const { Committed, Pending } = await bus.of(planner).Capacity({});
    expect(Committed.SRU).toBe(6 * GIB + 500 * 1024 ** 2);
    expect(Pending.SRU).toBe(0);
    await expect.poll(() => host.consumption.get(1n)?.SRU).toBe(BigInt(Committed.SRU));
    host.cancelContract(1n);
    await expect.poll(() => host.resources).toEqual([]);
  });

  it('of nothing but words is taken, again and again', async () => {
    await deployed();
    host.calls.length = 0;
    await stand.update(next(first(), 1, 'first'));
    await stand.update(next(first().reverse(), 2, 'second'));
    await settled();
    expect(host.changes).toEqual([]);
    expect(await logOf(1)).toEqual([]);
    expect(await got()).toMatchObject({ version: 2, metadata: 'second' });
    expect((await got()).workloads.every((one) => one.version === 0 && one.result.state === 'ok')).toBe(true);
  });

  it('that nodes refuse to carry out leaves what runs, and says why', async () => {
    await deployed();
    const rest = first().filter(({ name }) => !['disk1', 'spare', 'vol1'].includes(name));
    await stand.update(
      next([
        ...rest,
        at(1, diskWorkload('disk1', 2 * GIB)),
        at(1, diskWorkload('spare', GIB / 2)),
        at(1, volumeWorkload('vol1', GIB / 2)),
      ]),
    );
    await settled();
    expect((await logOf(1)).sort()).toEqual([
      'disk1 1 unchanged disk is mounted, please delete the VM first',
      'spare 1 unchanged not safe to shrink a disk',
      `vol1 1 unchanged cannot shrink volume to be less than provisioned space. old: ${GIB}, requested: ${GIB / 2}`,
    ]);
    const { workloads } = await got();
    expect(workloads.map((one) => one.version)).toEqual([0, 0, 0, 0, 0]);
    expect(workloads.map((one) => one.result.state)).toEqual(['ok', 'ok', 'ok', 'ok', 'ok']);
    expect(host.disks.get('7-1-disk1')?.size).toBe(GIB);
    expect((await bus.of(planner).Capacity({})).Pending.SRU).toBe(0);
    // The next one compares with what runs.
    await stand.update(next([...rest.filter((one) => one.name !== 'vm1'), at(2, diskWorkload('disk1', 2 * GIB))], 2));
    await settled();
    expect(await logOf(2)).toContain('disk1 2 ok');
    expect(host.disks.get('7-1-disk1')?.size).toBe(2 * GIB);
    expect(host.resources).toEqual(['disk 7-1-disk1', expect.stringMatching(/^network 7-1-net1/)]);
  });

  it('is refused with every rule in the words of nodes, and then nothing has changed', async () => {
    await deployed();
    const refused = async (deployment: Deployment): Promise<string> =>
      (await stand.refused(deployment, 7, true)).message;
    const [net1, ...others] = first();
    if (net1 === undefined) throw new Error('a network');
    expect(await refused(next(first(), 2))).toBe('expecting deployment version 1, got 2: upgrade validation error');
    expect(await refused(next([...first(), diskWorkload('new', GIB)]))).toBe(
      "invalid version number for workload 'new' expected '1': upgrade validation error",
    );
    expect(await refused(next([...first().slice(0, 2), ...first().slice(3), volumeWorkload('spare', GIB)]))).toBe(
      "cannot change workload type 'spare': upgrade validation error",
    );
    expect(await refused(next([...first().slice(0, 4), at(1, machineWorkload('vm1'))]))).toBe(
      "workload 'zmachine' does not support upgrade: upgrade validation error",
    );
    const unsigned = { ...next(first(), 1, 'x'), metadata: 'y' };
    expect(await refused(unsigned)).toMatch(/^failed to verify signature/);
    host.rehash(tenant.deployment(1n, first(), 1, 'another'));
    expect(await refused(tenant.deployment(1n, first(), 1, 'this'))).toMatch(/^contract hash does not match/);
    // What stays needs what would go.
    expect(await refused(next(others))).toMatch(/network/);
    expect(await refused(next(first().filter((one) => one.name !== 'disk1')))).toMatch(/disk1/);
    const mycelium = {
      ...net1,
      version: 1,
      data: net1.data.replace('"peers":[]', `"peers":[],"mycelium":{"hex_key":"${'ab'.repeat(32)}","peers":[]}`),
    };
    expect((await stand.refused(next([mycelium, ...others]), 7, true)).code).toBe('feature_unsupported');
    const grown = next([...first().slice(0, 2), at(1, diskWorkload('spare', 99 * GIB)), ...first().slice(3)]);
    expect(await stand.refused(grown, 7, true)).toMatchObject({
      code: 'capacity_single_disk',
      details: { workload: 'spare', requested: 98 * GIB, pool: 'pool1' },
    });
    expect((await got()).version).toBe(0);
    expect(await logOf(1)).toEqual([]);
  });

  it('takes the room of what it removes, and grows no further than there is', async () => {
    await deployed();
    const { Free } = await bus.of(planner).Capacity({});
    const kept = first().filter((one) => one.name !== 'spare');
    host.hook = async ({ method }, when) => {
      if (method === 'DiskDelete' && when === 'before') await new Promise((resolve) => setTimeout(resolve, 50));
    };
    await stand.update(next([...kept, at(1, diskWorkload('large', Free.SRU + GIB))]));
    await settled();
    expect(await logOf(1)).toEqual(['large 1 init', 'spare 0 deleted deleted by an update', 'large 1 ok']);
    expect((await bus.of(planner).Capacity({})).Free.SRU).toBe(0);
    const large = at(1, diskWorkload('large', Free.SRU + GIB));
    const more = next([...kept, large, at(2, diskWorkload('one', 1024 ** 2))], 2);
    expect((await stand.refused(more, 7, true)).code).toBe('capacity_refused');
  });

  it('waits for its hash on the chain, and for the update before it', async () => {
    daemon = await stand.startHere({ contractWaitMs: 5_000 });
    await stand.deploy(tenant.contracted(host, 1n, first()));
    await stand.running();
    const late = tenant.deployment(1n, first(), 1, 'late');
    setTimeout(() => host.rehash(late), 700);
    await stand.update(late);
    const hold = Promise.withResolvers<void>();
    host.hook = async ({ method }, when) => {
      if (method === 'DiskResize' && when === 'before') await hold.promise;
    };
    const spare = (version: number, size: number) => at(version, diskWorkload('spare', size));
    const without = first().filter((one) => one.name !== 'spare');
    await stand.update(next([...without, spare(2, 2 * GIB)], 2));
    const third = stand.update(next([...without, spare(3, 3 * GIB)], 3));
    setTimeout(() => hold.resolve(), 300);
    await third;
    await settled();
    expect([...(await logOf(2)), ...(await logOf(3))]).toEqual(['spare 2 ok', 'spare 3 ok']);
    expect(host.disks.get('7-1-spare')?.size).toBe(3 * GIB);
  });

  it('is taken while the one before is still carried out, where it changes something else', async () => {
    await deployed();
    const [net1, disk1, spare, vol1, vm1] = first();
    if (net1 === undefined || disk1 === undefined || spare === undefined || vol1 === undefined || vm1 === undefined) {
      throw new Error('five workloads');
    }
    let isAway = true;
    host.hook = ({ method }) => {
      if (isAway && /VolumeUpdate|DiskDelete/.test(method)) throw new Error('storaged is away');
    };
    const larger = at(1, volumeWorkload('vol1', 3 * GIB));
    await stand.update(next([net1, disk1, larger, vm1]));
    const added = at(2, diskWorkload('more', GIB));
    await stand.update(next([net1, disk1, larger, vm1, added], 2));
    const again = next([net1, disk1, at(3, volumeWorkload('vol1', 4 * GIB)), vm1, added], 3);
    isAway = false;
    await settled();
    await stand.update(again);
    await settled();
    expect(
      [...(await logOf(1)), ...(await logOf(2)), ...(await logOf(3))].filter((one) => !one.includes('spare')),
    ).toEqual(['vol1 1 ok', 'more 2 init', 'more 2 ok', 'vol1 3 ok']);
    expect(host.volumes.get('7-1-vol1')).toBe(4 * GIB);
    expect((await got()).workloads.map((one) => `${one.name} ${one.version} ${one.result.state}`)).toEqual([
      'net1 0 ok',
      'disk1 0 ok',
      'vol1 3 ok',
      'vm1 0 ok',
      'more 2 ok',
    ]);
  });

  it('takes the place of one that does not come to its end', async () => {
    daemon = await stand.startHere({ engineLimits: LIMITS, busyWaitMs: 0 });
    await stand.deploy(tenant.contracted(host, 1n, first()));
    await stand.running();
    const { Free } = await bus.of(planner).Capacity({});
    const most = Free.SRU + GIB;
    const sizes: unknown[] = [];
    let isTaken = false;
    host.hook = ({ method, args: { size } }) => {
      if (method !== 'DiskResize') return;
      // What undoes it at the beginning of a look comes behind what undid it at the end of the one before.
      const isUndone = isTaken && size === GIB && sizes.at(-1) === GIB;
      sizes.push(size);
      if (size !== most && !isUndone) throw new Error('device or resource busy');
    };
    const rest = first().filter((one) => one.name !== 'spare');
    await stand.update(next([...rest, at(1, diskWorkload('spare', 2 * GIB))]));
    await expect.poll(() => sizes).toContain(2 * GIB);
    // All the room there is: what the one before was to have is its own.
    await stand.update(next([...rest, at(2, diskWorkload('spare', most))], 2));
    isTaken = true;
    await settled();
    expect((await got()).version).toBe(2);
    expect(host.disks.get('7-1-spare')?.size).toBe(most);
    expect((await bus.of(planner).Capacity({})).Free.SRU).toBe(0);
    expect([...(await logOf(1)), ...(await logOf(2))]).toEqual([
      'spare 1 unchanged superseded by version 2',
      'spare 2 ok',
    ]);
    const operations = daemon.journal
      .operations('7-1')
      .map(({ kind, version, state }) => `${kind} ${version} ${state}`);
    expect(operations).toEqual(['create 0 done', 'update 1 superseded', 'update 2 done']);
  });

  it('makes again what had failed', async () => {
    daemon = await stand.startHere();
    host.hook = ({ method, args }) => {
      if (method === 'CreateNR' && String(args.wl).endsWith('bad')) throw new Error('no port is free');
    };
    const good = diskWorkload('disk', GIB);
    await stand.deploy(tenant.contracted(host, 1n, [networkWorkload('bad'), good]));
    await expect.poll(() => stand.stateOf()).toEqual(['error', 'ok']);
    await settled();
    host.hook = () => {};
    await stand.update(next([at(1, networkWorkload('bad')), good]));
    await stand.running();
    expect(await logOf(1)).toEqual(['bad 1 init', 'bad 1 ok']);
  });

  it('that fails on the host is undone, and runs on as it was', async () => {
    await deployed();
    const before = host.networkWishes.get('7-1-net1');
    let failures = 0;
    host.hook = ({ method, args }, when) => {
      const wish = args.network as { WGListenPort: number } | undefined;
      if (method !== 'CreateNR' || when !== 'after' || wish?.WGListenPort !== 4300) return;
      failures += 1;
      throw new Error('wireguard listen port already in use, pick another one');
    };
    const [, ...others] = first();
    await stand.update(next([at(1, networkWorkload('net1', 4300)), ...others]));
    await settled();
    expect(failures).toBe(1);
    expect(await logOf(1)).toEqual([
      expect.stringMatching(
        /^net1 1 unchanged failed to create network resource for network 7-1-net1: the node failed/,
      ),
    ]);
    expect(host.networkWishes.get('7-1-net1')).toEqual(before);
    expect((await got()).workloads[0]).toMatchObject({ version: 0, result: { state: 'ok' } });
  });

  it('is overtaken by a cancellation, and leaves nothing', async () => {
    await deployed();
    const reached = Promise.withResolvers<void>();
    const resized = Promise.withResolvers<void>();
    host.hook = async ({ method }, when) => {
      if (method !== 'DiskResize') return;
      if (when === 'after') return resized.resolve();
      reached.resolve();
      await new Promise((resolve) => setTimeout(resolve, 300));
    };
    const without = first().filter((one) => one.name !== 'spare');
    await stand.update(next([...without, at(1, diskWorkload('spare', 2 * GIB)), at(1, diskWorkload('more', GIB))]));
    await reached.promise;
    host.cancelContract(1n);
    await resized.promise;
    await expect.poll(() => daemon.journal.history()).toHaveLength(1);
    await expect.poll(() => host.resources).toEqual([]);
    await expect(stand.update(next(first(), 2))).rejects.toThrow(/not found: deployment does not exist$/);
  });

  it('is finished before a pause, and what is paused takes none', async () => {
    await deployed();
    const without = first().filter((one) => one.name !== 'spare');
    host.calls.length = 0;
    const looks = (): number => host.calls.filter((call) => call.method === 'Contract').length;
    host.hook = async ({ method }, when) => {
      if (method !== 'DiskResize' || when !== 'before') return;
      // Behind the check of the contract and the look at it that follows every acceptance; answers keep their order.
      await expect.poll(looks).toBeGreaterThan(1);
      await bus.of(chain).Contract({ id: 1n });
      daemon.engine.pause('7-1', true);
    };
    await stand.update(next([...without, at(1, diskWorkload('spare', 2 * GIB))]));
    await settled();
    expect(await logOf(1)).toEqual(['spare 1 ok', 'spare 1 paused paused']);
    expect(new Set(await stand.stateOf())).toEqual(new Set(['paused']));
    host.hook = () => {};
    const facts = host.contracts.get(1n);
    const grown = next([...without, at(2, diskWorkload('spare', 3 * GIB))], 2);
    if (facts !== undefined) host.contracts.set(1n, { ...facts, State: 'grace' });
    expect((await stand.refused(grown, 7, true)).code).toBe('contract_state');
    // The grace period ended, and this node has not heard of it yet.
    host.rehash(grown);
    const rehashed = host.contracts.get(1n);
    if (rehashed !== undefined) host.contracts.set(1n, { ...rehashed, State: 'created' });
    await stand.update(grown);
    daemon.engine.pause('7-1', false);
    await stand.running();
    await settled();
    expect(await logOf(2)).toEqual(['spare 2 ok']);
    expect(host.locked.size).toBe(0);
  });

  it('is not accepted when it can not be written down', async () => {
    const journal = failingJournal(new MemoryJournal());
    daemon = await stand.startHere({ journal });
    await stand.deploy(tenant.contracted(host, 1n, first()));
    await stand.running();
    await settled();
    journal.failing.add('revise');
    const without = first().filter((one) => one.name !== 'spare');
    const update = next(without);
    expect((await stand.refused(update, 7, true)).message).toContain('disk I/O error');
    expect((await got()).version).toBe(0);
    journal.failing.clear();
    await stand.update(update);
    await settled();
    expect((await got()).workloads).toHaveLength(4);
  });

  it('W25: believes no result that a client sends', async () => {
    await deployed();
    const forged = { ...at(1, diskWorkload('forged', GIB)), result: { ...noResult(), state: 'ok', data: '{"x":1}' } };
    await stand.update(next([...first(), forged]));
    await settled();
    const found = (await got()).workloads.find((one) => one.name === 'forged');
    expect(JSON.parse(found?.result.data ?? '')).toEqual({ volume_id: '7-1-forged' });
  });
});
