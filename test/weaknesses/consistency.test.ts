/** What the node says, what it wrote down and what is on the host agree: weaknesses W9 to W19 of docs/weaknesses.md. */

import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { planner, provision, statistics } from '../../provision/interface.ts';
import type { Journal } from '../../provision/store/journal.ts';
import { SqliteJournal } from '../../provision/store/sqlite.ts';
import { fillJournal } from '../../provision/testing/fill.ts';
import { fullDeployment } from '../../provision/testing/provisiond.ts';
import { bus, host, stand, tenant } from '../../provision/testing/stand.ts';
import { at, diskWorkload, machineWorkload, networkWorkload, volumeWorkload } from '../../provision/testing/tenant.ts';
import {
  changeContract,
  changes,
  deployed,
  die,
  ends,
  gate,
  got,
  grace,
  isGone,
  losePower,
  named,
  next,
  nodeForEachTest,
  operations,
  settles,
  standing,
  start,
} from './node.ts';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const ALL_OK = ['net1 0 ok', 'disk1 0 ok', 'vm1 0 ok'];
const vol = (version: number, gib: number) => at(version, volumeWorkload('vol1', gib * GIB));

nodeForEachTest();

/** Waiters count one `ok` for each name and version, and hang where there are two. */
async function eachOkOnce(contract = 1n): Promise<string[]> {
  const oks = (await changes(contract)).filter((one) => one.endsWith(' ok'));
  expect(new Set(oks).size).toBe(oks.length);
  return oks;
}

