import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { ZbusError } from '../../modules/zbus/errors.ts';
import { MemoryJournal } from '../store/memory.ts';
import { allOk, full, IMPATIENT, LIMITS, oks, states, tenant } from '../testing/engine.ts';
import { engineWorld } from '../testing/engine-world.ts';
import { TestHost } from '../testing/host.ts';
import { machineWorkload, networkWorkload, Tenant } from '../testing/tenant.ts';

const world = engineWorld();
const { startEngine, accept } = world;
let host: TestHost;

beforeEach(() => {
  ({ host } = world);
});

describe('engine', () => {
  it('runs a deployment by its dependencies and reports each workload once', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal);
    const { id } = await accept(journal, full());
    engine.submit(id);
    await engine.idle();
    expect(states(journal)).toEqual(allOk);
    expect(oks(journal)).toEqual(['disk1', 'net1', 'vm1', 'vol1']);
    expect(journal.reservations()[0]?.workloads.every((one) => one.state === 'committed')).toBe(true);
    expect(host.changes.at(-1)).toBe('Run');
    expect(host.changes.indexOf('CreateNR')).toBeLessThan(host.changes.indexOf('SetupPrivTap'));
    const workload = journal.deployment(id)?.workloads.find((one) => one.name === 'vm1');
    expect(JSON.parse(workload?.data ?? '')).toEqual({
      id: '7-1-vm1',
      ip: '10.1.2.5',
      planetary_ip: '',
      mycelium_ip: '',
      console_url: '10.1.2.1:20005',
    });
    expect(host.machines.get('7-1-vm1')).toMatchObject({
      CPU: 1,
      KernelImage: '/guest/vmlinuz',
      InitrdImage: '/guest/initrd.img',
      Entrypoint: '/sbin/init',
      Hostname: 'vm1',
      Disks: [{ Target: '/disk1' }],
      Shared: [{ ID: 'vol1', Target: '/vol1' }],
      Boot: { Type: 1 },
    });
    expect(host.disks.get('7-1-disk1')?.formatted).toBe(true);
    expect(readdirSync(join(world.folder, 'mnt', '7-1-vm1', 'etc', 'ssh'))).toEqual([]);
    const steps = journal.steps(id).filter((one) => one.state === 'done');
    expect(steps.map((one) => one.step).sort()).toEqual(
      ['disk', 'image', 'machine', 'network', 'rootfs', 'tap', 'volume'].sort(),
    );
    expect(steps.every((one) => one.trace === 'trace-1')).toBe(true);
  });

  it('removes everything, machine first, and only then forgets', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal);
    engine.submit((await accept(journal, full())).id);
    await engine.idle();
    host.calls.length = 0;
    expect(engine.cancel('7-1', 'contract canceled event received')).toBe(true);
    expect(engine.cancel('7-1', 'again')).toBe(false);
    await engine.idle();
    expect(host.resources).toEqual([]);
    expect(journal.deployments()).toEqual([]);
    expect(journal.reservations()).toEqual([]);
    expect(journal.history()).toMatchObject([{ contract: 1n, reason: 'contract canceled event received' }]);
    expect(host.changes[0]).toBe('Delete');
    expect(host.changes.indexOf('RemoveTap')).toBeLessThan(host.changes.indexOf('DeleteNR'));
  });

  it('lives through one fault of every call', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal);
    const failed = new Set<string>();
    host.hook = ({ method, args }, when) => {
      const key = `${method} ${JSON.stringify(args.name ?? '')} ${when}`;
      if (failed.has(key)) return;
      failed.add(key);
      throw new ZbusError('bus_lost', 'the broker went away');
    };
    const patient = startEngine(journal);
    host.hook = () => {};
    const { id } = await accept(journal, full());
    host.hook = ({ method, args }, when) => {
      const key = `${method} ${JSON.stringify(args.name ?? '')} ${when}`;
      if (failed.has(key)) return;
      failed.add(key);
      throw new ZbusError('bus_lost', 'the broker went away');
    };
    patient.submit(id);
    await patient.idle();
    await engine.idle();
    expect(states(journal)).toEqual(allOk);
    expect(oks(journal)).toHaveLength(4);
    patient.cancel(id, 'x');
    failed.clear();
    await patient.idle();
    expect(host.resources).toEqual([]);
    expect(journal.deployments()).toEqual([]);
  });

  it('fails a workload for good with the stage and the cause, and leaves nothing of it', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal);
    host.hook = ({ method }) => {
      const remote = { code: 'flist_not_found', details: { url: 'http://hub/a.fl', status: '404 Not Found' } };
      if (method === 'Mount') throw new ZbusError('call_failed', 'fail to download flist: 404 Not Found', { remote });
    };
    engine.submit((await accept(journal, full())).id);
    await engine.idle();
    expect(states(journal)).toEqual({ ...allOk, vm1: 'error' });
    const message = journal.deployment('7-1')?.workloads.find((one) => one.name === 'vm1')?.message;
    expect(message).toMatch(
      /^failed to mount flist: 7-1-vm1: fail to download flist: 404 Not Found \(stage flist, step 'image'/,
    );
    expect(host.resources).toEqual(['disk 7-1-disk1', 'network 7-1-net1', 'volume 7-1-vol1']);
    expect(
      journal
        .reservations()[0]
        ?.workloads.map((one) => one.name)
        .sort(),
    ).toEqual(['disk1', 'net1', 'vol1']);
    expect(oks(journal)).toEqual(['disk1', 'net1', 'vol1']);
  });

  it('gives up on a dead daemon when its budget is spent and fails what needs it', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal, host.daemons, IMPATIENT);
    let isDead = true;
    host.hook = ({ method }) => {
      if (isDead && method === 'DiskCreate') throw new ZbusError('no_such_module', 'nothing serves storage');
    };
    engine.submit((await accept(journal, full())).id);
    await engine.idle();
    isDead = false;
    const record = journal.deployment('7-1');
    const of = (name: string) => record?.workloads.find((one) => one.name === name);
    expect(of('disk1')?.message).toMatch(
      /nothing serves storage \(stage storage, step 'disk' of workload 'disk1', attempts: \d+/,
    );
    expect(of('vm1')?.message).toMatch(/^invalid disk 'disk1' state/);
    expect(host.resources).toEqual(['network 7-1-net1', 'volume 7-1-vol1']);
  });

  it('W12: keeps a tombstone until the last resource is really gone', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal);
    engine.submit((await accept(journal, full())).id);
    await engine.idle();
    let refuses = true;
    host.hook = ({ method }) => {
      if (refuses && method === 'Unmount') throw new Error('busy');
    };
    engine.cancel('7-1', 'contract canceled event received');
    await sleep(60);
    expect(journal.deployment('7-1')?.cancelled).toBe('contract canceled event received');
    // The machine is gone; its network and disk wait for the rest of it.
    expect(host.resources).toContain('network 7-1-net1');
    expect(journal.reservations()).toHaveLength(1);
    refuses = false;
    await engine.idle();
    expect(host.resources).toEqual([]);
    expect(journal.deployments()).toEqual([]);
  });

  it('waits for a network of another deployment of the twin', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal);
    const network = await accept(journal, tenant.deployment(1n, [networkWorkload('net1')]));
    const machine = await accept(journal, tenant.deployment(2n, [machineWorkload('vm2')]));
    engine.submit(machine.id);
    await sleep(20);
    expect(states(journal, '7-2')).toEqual({ vm2: 'init' });
    engine.submit(network.id);
    await engine.idle();
    expect(states(journal, '7-2')).toEqual({ vm2: 'ok' });
  });

  it('fails what waits for a network of another deployment that never comes', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal, host.daemons, IMPATIENT);
    const late = await accept(journal, tenant.deployment(3n, [networkWorkload('late')]));
    const lost = await accept(
      journal,
      tenant.deployment(4n, [machineWorkload('vm4', { network: 'late', ip: '10.1.2.9' })]),
    );
    engine.submit(lost.id);
    await engine.idle();
    expect(states(journal, lost.id)).toEqual({ vm4: 'error' });
    engine.cancel(late.id, 'x');
    await engine.idle();
  });

  it('removes one workload for another daemon through the lane', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal);
    engine.submit((await accept(journal, full())).id);
    await engine.idle();
    await engine.decommission('7-1', 'vm1', 'too many crashes', AbortSignal.timeout(20_000));
    expect(states(journal)).toEqual({ ...allOk, vm1: 'deleted' });
    expect(host.resources).toEqual(['disk 7-1-disk1', 'network 7-1-net1', 'volume 7-1-vol1']);
    await engine.decommission('7-1', 'vm1', 'again', AbortSignal.timeout(20_000));
    expect(journal.changes('7-1').filter((one) => one.state === 'deleted')).toHaveLength(1);
  });

  it('brings a vanished machine back at the start without a second ok, and never an empty disk', async () => {
    const journal = new MemoryJournal();
    const first = startEngine(journal);
    first.submit((await accept(journal, full())).id);
    await first.idle();
    await first.stop();
    host.machines.clear();
    host.mounts.clear();
    host.taps.clear();
    host.networks.clear();
    const second = startEngine(journal);
    second.resume();
    await second.idle();
    expect([...host.machines.keys()]).toEqual(['7-1-vm1']);
    expect(host.networks.size).toBe(1);
    expect(oks(journal)).toHaveLength(4);
    await second.stop();
    host.disks.clear();
    const third = startEngine(journal);
    third.resume();
    await expect.poll(() => journal.steps('7-1').at(-1)?.message).toMatch(/data of step 'disk' is missing/);
    expect(host.disks.size).toBe(0);
  });
});

