import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { deploymentHash } from '../../schemas/challenge.ts';
import {
  type Deployment,
  findWorkload,
  formatDeployment,
  formatWorkload,
  type Workload,
} from '../../schemas/deployment.ts';
import type { PlacedAllocation } from '../plan/capacity.ts';
import type { Journal, RevisedWorkload } from '../store/journal.ts';
import { MemoryJournal } from '../store/memory.ts';
import { full, states, tenant } from '../testing/engine.ts';
import { engineWorld } from '../testing/engine-world.ts';
import { TestHost } from '../testing/host.ts';
import { Life } from '../testing/life.ts';
import { at, diskWorkload, machineWorkload, networkWorkload, volumeWorkload } from '../testing/tenant.ts';

const GIB = 1024 ** 3;

const world = engineWorld();
const { startEngine, accept } = world;
let host: TestHost;

beforeEach(() => {
  ({ host } = world);
});

/** Grows the volume, gives the network a port and a peer, takes the machine and its disk away, adds others. */
function second(): Deployment {
  return tenant.deployment(
    1n,
    [
      at(1, networkWorkload('net1', 4200, ['10.1.3.0/24'])),
      at(1, volumeWorkload('vol1', 2 * GIB)),
      at(1, diskWorkload('disk2', GIB)),
      at(1, machineWorkload('vm2', { mounts: ['vol1', 'disk2'], ip: '10.1.2.6' })),
    ],
    1,
  );
}

/** Records the update as an acceptance would have planned it. */
function revise(journal: Journal, deployment: Deployment): void {
  const record = journal.deployment('7-1');
  if (record === undefined) throw new Error('it was accepted');
  const kept = new Set(deployment.workloads.map((one) => one.name));
  const taken = deployment.workloads.filter((one) => one.version === deployment.version);
  journal.revise({
    twin: 7,
    contract: 1n,
    version: deployment.version,
    document: formatDeployment(deployment),
    hash: deploymentHash(deployment),
    trace: 'trace-2',
    removed: record.workloads.map((one) => one.name).filter((name) => !kept.has(name)),
    workloads: taken.map((one) => revised(deployment, one)),
  });
}

function revised(deployment: Deployment, { name, type, version }: Workload): RevisedWorkload {
  const signed = formatWorkload(findWorkload(deployment, name) as Workload);
  const after = name === 'vm2' ? ['net1', 'vol1', 'disk2'] : [];
  const placed = (bytes: number, kind: 'disk' | 'volume', resource = `7-1-${name}`): PlacedAllocation[] => [
    { resource, kind, media: 'ssd', pool: 'pool1', bytes },
  ];
  const allocations = type === 'volume' ? placed(2 * GIB, 'volume') : type === 'zmount' ? placed(GIB, 'disk') : [];
  const held = { name, type, state: 'pending' as const, vcpus: 0, memoryBytes: 0, publicIps: 0, allocations };
  return { name, type, version, signed, after, held };
}

/** Whether all of the update is done, and nothing of the version before is left. */
function expectUpdated(journal: Journal): void {
  const left = journal.deployment('7-1')?.workloads.filter((one) => one.state !== 'deleted') ?? [];
  expect(left.map((one) => `${one.name} ${one.version} ${one.state}`)).toEqual([
    'net1 1 ok',
    'vol1 1 ok',
    'disk2 1 ok',
    'vm2 1 ok',
  ]);
  expect(left.every((one) => one.next === undefined && one.held?.state === 'committed')).toBe(true);
  const log = journal.changes('7-1').filter((one) => one.state === 'ok' && one.version === 1);
  expect(log.map((one) => one.workload).sort()).toEqual(['disk2', 'net1', 'vm2', 'vol1']);
  const gone = journal.changes('7-1').filter((one) => one.state === 'deleted');
  expect(gone.map((one) => `${one.workload} ${one.message}`).sort()).toEqual([
    'disk1 deleted by an update',
    'vm1 deleted by an update',
  ]);
  expect([...host.machines.keys()]).toEqual(['7-1-vm2']);
  expect([...host.disks.keys()]).toEqual(['7-1-disk2']);
  expect(host.volumes.get('7-1-vol1')).toBe(2 * GIB);
  expect(host.networkWishes.get('7-1-net1')).toMatchObject({ WGListenPort: 4200, Peers: [{}] });
  expect(host.resources).toHaveLength(7);
}