describe('what waits behind other work sees what that did', () => {
  it('W9: a pause behind an update undoes nothing of it, nor does the end of the pause', async () => {
    await start();
    await deployed(1n, ...fullDeployment(), vol(0, 1));
    const slow = gate(named('VolumeUpdate'));
    await stand.update(next(1n, 1, ...fullDeployment(), vol(1, 2)));
    await slow.reached;
    grace(1n, true);
    await expect.poll(() => [...host.locked]).toEqual(['7-1-vm1']);
    slow.open();
    await settles(['net1 0 paused', 'disk1 0 paused', 'vm1 0 paused', 'vol1 1 paused']);
    grace(1n, false);
    await settles([...ALL_OK, 'vol1 1 ok']);
    expect(host.volumes.get('7-1-vol1')).toBe(2 * GIB);
    expect([...host.locked]).toEqual([]);
    expect((await got()).version).toBe(1);
    expect(await eachOkOnce()).toEqual(expect.arrayContaining(['vol1 0 ok', 'vol1 1 ok']));
  });

  it('W9: a pause that comes while a deployment is made holds once it is', async () => {
    await start();
    const slow = gate(named('Run'));
    await stand.deploy(tenant.contracted(host, 1n, fullDeployment()));
    await slow.reached;
    grace(1n, true);
    slow.open();
    await settles(['net1 0 paused', 'disk1 0 paused', 'vm1 0 paused']);
    expect([...host.locked]).toEqual(['7-1-vm1']);
  });

  it('W9: the end of a contract takes along what an update before it was adding', async () => {
    await start();
    await deployed(1n, vol(0, 1));
    const slow = gate(named('DiskCreate'), 'after');
    await stand.update(next(1n, 1, vol(0, 1), at(1, diskWorkload('disk2', GIB))));
    await slow.reached;
    host.cancelContract(1n);
    await expect.poll(() => operations().then((all) => all.at(-1)?.Kind)).toBe('cancel');
    slow.open();
    await expect.poll(() => isGone()).toBe(true);
    await expect.poll(() => host.resources).toEqual([]);
  });

  it('W10: an update upon one that is under way takes its place, in this life of the process or in the next', async () => {
    await start({ busyWaitMs: 0 });
    await deployed(1n, vol(0, 1), diskWorkload('disk1', GIB));
    const slow = gate(({ method, args }) => method === 'VolumeUpdate' && args.size === 2 * GIB);
    await stand.update(next(1n, 1, vol(1, 2), diskWorkload('disk1', GIB)));
    await slow.reached;
    // The version counts from the one that was accepted, and what that changes is known.
    await stand.update(next(1n, 2, vol(1, 2), at(2, diskWorkload('disk1', 2 * GIB))));
    await settles(['vol1 0 ok', 'disk1 2 ok']);
    await stand.update(next(1n, 3, vol(3, 3), at(2, diskWorkload('disk1', 2 * GIB))));
    // It may have begun, so it is not over before the host says so.
    expect((await changes()).filter((one) => one.startsWith('vol1 1'))).toEqual([]);
    expect((await operations()).map(({ Kind, Version, State }) => `${Kind} ${Version} ${State}`)).toEqual([
      'create 0 done',
      'update 1 superseded',
      expect.stringMatching(/^update 2 (done|superseded)$/),
      expect.stringMatching(/^update 3 (queued|running)$/),
    ]);
    await die();
    slow.cut();
    // Version and content are together, also where the process died between two of them.
    await start();
    await settles(['vol1 3 ok', 'disk1 2 ok']);
    expect((await got()).version).toBe(3);
    expect(host.volumes.get('7-1-vol1')).toBe(3 * GIB);
    expect((await changes()).filter((one) => one.startsWith('vol1 1'))).toEqual([
      'vol1 1 unchanged superseded by version 3',
    ]);
    expect([...(await eachOkOnce())].sort()).toEqual(['disk1 0 ok', 'disk1 2 ok', 'vol1 0 ok', 'vol1 3 ok']);
  });

  it('W10: what the update before has done on the host by then is what the next one is held against', async () => {
    await start({ busyWaitMs: 0 });
    await deployed(1n, diskWorkload('disk1', GIB));
    const slow = gate(({ method, args }) => method === 'DiskResize' && args.size === 3 * GIB, 'after');
    await stand.update(next(1n, 1, at(1, diskWorkload('disk1', 3 * GIB))));
    await slow.reached;
    await stand.update(next(1n, 2, at(2, diskWorkload('disk1', 2 * GIB))));
    slow.open();
    // The disk has grown, and none shrinks: it is of the version that it came to.
    await settles(['disk1 1 ok']);
    await expect
      .poll(() => changes().then((all) => all.slice(-2)))
      .toEqual(['disk1 1 ok', 'disk1 2 unchanged not safe to shrink a disk']);
    expect(host.disks.get('7-1-disk1')?.size).toBe(3 * GIB);
    const larger = next(1n, 3, at(3, diskWorkload('disk1', 4 * GIB)));
    await stand.update(larger);
    await settles(['disk1 3 ok']);
    expect(await eachOkOnce()).toEqual(['disk1 0 ok', 'disk1 1 ok', 'disk1 3 ok']);
  });

  it('W10: what takes the place of an update goes with its contract, and all that either was to have', async () => {
    await start({ busyWaitMs: 0 });
    await deployed(1n, vol(0, 1));
    const { Free } = await bus.of(planner).Capacity({});
    const slow = gate(named('VolumeUpdate'));
    await stand.update(next(1n, 1, vol(1, 2)));
    await slow.reached;
    await stand.update(next(1n, 2, vol(2, 3)));
    await stand.update(next(1n, 3, vol(3, 4)));
    expect((await changes()).at(-1)).toBe('vol1 2 unchanged superseded by version 3');
    expect((await bus.of(planner).Capacity({})).Pending.SRU).toBe(3 * GIB);
    host.cancelContract(1n);
    await expect.poll(() => operations().then((all) => all.at(-1)?.Kind)).toBe('cancel');
    slow.open();
    await expect.poll(() => isGone()).toBe(true);
    expect(host.resources).toEqual([]);
    expect((await bus.of(planner).Capacity({})).Free.SRU).toBe(Free.SRU + GIB);
  });

  it('W13: a machine that its daemon gives up goes after what is at work on it, and the chain is told', async () => {
    await start();
    await deployed(1n, ...fullDeployment(), vol(0, 1));
    await expect.poll(() => host.consumption.get(1n)?.CRU).toBe(1n);
    const slow = gate(named('VolumeUpdate'));
    await stand.update(next(1n, 1, ...fullDeployment(), vol(1, 2)));
    await slow.reached;
    const given = bus.of(provision).DecommissionCached({ id: '7-1-vm1', reason: 'so many crashes' });
    await expect.poll(() => operations().then((all) => all.some(({ Kind }) => Kind === 'decommission'))).toBe(true);
    slow.open();
    await given;
    await settles(['net1 0 ok', 'disk1 0 ok', 'vol1 1 ok']);
    expect(await changes()).toContain('vm1 0 deleted workload decommissioned by system, reason: so many crashes');
    expect(host.resources.filter((one) => one.includes('vm1'))).toEqual([]);
    await expect.poll(() => host.consumption.get(1n)).toMatchObject({ CRU: 0n, MRU: 0n, SRU: BigInt(3 * GIB) });
  });

  it('W13: one that is given up while it is started is not there after', async () => {
    await start();
    const slow = gate(named('Run'), 'after');
    await stand.deploy(tenant.contracted(host, 1n, fullDeployment()));
    await slow.reached;
    const given = bus.of(provision).DecommissionCached({ id: '7-1-vm1', reason: 'so many crashes' });
    slow.open();
    await given;
    await settles(['net1 0 ok', 'disk1 0 ok']);
    expect([...host.machines]).toEqual([]);
    await expect.poll(() => host.consumption.get(1n)?.CRU).toBe(0n);
  });
});

