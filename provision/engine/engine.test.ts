import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { silentLog } from '../../modules/zbus/broker.ts';
import { ZbusError } from '../../modules/zbus/errors.ts';
import { deploymentHash } from '../../schemas/challenge.ts';
import { type Deployment, formatDeployment } from '../../schemas/deployment.ts';
import { NodeReader } from '../node.ts';
import { planDeployment } from '../plan/plan.ts';
import { type DeploymentRecord, deploymentId, type Journal } from '../store/journal.ts';
import { MemoryJournal } from '../store/memory.ts';
import { SqliteJournal } from '../store/sqlite.ts';
import { TestHost } from '../testing/host.ts';
import { diskWorkload, machineWorkload, networkWorkload, Tenant, volumeWorkload } from '../testing/tenant.ts';
import { nodeFeatures, requestOf, workloadDrivers } from '../workloads/index.ts';
import type { Daemons } from '../workloads/workload.ts';
import { ContractWatch } from './contracts.ts';
import { Engine } from './engine.ts';
import { removeOrphans } from './orphans.ts';
import { ENGINE_LIMITS, type EngineLimits } from './steps.ts';

const GIB = 1024 ** 3;
const LIMITS: EngineLimits = {
  ...ENGINE_LIMITS,
  retry: { budgetMs: 300, firstDelayMs: 1, maxDelayMs: 5 },
  removalDelayMs: [2, 10],
  dependencyWaitMs: 2_000,
};

let folder: string;
let host: TestHost;
const tenant = new Tenant(7);
const engines: Engine[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'engine-'));
  host = new TestHost(folder);
});

afterEach(async () => {
  await Promise.all(engines.splice(0).map((engine) => engine.stop()));
  rmSync(folder, { recursive: true, force: true });
});

function startEngine(journal: Journal, daemons: Daemons = host.daemons, limits = LIMITS): Engine {
  const engine = new Engine({
    journal,
    daemons,
    guest: { kernel: '/guest/vmlinuz', initrd: '/guest/initrd.img' },
    log: silentLog,
    limits,
  });
  engines.push(engine);
  return engine;
}

/** Plans and records a deployment as the acceptance does, without its checks of the chain. */
async function accept(journal: Journal, deployment: Deployment): Promise<DeploymentRecord> {
  const node = new NodeReader({
    daemons: host.daemons,
    journal,
    cpuOvercommit: 4,
    host: { cpus: 8, memoryBytes: 64 * GIB },
  });
  const reading = await node.pools({ deadlineMs: 1_000, signal: new AbortController().signal });
  const plan = planDeployment(requestOf(deployment), node.snapshot(reading), {
    types: new Set(workloadDrivers.keys()),
    features: new Set(nodeFeatures),
    wireguardPorts: new Set(),
    contractPublicIps: 0,
  });
  if (!plan.fits) throw new Error(JSON.stringify(plan.refusals));
  return journal.accept({
    twin: deployment.twin_id,
    contract: deployment.contract_id,
    version: 0,
    document: formatDeployment(deployment),
    hash: deploymentHash(deployment),
    trace: 'trace-1',
    workloads: plan.steps.map((step) => ({ ...step, version: 0 })),
    reservation: plan.reservation,
  });
}

const full = (contract = 1n): Deployment =>
  tenant.deployment(contract, [
    machineWorkload('vm1', { mounts: ['disk1', 'vol1'] }),
    networkWorkload('net1'),
    diskWorkload('disk1', GIB),
    volumeWorkload('vol1', GIB),
  ]);

const states = (journal: Journal, id = '7-1'): Record<string, string> =>
  Object.fromEntries(journal.deployment(id)?.workloads.map((one) => [one.name, one.state]) ?? []);
const allOk = { vm1: 'ok', net1: 'ok', disk1: 'ok', vol1: 'ok' };
const oks = (journal: Journal, id = '7-1'): string[] =>
  journal
    .changes(id)
    .filter((one) => one.state === 'ok')
    .map((one) => one.workload)
    .sort();

async function finished(engine: Engine): Promise<void> {
  await engine.idle();
}