describe.each([0, 15])('a cancellation while a deployment is made, by daemons %d ms slow', (slowMs) => {
  it('overtakes at any call and leaves nothing', async () => {
    let isCovered = false;
    for (let call = 1; !isCovered; call++) {
      host = new TestHost(join(world.folder, `c${call}`));
      world.host = host;
      const journal = new MemoryJournal();
      const engine = startEngine(journal);
      const { id } = await accept(journal, full());
      let calls = 0;
      host.hook = async (_, when) => {
        if (when === 'before') calls += 1;
        if (when !== 'before' || calls !== call) return;
        engine.cancel(id, 'contract canceled event received');
        // The caller has given up; what it asked for comes to be all the same.
        await sleep(slowMs);
      };
      engine.submit(id);
      await engine.idle();
      isCovered = calls < call;
      if (isCovered) break;
      await sleep(slowMs);
      expect(host.resources).toEqual([]);
      expect(journal.deployments()).toEqual([]);
      expect(journal.history()[0]?.reason).toBe('contract canceled event received');
    }
  }, 60_000);
});

it('one twin with images that never come leaves room for the others', async () => {
  const journal = new MemoryJournal();
  const engine = startEngine(journal, host.daemons, {
    ...LIMITS,
    steps: { ...LIMITS.steps, flist: [4, 3] },
  });
  host.hook = async ({ method, args }) => {
    if (method === 'Mount' && String(args.name).startsWith('7-')) await sleep(60_000, undefined, { ref: false });
  };
  for (let contract = 1n; contract <= 6n; contract++) {
    const wish = { network: `net${contract}`, ip: `10.1.2.${contract + 4n}` };
    const workloads = [networkWorkload(`net${contract}`), machineWorkload('vm', wish)];
    engine.submit((await accept(journal, tenant.deployment(contract, workloads))).id);
  }
  const other = new Tenant(8);
  await sleep(50);
  const { id } = await accept(journal, other.deployment(9n, [networkWorkload('net1'), machineWorkload('vm1')]));
  engine.submit(id);
  await expect.poll(() => states(journal, id)).toEqual({ net1: 'ok', vm1: 'ok' });
});

it('what can not be removed does not hold up the rest of its deployment', async () => {
  const journal = new MemoryJournal();
  const engine = startEngine(journal);
  const { id } = await accept(journal, full());
  engine.submit(id);
  await engine.idle();
  let refuses = true;
  host.hook = ({ method }) => {
    if (refuses && method === 'Unmount') throw new Error('busy');
  };
  const gone = engine.decommission(id, 'vm1', 'crashes', AbortSignal.timeout(30_000));
  await sleep(20);
  engine.pause(id, true);
  await expect.poll(() => states(journal)).toMatchObject({ net1: 'paused', disk1: 'paused', vol1: 'paused' });
  refuses = false;
  await gone;
});