describe('W11: what did not happen is told', () => {
  it('W11: a refused change tells why where people and programs look, and what runs is shown as it is', async () => {
    await start();
    await deployed(1n, vol(0, 2));
    await stand.update(next(1n, 1, vol(1, 1)));
    await expect.poll(() => operations().then((all) => all.at(-1)?.State)).toBe('failed');
    const why = /cannot shrink volume to be less than provisioned space/;
    expect((await operations()).at(-1)).toMatchObject({
      Kind: 'update',
      Version: 1,
      LastError: expect.stringMatching(why),
    });
    expect(await changes()).toContainEqual(expect.stringMatching(new RegExp(`^vol1 1 unchanged ${why.source}`)));
    const told = await bus.of(planner).Wait({ twin: 7, contractID: 1n, version: 1, timeoutMs: 1_000 });
    expect(told).toMatchObject({ Settled: true, OK: false });
    expect(told.Workloads[0]?.Message).toMatch(why);
    const standsNow = await got();
    expect(standsNow.workloads.map(({ version, data }) => [version, data])).toEqual([[0, vol(0, 2).data]]);
  });

  it('W11: data that changed under its old version is refused, not passed over', async () => {
    await start();
    await deployed(1n, ...fullDeployment());
    const [net1, , vm1] = fullDeployment();
    if (net1 === undefined || vm1 === undefined) throw new Error('it has these');
    const silent = next(1n, 1, net1, diskWorkload('disk1', 5 * GIB), vm1);
    expect(await stand.refused(silent, 7, true)).toMatchObject({
      code: 'upgrade_unversioned',
      details: { workload: 'disk1', version: 0 },
    });
    expect((await got()).version).toBe(0);
    // Another way to write the same is no change.
    const same = { ...vm1, data: JSON.stringify(JSON.parse(vm1.data), undefined, 2) };
    await stand.update(next(1n, 1, net1, diskWorkload('disk1', GIB), same));
    expect(await standing()).toEqual(ALL_OK);
  });
});