describe('engine', () => {
  it('runs a deployment by its dependencies and reports each workload once', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal);
    const { id } = await accept(journal, full());
    engine.submit(id);
    await finished(engine);
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
    expect(readdirSync(join(folder, 'mnt', '7-1-vm1', 'etc', 'ssh'))).toEqual([]);
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
    await finished(engine);
    host.calls.length = 0;
    expect(engine.cancel('7-1', 'contract canceled event received')).toBe(true);
    expect(engine.cancel('7-1', 'again')).toBe(false);
    await finished(engine);
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
    const slow = { ...LIMITS, retry: { budgetMs: 5_000, firstDelayMs: 1, maxDelayMs: 2 } };
    const patient = startEngine(journal, host.daemons, slow);
    host.hook = () => {};
    const { id } = await accept(journal, full());
    host.hook = ({ method, args }, when) => {
      const key = `${method} ${JSON.stringify(args.name ?? '')} ${when}`;
      if (failed.has(key)) return;
      failed.add(key);
      throw new ZbusError('bus_lost', 'the broker went away');
    };
    patient.submit(id);
    await finished(patient);
    await finished(engine);
    expect(states(journal)).toEqual(allOk);
    expect(oks(journal)).toHaveLength(4);
    patient.cancel(id, 'x');
    failed.clear();
    await finished(patient);
    expect(host.resources).toEqual([]);
    expect(journal.deployments()).toEqual([]);
  });

  it('fails a workload for good with the stage and the cause, and leaves nothing of it', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal);
    host.hook = ({ method }) => {
      if (method === 'Mount') throw new ZbusError('call_failed', 'fail to download flist: 404 Not Found');
    };
    engine.submit((await accept(journal, full())).id);
    await finished(engine);
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
    const engine = startEngine(journal);
    let isDead = true;
    host.hook = ({ method }) => {
      if (isDead && method === 'DiskCreate') throw new ZbusError('no_such_module', 'nothing serves storage');
    };
    engine.submit((await accept(journal, full())).id);
    await finished(engine);
    isDead = false;
    const record = journal.deployment('7-1');
    const of = (name: string) => record?.workloads.find((one) => one.name === name);
    expect(of('disk1')?.message).toMatch(
      /nothing serves storage \(stage storage, step 'disk' of workload 'disk1', \d+ attempts/,
    );
    expect(of('vm1')?.message).toMatch(/^invalid disk 'disk1' state/);
    expect(host.resources).toEqual(['network 7-1-net1', 'volume 7-1-vol1']);
  });

  it('keeps a tombstone until the last resource is really gone', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal);
    engine.submit((await accept(journal, full())).id);
    await finished(engine);
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
    await finished(engine);
    expect(host.resources).toEqual([]);
    expect(journal.deployments()).toEqual([]);
  });

  it('waits for a network of another deployment of the twin, and says so when it never comes', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal, host.daemons, { ...LIMITS, dependencyWaitMs: 100 });
    const network = await accept(journal, tenant.deployment(1n, [networkWorkload('net1')]));
    const machine = await accept(journal, tenant.deployment(2n, [machineWorkload('vm2')]));
    engine.submit(machine.id);
    await sleep(20);
    expect(states(journal, '7-2')).toEqual({ vm2: 'init' });
    engine.submit(network.id);
    await finished(engine);
    expect(states(journal, '7-2')).toEqual({ vm2: 'ok' });

    const late = await accept(journal, tenant.deployment(3n, [networkWorkload('late')]));
    const lost = await accept(
      journal,
      tenant.deployment(4n, [machineWorkload('vm4', { network: 'late', ip: '10.1.2.9' })]),
    );
    engine.submit(lost.id);
    await finished(engine);
    expect(states(journal, lost.id)).toEqual({ vm4: 'error' });
    engine.cancel(late.id, 'x');
    await finished(engine);
  });

  it('removes one workload for another daemon through the lane', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal);
    engine.submit((await accept(journal, full())).id);
    await finished(engine);
    await engine.decommission('7-1', 'vm1', 'too many crashes', AbortSignal.timeout(2_000));
    expect(states(journal)).toEqual({ ...allOk, vm1: 'deleted' });
    expect(host.resources).toEqual(['disk 7-1-disk1', 'network 7-1-net1', 'volume 7-1-vol1']);
    await engine.decommission('7-1', 'vm1', 'again', AbortSignal.timeout(2_000));
    expect(journal.changes('7-1').filter((one) => one.state === 'deleted')).toHaveLength(1);
  });

  it('brings a vanished machine back at the start without a second ok, and never an empty disk', async () => {
    const journal = new MemoryJournal();
    const first = startEngine(journal);
    first.submit((await accept(journal, full())).id);
    await finished(first);
    await first.stop();
    host.machines.clear();
    host.mounts.clear();
    host.taps.clear();
    host.networks.clear();
    const second = startEngine(journal);
    second.resume();
    await finished(second);
    expect([...host.machines.keys()]).toEqual(['7-1-vm1']);
    expect(host.networks.size).toBe(1);
    expect(oks(journal)).toHaveLength(4);
    await second.stop();
    host.disks.clear();
    const third = startEngine(journal);
    third.resume();
    await vi.waitFor(() => expect(journal.steps('7-1').at(-1)?.message).toMatch(/data of step 'disk' is missing/));
    expect(host.disks.size).toBe(0);
  });
});