describe('the engine with an update', () => {
  it('removes before it makes, and machines after what they use', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal);
    engine.submit((await accept(journal, full())).id);
    await engine.idle();
    host.calls.length = 0;
    revise(journal, second());
    engine.submit('7-1');
    await engine.idle();
    expectUpdated(journal);
    const { changes } = host;
    const made = ['VolumeUpdate', 'CreateNR', 'DiskCreate', 'Run'].map((method) => changes.indexOf(method));
    expect(changes.indexOf('DiskDelete')).toBeLessThan(Math.min(...made));
    expect(changes.indexOf('Delete')).toBeLessThan(changes.indexOf('DiskDelete'));
    expect(changes.indexOf('Run')).toBe(Math.max(...made));
  });

  it('overtakes the deployment it changes at any call, and leaves nothing of what it removes', async () => {
    let isCovered = false;
    let calls = 0;
    for (let call = 1; !isCovered; call++) {
      host = new TestHost(join(world.folder, `over${call}`));
      world.host = host;
      const journal = new MemoryJournal();
      const engine = startEngine(journal);
      const { id } = await accept(journal, full());
      host.calls.length = 0;
      const [net1, vol1] = [networkWorkload('net1'), volumeWorkload('vol1', GIB)];
      const added = [diskWorkload('disk2', GIB), machineWorkload('vm2', { mounts: ['vol1', 'disk2'], ip: '10.1.2.6' })];
      const update = tenant.deployment(1n, [net1, vol1, ...added.map((one) => at(1, one))], 1);
      isCovered = true;
      host.hook = () => {
        if (host.calls.length < call) return;
        host.hook = () => {};
        isCovered = false;
        calls += 1;
        revise(journal, update);
        engine.submit(id);
      };
      engine.submit(id);
      await engine.idle();
      if (isCovered) break;
      const left = journal.deployment(id)?.workloads.filter((one) => one.state !== 'deleted') ?? [];
      expect(left.map((one) => `${one.name} ${one.version} ${one.state}`).sort()).toEqual([
        'disk2 1 ok',
        'net1 0 ok',
        'vm2 1 ok',
        'vol1 0 ok',
      ]);
      // A call that was given up still ends.
      await expect.poll(() => [...host.machines.keys(), ...host.disks.keys()]).toEqual(['7-1-vm2', '7-1-disk2']);
      expect(host.resources).toHaveLength(7);
      await engine.stop();
    }
    expect(calls).toBeGreaterThan(15);
  }, 60_000);

  it('makes nothing before what is removed is confirmed gone', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal);
    engine.submit((await accept(journal, full())).id);
    await engine.idle();
    host.calls.length = 0;
    let failures = 5;
    host.hook = ({ method }) => {
      if (method === 'DiskDelete' && failures-- > 0) throw new Error('device or resource busy');
      if (failures > 0) expect(method).not.toMatch(/DiskCreate|VolumeUpdate|Run/);
    };
    revise(journal, second());
    engine.submit('7-1');
    await engine.idle();
    expect(failures).toBeLessThan(0);
    expectUpdated(journal);
  });

  it('has what stays back after a start, and paused, while something can not be removed', async () => {
    const journal = new MemoryJournal();
    const first = startEngine(journal);
    first.submit((await accept(journal, full())).id);
    await first.idle();
    let isBusy = true;
    host.hook = ({ method }) => {
      if (isBusy && method === 'DiskDelete') throw new Error('device or resource busy');
    };
    revise(journal, second());
    await first.stop();
    host.networks.clear();
    const engine = startEngine(journal);
    engine.resume();
    await expect.poll(() => host.networks.has('7-1-net1')).toBe(true);
    expect(states(journal)).toMatchObject({ vol1: 'ok', disk2: 'init' });
    engine.pause('7-1', true);
    await expect.poll(() => states(journal)).toMatchObject({ net1: 'paused', vol1: 'paused' });
    engine.pause('7-1', false);
    isBusy = false;
    await engine.idle();
    expectUpdated(journal);
  });

  it('changes nothing while it does not know how a change ended, and goes on when it does', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal);
    engine.submit((await accept(journal, full())).id);
    await engine.idle();
    let isAway = true;
    host.hook = ({ method }) => {
      if (isAway && method === 'VolumeUpdate') throw new Error('storaged is away');
    };
    revise(journal, second());
    engine.submit('7-1');
    await expect.poll(() => journal.steps('7-1').filter((one) => one.step === 'resize').length).toBeGreaterThan(6);
    expect(states(journal).vm2).toBe('init');
    expect(journal.changes('7-1').some((one) => one.state === 'unchanged')).toBe(false);
    isAway = false;
    await engine.idle();
    expectUpdated(journal);
  });
});

describe.each(['before', 'after'] as const)(
  'a crash %s any write of the journal while an update is carried out',
  (when) => {
    it('ends in the new version', async () => {
      let isCovered = false;
      let deaths = 0;
      // Every second write: between them both halves see each.
      for (let write = when === 'before' ? 1 : 2; !isCovered; write += 2) {
        host = new TestHost(join(world.folder, `update${write}`));
        world.host = host;
        const path = join(world.folder, `update${write}`, 'journal.sqlite');
        const born = (dieAtWrite: number): Life =>
          new Life({ path, dieAtWrite, when, daemons: host.daemons, startEngine });
        const ready = born(Number.POSITIVE_INFINITY);
        ready.engine.submit((await accept(ready.journal, full())).id);
        await ready.engine.idle();
        await ready.engine.stop();

        const first = born(write);
        revise(first.journal, second());
        first.engine.submit('7-1');
        await expect.poll(() => first.isDead || states(first.journal).vm2 === 'ok').toBe(true);
        await first.engine.stop();
        isCovered = !first.isDead;
        if (isCovered) break;
        deaths += 1;
        const last = born(Number.POSITIVE_INFINITY);
        last.engine.resume();
        await last.engine.idle();
        expectUpdated(last.journal);
        last.engine.cancel('7-1', 'x');
        await last.engine.idle();
        expect(host.resources).toEqual([]);
        await last.engine.stop();
      }
      expect(deaths).toBeGreaterThan(10);
    }, 60_000);
  },
);