describe('W12: what could not be removed is not forgotten', () => {
  it('W12: its record stays, counts, and is worked on until the last of it is gone, over a death as well', async () => {
    await start();
    await deployed(1n, ...fullDeployment());
    let tries = 0;
    host.hook = ({ method }, when) => {
      if (method !== 'DiskDelete' || when !== 'before') return;
      tries += 1;
      throw new Error('unlink: input/output error');
    };
    host.cancelContract(1n);
    await expect.poll(() => tries).toBeGreaterThan(2);
    expect(await isGone()).toBe(false);
    const { Committed, Pending } = await bus.of(planner).Capacity({});
    expect(Committed.SRU + Pending.SRU).toBeGreaterThanOrEqual(GIB);
    expect((await operations()).at(-1)).toMatchObject({ Kind: 'cancel', LastError: expect.stringMatching(/removed/) });
    await die();
    const before = tries;
    await start();
    await expect.poll(() => tries).toBeGreaterThan(before + 1);
    expect(await isGone()).toBe(false);
    host.hook = () => {};
    await expect.poll(() => isGone()).toBe(true);
    expect(host.resources).toEqual([]);
    expect((await bus.of(planner).Capacity({})).Committed.SRU).toBe(0);
    expect((await operations()).at(-1)).toMatchObject({ Kind: 'cancel', State: 'done' });
  });

  it('W12: one of which all failed keeps its error over a restart, and goes with its contract', async () => {
    await start();
    host.hook = ({ method }, when) => {
      if ((method === 'CreateNR' || method === 'VolumeDelete') && when === 'before') throw new Error('no such device');
    };
    await stand.deploy(tenant.contracted(host, 1n, [networkWorkload('net1'), machineWorkload('vm1')]));
    await settles(['net1 0 error', 'vm1 0 error']);
    await losePower();
    await start();
    expect(await standing()).toEqual(['net1 0 error', 'vm1 0 error']);
    expect((await got()).workloads[0]?.result.message).toContain('net1');
    host.cancelContract(1n, true);
    await die();
    host.hook = () => {};
    await start();
    await expect.poll(() => isGone()).toBe(true);
    await expect.poll(() => host.resources).toEqual([]);
  });
});

describe('W14: a step that ran before its node died runs again', () => {
  it.each(['CreateNR', 'SetupPrivTap', 'Mount', 'DiskFormat', 'Run'])(
    'W14: after %s, to the same results',
    async (method) => {
      await start();
      await deployed(9n, diskWorkload('disk9', GIB));
      const done = gate(named(method), 'after');
      await stand.deploy(tenant.contracted(host, 1n, fullDeployment()));
      await done.reached;
      await die();
      done.cut();
      await start();
      await settles(ALL_OK);
      const [net1, disk1, vm1] = (await got()).workloads.map(({ result }) => JSON.parse(result.data || 'null'));
      expect(net1).toBe(null);
      expect(disk1).toEqual({ volume_id: '7-1-disk1' });
      expect(vm1).toEqual({
        ...{ id: '7-1-vm1', ip: '10.1.2.5', planetary_ip: '', mycelium_ip: '' },
        // Who starts a machine that runs already is not told where its console is.
        console_url: method === 'Run' ? '' : '10.1.2.1:20005',
      });
      expect([...(await eachOkOnce())].sort()).toEqual([...ALL_OK].sort());
      await ends();
      expect(host.resources).toEqual(['disk 7-9-disk9']);
    },
  );
});

it('W16: what is paused stays so over a loss of power, whatever it is made of, and comes back when it may', async () => {
  await start();
  await deployed(1n, ...fullDeployment(), vol(0, 1));
  await deployed(2n, machineWorkload('vm2', { ip: '10.1.2.9' }));
  grace(1n, true);
  const paused = ['net1 0 paused', 'disk1 0 paused', 'vm1 0 paused', 'vol1 0 paused'];
  await settles(paused);
  await losePower();
  host.calls.length = 0;
  await start();
  // The machine of the other deployment is back: this one had its turn, too.
  await expect.poll(() => host.machines.has('7-2-vm2')).toBe(true);
  await expect.poll(() => operations().then((all) => all.every(({ State }) => State === 'done'))).toBe(true);
  expect(await standing()).toEqual(paused);
  expect([...host.machines.keys()]).toEqual(['7-2-vm2']);
  expect(await bus.of(provision).GetWorkloadStatus({ id: '7-1-vm1' })).toEqual(['paused', true]);
  grace(1n, false);
  await settles([...ALL_OK, 'vol1 0 ok']);
  expect([...host.machines.keys()].sort()).toEqual(['7-1-vm1', '7-2-vm2']);
  await eachOkOnce();
});