/** One life of provisiond: from `die` on nothing it does reaches the journal or the host. */
class Life {
  readonly journal: Journal;
  readonly engine: Engine;
  #isDead = false;
  #writes = 0;

  constructor(path: string, dieAtWrite: number, when: 'before' | 'after') {
    const journal = new SqliteJournal(path);
    this.journal = new Proxy(journal as Journal, {
      get: (target, property) => {
        const value: unknown = Reflect.get(target, property, target);
        if (typeof value !== 'function') return value;
        if (!['recordStep', 'finish', 'release', 'tombstone', 'cancel'].includes(String(property))) {
          return value.bind(target);
        }
        return (...args: unknown[]): unknown => {
          if (this.#isDead) throw new Error('dead');
          this.#writes += 1;
          const isLast = this.#writes === dieAtWrite;
          if (isLast && when === 'before') this.die();
          const result: unknown = value.apply(target, args);
          if (isLast && when === 'after') this.die();
          return result;
        };
      },
    });
    this.engine = startEngine(this.journal, this.#mortal(host.daemons));
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  die(): never {
    this.#isDead = true;
    throw new Error('dead');
  }

  #mortal(daemons: Daemons): Daemons {
    const wrap = <T extends object>(client: T): T =>
      new Proxy(client, {
        get: (target, method) => (args: unknown, options: unknown) => {
          if (this.#isDead) return Promise.reject(new Error('dead'));
          const act = Reflect.get(target, method) as (a: unknown, o: unknown) => unknown;
          return act(args, options);
        },
      });
    return {
      storage: wrap(daemons.storage),
      network: wrap(daemons.network),
      flist: wrap(daemons.flist),
      vmd: wrap(daemons.vmd),
    };
  }
}

describe.each(['before', 'after'] as const)('a crash %s any write of the journal', (when) => {
  it('ends in the same running deployment', async () => {
    let isCovered = false;
    let deaths = 0;
    for (let write = 1; !isCovered; write++) {
      host = new TestHost(join(folder, `up${write}`));
      const path = join(folder, `up${write}`, 'journal.sqlite');
      const first = new Life(path, write, when);
      const { id } = await accept(first.journal, full());
      first.engine.submit(id);
      await vi.waitFor(() => {
        if (!first.isDead && states(first.journal).vm1 !== 'ok') throw new Error('not yet');
      });
      await first.engine.stop();
      isCovered = !first.isDead;
      if (isCovered) break;
      deaths += 1;
      const second = new Life(path, Number.POSITIVE_INFINITY, when);
      second.engine.resume();
      await finished(second.engine);
      expect(states(second.journal)).toEqual(allOk);
      expect(oks(second.journal)).toEqual(['disk1', 'net1', 'vm1', 'vol1']);
      expect(host.resources).toHaveLength(7);
      second.engine.cancel(id, 'x');
      await finished(second.engine);
      expect(host.resources).toEqual([]);
      await second.engine.stop();
    }
    expect(deaths).toBeGreaterThan(15);
  }, 20_000);

  it('ends with nothing left of a cancelled deployment', async () => {
    let isCovered = false;
    let deaths = 0;
    for (let write = 1; !isCovered; write++) {
      host = new TestHost(join(folder, `down${write}`));
      const path = join(folder, `down${write}`, 'journal.sqlite');
      const ready = new Life(path, Number.POSITIVE_INFINITY, when);
      const { id } = await accept(ready.journal, full());
      ready.engine.submit(id);
      await finished(ready.engine);
      await ready.engine.stop();

      const first = new Life(path, write, when);
      try {
        first.engine.cancel(id, 'contract canceled event received');
      } catch {
        // Died at the very first write: the event comes again.
      }
      await vi.waitFor(() => {
        if (!first.isDead && first.journal.deployments().length > 0) throw new Error('not yet');
      });
      await first.engine.stop();
      isCovered = !first.isDead;
      if (isCovered) break;
      deaths += 1;
      const second = new Life(path, Number.POSITIVE_INFINITY, when);
      second.engine.resume();
      second.engine.cancel(id, 'contract not active on chain');
      await finished(second.engine);
      expect(host.resources).toEqual([]);
      expect(second.journal.deployments()).toEqual([]);
      expect(second.journal.history()).toHaveLength(1);
      await second.engine.stop();
    }
    expect(deaths).toBeGreaterThan(10);
  }, 20_000);
});

describe.each([0, 15])('a cancellation while a deployment is made, by daemons %d ms slow', (slowMs) => {
  it('overtakes at any call and leaves nothing', async () => {
    let isCovered = false;
    for (let call = 1; !isCovered; call++) {
      host = new TestHost(join(folder, `c${call}`));
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
      await finished(engine);
      isCovered = calls < call;
      if (isCovered) break;
      await sleep(slowMs);
      expect(host.resources).toEqual([]);
      expect(journal.deployments()).toEqual([]);
      expect(journal.history()[0]?.reason).toBe('contract canceled event received');
    }
  }, 20_000);
});

describe('engine after a start', () => {
  const restarted = async (journal: Journal, limits = LIMITS): Promise<Engine> => {
    const first = startEngine(journal);
    first.submit((await accept(journal, full())).id);
    await finished(first);
    await first.stop();
    host.machines.clear();
    host.mounts.clear();
    const second = startEngine(journal, host.daemons, limits);
    return second;
  };
  const lost = (journal: Journal, step: string) =>
    vi.waitFor(() => {
      const messages = journal.steps('7-1').map((one) => `${one.step} ${one.message}`);
      expect(messages.some((one) => one.startsWith(`${step} the data of step '${step}' is missing`))).toBe(true);
    });

  it('never gives a machine an empty root in the place of a lost one, and goes on when it is back', async () => {
    const journal = new MemoryJournal();
    const engine = await restarted(journal);
    host.volumes.delete('rootfs:7-1-vm1');
    engine.resume();
    await lost(journal, 'rootfs');
    expect(host.volumes.has('rootfs:7-1-vm1')).toBe(false);
    expect(host.machines.size).toBe(0);
    expect(states(journal)).toEqual(allOk);
    host.volumes.set('rootfs:7-1-vm1', GIB / 2);
    await finished(engine);
    expect([...host.machines.keys()]).toEqual(['7-1-vm1']);
    expect(oks(journal)).toHaveLength(4);
  });

  it('pauses a deployment whose lane waits for its next try', async () => {
    const journal = new MemoryJournal();
    const engine = await restarted(journal, { ...LIMITS, removalDelayMs: [60_000, 60_000] });
    host.disks.clear();
    engine.resume();
    await lost(journal, 'disk');
    engine.pause('7-1', true);
    await vi.waitFor(() => expect(new Set(Object.values(states(journal)))).toEqual(new Set(['paused'])));
  });

  it('does not fail a machine for good because its network is not back yet', async () => {
    const journal = new MemoryJournal();
    const first = startEngine(journal);
    const { id } = await accept(journal, full());
    host.hook = async ({ method }) => {
      if (method !== 'Run') return;
      void first.stop();
      await sleep(1);
    };
    first.submit(id);
    await finished(first);
    expect(states(journal)).toEqual({ ...allOk, vm1: 'init' });
    host.networks.clear();
    host.taps.clear();
    let failures = 3;
    host.hook = ({ method }) => {
      if (method === 'CreateNR' && failures-- > 0) throw new ZbusError('call_failed', 'the uplink is not up yet');
    };
    const second = startEngine(journal);
    second.resume();
    await finished(second);
    expect(states(journal)).toEqual(allOk);
  });

  it('does not take a machine that is only being started for one that runs', async () => {
    const journal = new MemoryJournal();
    const first = startEngine(journal);
    const { id } = await accept(journal, full());
    const started = Promise.withResolvers<void>();
    // The machine is there while it starts, and gone when the start fails.
    host.hook = async ({ method, args }, when) => {
      if (method !== 'Run' || when !== 'before') return;
      host.hook = () => {};
      host.machines.set((args.vm as { Name: string }).Name, {});
      started.resolve();
      await sleep(50);
      host.machines.clear();
      throw new Error('the kernel does not start');
    };
    first.submit(id);
    await started.promise;
    await first.stop();
    const second = startEngine(journal);
    second.resume();
    await finished(second);
    expect(states(journal)).toEqual(allOk);
    expect([...host.machines.keys()]).toEqual(['7-1-vm1']);
  });
});

it('one twin with images that never come leaves room for the others', async () => {
  const journal = new MemoryJournal();
  const engine = startEngine(journal, host.daemons, { ...LIMITS, concurrentSteps: 4, concurrentStepsPerTwin: 3 });
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
  await vi.waitFor(() => expect(states(journal, id)).toEqual({ net1: 'ok', vm1: 'ok' }));
});

it('what can not be removed does not hold up the rest of its deployment', async () => {
  const journal = new MemoryJournal();
  const engine = startEngine(journal);
  const { id } = await accept(journal, full());
  engine.submit(id);
  await finished(engine);
  let refuses = true;
  host.hook = ({ method }) => {
    if (refuses && method === 'Unmount') throw new Error('busy');
  };
  const gone = engine.decommission(id, 'vm1', 'crashes', AbortSignal.timeout(5_000));
  await sleep(20);
  engine.pause(id, true);
  await vi.waitFor(() => expect(states(journal)).toMatchObject({ net1: 'paused', disk1: 'paused', vol1: 'paused' }));
  refuses = false;
  await gone;
});

describe('orphans', () => {
  const signal = new AbortController().signal;

  it('are removed and counted, what is owned or not ours stays', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal);
    engine.submit((await accept(journal, full())).id);
    for (const contract of [5n, 98n, 99n]) {
      engine.submit((await accept(journal, tenant.deployment(contract, []))).id);
      engine.cancel(`7-${contract}`, 'x');
    }
    await finished(engine);
    const owned = host.resources;
    host.volumes.set('rootfs:7-99-gone', 1).set('zos-cache', 1).set('someone elses', 1);
    host.mounts.set('7-99-gone', 'x');
    host.disks.set('7-5-old', { size: 1, formatted: false });
    host.machines.set('7-99-gone', {});
    host.networks.set('7-98-net', 'abc');
    const count = await removeOrphans(journal, host.daemons, silentLog, signal);
    expect(count).toMatchObject({ removed: 4 });
    expect(host.resources).toEqual([...owned, 'volume someone elses', 'volume zos-cache'].sort());
  });

  it('are left alone by every journal that never knew them, however often it starts', async () => {
    host.disks.set('8-5-old', { size: 1, formatted: false });
    const path = join(folder, 'lost', 'journal.sqlite');
    for (let start = 0; start < 3; start++) {
      const journal = new SqliteJournal(path);
      const count = await removeOrphans(journal, host.daemons, silentLog, signal);
      expect(count).toEqual({ found: [{ kind: 'disk', name: '8-5-old' }], removed: 0 });
      journal.close();
    }
    expect(host.disks.size).toBe(1);
  });
});

describe('contract watch', () => {
  const signal = new AbortController().signal;
  const limits = { intervalMs: 60_000, retryMs: 5, confirmDelayMs: 5, removalsPerRun: 2, readDeadlineMs: 1_000 };

  let missed = 0;

  async function running(contracts: readonly bigint[], until = signal) {
    missed = 0;
    const journal = new MemoryJournal();
    const engine = startEngine(journal);
    for (const contract of contracts) {
      const deployment = tenant.contracted(host, contract, [networkWorkload(`net${contract}`)]);
      engine.submit((await accept(journal, deployment)).id);
    }
    await finished(engine);
    const watch = new ContractWatch({
      journal,
      engine,
      chain: host.chainClient,
      events: () => host.events.read(until),
      onMissed: () => {
        missed += 1;
      },
      log: silentLog,
      limits,
    });
    return { journal, engine, watch };
  }

  it('removes what the chain dropped, after two reads of each', async () => {
    const { journal, engine, watch } = await running([1n, 2n]);
    host.contracts.delete(1n);
    host.calls.length = 0;
    expect(await watch.compare(signal)).toBe(1);
    await finished(engine);
    expect(host.calls.filter((call) => call.method === 'Contract' && call.args.id === 1n)).toHaveLength(2);
    expect(journal.deployments().map((one) => one.id)).toEqual(['7-2']);
    expect(journal.history()[0]?.reason).toBe('contract not active on chain');
  });

  it('pauses a deployment for the grace period, also after a start, and lets it go on once', async () => {
    const { journal, engine, watch } = await running([1n]);
    const deployment = tenant.contracted(host, 2n, [machineWorkload('vm', { network: 'net1' })]);
    engine.submit((await accept(journal, deployment)).id);
    await finished(engine);
    const grace = (contract: bigint, State: string): void => {
      const facts = host.contracts.get(contract);
      if (facts !== undefined) host.contracts.set(contract, { ...facts, State });
    };
    grace(2n, 'grace');
    await watch.compare(signal);
    await finished(engine);
    expect(states(journal, '7-2')).toEqual({ vm: 'paused' });
    expect(states(journal, '7-1')).toEqual({ net1: 'ok' });
    expect([...host.locked]).toEqual(['7-2-vm']);
    expect(journal.changes('7-2').map((one) => [one.state, one.message])).toEqual([
      ['init', ''],
      ['ok', ''],
      ['paused', 'paused'],
    ]);
    await engine.stop();
    host.machines.delete('7-2-vm');
    const second = startEngine(journal);
    second.resume();
    await finished(second);
    expect(host.machines.size).toBe(0);
    second.pause('7-2', false);
    await finished(second);
    expect(states(journal, '7-2')).toEqual({ vm: 'ok' });
    expect([...host.machines.keys()]).toEqual(['7-2-vm']);
    expect(host.locked.size).toBe(0);
    expect(oks(journal, '7-2')).toEqual(['vm']);
    second.pause('7-2', true);
    await finished(second);
    second.cancel('7-2', 'x');
    await finished(second);
    expect(journal.deployment('7-2')).toBeUndefined();
  });

  it.each([
    ['an event that was lost', false],
    ['a restart of what reads the chain', true],
  ])('compares at once after %s', async (_, restarts) => {
    const end = new AbortController();
    const { journal, engine, watch } = await running([1n, 2n], end.signal);
    const run = watch.run(end.signal);
    host.tell('alive');
    await vi.waitFor(() => expect(host.calls.filter((call) => call.method === 'ActiveContracts')).toHaveLength(2));
    host.tell('alive');
    await sleep(20);
    expect(host.calls.filter((call) => call.method === 'ActiveContracts')).toHaveLength(2);
    if (restarts) {
      host.generation += 1;
      host.sequence = 0;
      host.contracts.delete(1n);
    } else host.cancelContract(1n, true);
    host.tell('alive');
    await vi.waitFor(() => expect(journal.deployments().map((one) => one.id)).toEqual(['7-2']));
    await finished(engine);
    expect(missed).toBe(2);
    end.abort();
    await run;
  });

  it('hears of a contract that ended before its deployment was accepted', async () => {
    const end = new AbortController();
    const { journal, engine, watch } = await running([2n], end.signal);
    const run = watch.run(end.signal);
    const deployment = tenant.contracted(host, 1n, [networkWorkload('net1')]);
    // Told while nobody holds it.
    host.cancelContract(1n);
    await sleep(20);
    const record = await accept(journal, deployment);
    engine.submit(record.id);
    await watch.accepted(record, end.signal);
    await vi.waitFor(() => expect(journal.deployments().map((one) => one.id)).toEqual(['7-2']));
    end.abort();
    await run;
  });

  it('does not empty the node on one wrong answer', async () => {
    const { journal, watch } = await running([1n, 2n, 3n]);
    const chainClient = host.chainClient;
    const forgetful = new ContractWatch({
      ...Reflect.construct(Object, []),
      journal,
      engine: startEngine(journal),
      chain: { ...chainClient, ActiveContracts: async () => [], Contract: chainClient.Contract },
      events: () => host.events.read(signal),
      log: silentLog,
      limits,
    });
    expect(await forgetful.compare(signal)).toBe(0);
    expect(await watch.compare(signal)).toBe(0);
    host.contracts.clear();
    expect(await watch.compare(signal)).toBe(2);
    expect(journal.deployments().filter((one) => one.cancelled === undefined)).toHaveLength(1);
  });
});

it('every deployment has one id for twin and contract', () => {
  expect(deploymentId(7, 2n ** 64n - 1n)).toBe('7-18446744073709551615');
});