it('W16: a grace period that began or ended while the node was away is followed once it is back', async () => {
  await start();
  await deployed(1n, ...fullDeployment());
  await losePower();
  changeContract({ State: 'grace' });
  await start();
  await settles(['net1 0 paused', 'disk1 0 paused', 'vm1 0 paused']);
  await losePower();
  changeContract({ State: 'created' });
  await start();
  await settles(ALL_OK);
  expect([...host.machines.keys()]).toEqual(['7-1-vm1']);
  expect([...host.locked]).toEqual([]);
});

it('W16: a paused machine that its daemon gives up does not come back when the pause is over', async () => {
  await start();
  await deployed(1n, ...fullDeployment());
  grace(1n, true);
  await settles(['net1 0 paused', 'disk1 0 paused', 'vm1 0 paused']);
  await bus.of(provision).DecommissionCached({ id: '7-1-vm1', reason: 'so many crashes' });
  await settles(['net1 0 paused', 'disk1 0 paused']);
  grace(1n, false);
  await settles(['net1 0 ok', 'disk1 0 ok']);
  expect([...host.machines]).toEqual([]);
  await ends();
  expect(host.resources).toEqual([]);
});

describe('W17: names and addresses', () => {
  it('W17: a network that failed does not keep its name, also while its twin has other contracts', async () => {
    await start();
    await deployed(1n, volumeWorkload('vol1', GIB));
    host.hook = ({ method }, when) => {
      if (method === 'CreateNR' && when === 'before') throw new Error('no such device');
    };
    await stand.deploy(tenant.contracted(host, 2n, [networkWorkload('net1')]));
    await settles(['net1 0 error'], 2n);
    host.hook = () => {};
    await expect
      .poll(() =>
        stand.deploy(tenant.contracted(host, 3n, [networkWorkload('net1')])).then(
          () => true,
          () => false,
        ),
      )
      .toBe(true);
    await stand.running(3n);
    await ends(2n);
    expect(host.networks.get('7-3-net1')).toBeDefined();
    expect(await stand.refused(tenant.contracted(host, 4n, [networkWorkload('net1')]))).toMatchObject({
      message: "global workload with the same name 'net1' exists: conflict",
    });
    await ends(3n);
    await deployed(5n, networkWorkload('net1'));
  });

  it('W17: a private address is one machine’s, in whatever deployment, until that is gone', async () => {
    await start();
    await deployed(1n, networkWorkload('net1'), machineWorkload('vm1'));
    const twice = [machineWorkload('vm2', { ip: '10.1.2.6' }), machineWorkload('vm3', { ip: '10.1.2.6' })];
    for (const workloads of [[machineWorkload('vm2')], twice]) {
      expect(await stand.refused(tenant.contracted(host, 2n, workloads))).toMatchObject({ code: 'address_taken' });
    }
    const added = at(1, machineWorkload('vm2'));
    const grown = next(1n, 1, networkWorkload('net1'), machineWorkload('vm1'), added);
    expect(await stand.refused(grown, 7, true)).toMatchObject({ code: 'address_taken' });
    await deployed(2n, machineWorkload('vm2', { ip: '10.1.2.6' }));
    expect((await bus.of(provision).ListPrivateIPs({ twin: 7, network: 'net1' }))?.toSorted()).toEqual([
      '10.1.2.5',
      '10.1.2.6',
    ]);
    await ends(2n);
    await deployed(3n, machineWorkload('vm3', { ip: '10.1.2.6' }));
  });
});

it('W18: a deployment is given back as it was signed, in its order; what it came to is told after its end', async () => {
  await start();
  const unsigned = tenant.deployment(1n, fullDeployment().toReversed(), 0, '{"project":"x"}');
  const data = JSON.stringify(JSON.parse(diskWorkload('disk1', GIB).data), undefined, 3);
  const workloads = unsigned.workloads.map((one) => (one.name === 'disk1' ? { ...one, data } : one));
  const wanted = { ...unsigned, workloads, description: 'of mine', expiration: 1_893_456_000 };
  wanted.signature_requirement = { ...wanted.signature_requirement, signatures: [tenant.signature(wanted)] };
  tenant.contracted(host, 1n, []);
  host.rehash(wanted);
  await stand.deploy(wanted);
  await stand.running();
  const check = async (): Promise<void> => {
    const found = await got();
    const results = found.workloads.map(({ result }) => result);
    expect(results.every(({ created, state }) => created > 0 && state === 'ok')).toBe(true);
    expect({
      ...found,
      workloads: found.workloads.map((one, index) => ({ ...one, result: wanted.workloads[index]?.result })),
    }).toEqual(wanted);
  };
  await check();
  await die();
  const daemon = await start();
  await check();
  expect(daemon.journal.deployment('7-1')?.hash).toBe(host.contracts.get(1n)?.DeploymentHash);
  await ends();
  const kinds = (await operations()).map(({ Kind, State, Reason }) => `${Kind} ${State} ${Reason}`.trim());
  expect(kinds[0]).toBe('create done');
  expect(kinds.at(-1)).toMatch(/^cancel done contract (canceled event received|not active on chain)$/);
  await die();
  await start();
  expect(await operations()).toHaveLength(kinds.length);
});

describe('W19: the cost of a deployment', () => {
  /** Methods that go through everything that is stored. */
  const WHOLE: ReadonlySet<string> = new Set(['deployments', 'reservations', 'unfinished']);

  function watched(journal: Journal): { readonly journal: Journal; readonly calls: string[] } {
    const calls: string[] = [];
    const proxy = new Proxy(journal, {
      get: (target, property) => {
        const value: unknown = Reflect.get(target, property, target);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]): unknown => {
          const isWhole = WHOLE.has(String(property)) || (property === 'operations' && args[0] === undefined);
          if (isWhole) calls.push(String(property));
          return value.apply(target, args);
        };
      },
    });
    return { journal: proxy, calls };
  }

  it('W19: it is decided on, made, told, shown and removed without a look at any other', async () => {
    const path = join(stand.folder, 'provisiond', 'journal.sqlite');
    mkdirSync(dirname(path), { mode: 0o700 });
    host.poolBytes = 1_000 * GIB;
    fillJournal(path, 100, { memoryBytes: MIB, diskBytes: MIB, pool: 'pool1' });
    const { journal, calls } = watched(new SqliteJournal(path));
    const limits = {
      intervalMs: 600_000,
      backlogMs: 600_000,
      retryMs: 600_000,
      confirmDelayMs: 20,
      removalsPerRun: 10,
    };
    host.hook = ({ method }) => {
      if (method === 'ContractBatch' || method === 'Owned') throw new Error('not now');
    };
    await start({
      journal,
      cpuOvercommit: 1_000,
      contractLimits: { ...limits, readDeadlineMs: 2_000, movedDelayMs: 600_000 },
    });
    await deployed(9_001n, ...fullDeployment());
    calls.length = 0;
    await deployed(9_002n, machineWorkload('vm2', { ip: '10.1.2.9' }), vol(0, 1));
    await stand.update(next(9_002n, 1, machineWorkload('vm2', { ip: '10.1.2.9' }), vol(1, 2)));
    await settles(['vm2 0 ok', 'vol1 1 ok'], 9_002n);
    await bus.of(statistics).GetCounters({});
    await bus.of(planner).Capacity({});
    await changes(9_002n);
    await operations(9_002n);
    await ends(9_002n);
    expect(calls).toEqual([]);
  });

  it('W19: what is written down does not grow with restarts', async () => {
    await start();
    await deployed(1n, ...fullDeployment());
    const log = await changes();
    for (let restarts = 0; restarts < 5; restarts++) {
      await losePower();
      await start();
      await expect.poll(() => host.machines.has('7-1-vm1')).toBe(true);
      await expect.poll(() => operations().then((all) => all.every(({ State }) => State === 'done'))).toBe(true);
    }
    expect(await changes()).toEqual(log);
  });
});
