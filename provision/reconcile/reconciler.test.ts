import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { beforeEach, describe, expect, it } from 'vitest';
import { silentLog } from '../../modules/zbus/broker.ts';
import { ZbusError } from '../../modules/zbus/errors.ts';
import type { Engine } from '../engine/engine.ts';
import type { Journal, Quarantined } from '../store/journal.ts';
import { MemoryJournal } from '../store/memory.ts';
import { SqliteJournal } from '../store/sqlite.ts';
import { allOk, full, states, tenant } from '../testing/engine.ts';
import { engineWorld } from '../testing/engine-world.ts';
import type { TestHost } from '../testing/host.ts';
import { diskWorkload } from '../testing/tenant.ts';
import type { KindLeaks } from './leaks.ts';
import { RECONCILE_LIMITS, Reconciler, type ReconcilerOptions } from './reconciler.ts';

const GIB = 1024 ** 3;
const world = engineWorld();
const { startEngine, accept } = world;
const { graceMs, startGraceMs } = RECONCILE_LIMITS;
let host: TestHost;
let clock = 0;
let journal: MemoryJournal;
let engine: Engine;

beforeEach(() => {
  ({ host } = world);
  clock = 1_000;
  journal = new MemoryJournal();
  engine = startEngine(journal);
});

function comparison(changes: Partial<ReconcilerOptions> = {}): Reconciler {
  const options = { journal, inventories: host.inventories, lanes: engine, log: silentLog, now: () => clock };
  return new Reconciler({ ...options, ...changes });
}

/** Deployments 5, 98 and 99 of twin 7 were here and are gone; 1 runs. */
async function history(): Promise<readonly string[]> {
  engine.submit((await accept(journal, full())).id);
  for (const contract of [5n, 98n, 99n]) {
    engine.submit((await accept(journal, tenant.deployment(contract, []))).id);
    engine.cancel(`7-${contract}`, 'x');
  }
  await engine.idle();
  return host.resources;
}

/** One of each kind, of deployments that are gone. */
function leak(): void {
  host.volumes.set('rootfs:7-99-gone', GIB).set('zos-cache', 1).set('someone elses', 1);
  host.mounts.set('7-99-gone', 'x');
  host.disks.set('7-5-old', { size: 2 * GIB, formatted: false });
  host.machines.set('7-99-gone', {});
  host.networks.set('7-98-net', 'abc');
  host.taps.add('hashed');
  host.tapOwners.set('hashed', '7-99-gone');
}

const kindOf = (kinds: readonly KindLeaks[], kind: string): KindLeaks | undefined =>
  kinds.find((one) => one.kind === kind);

describe('the comparison of the host with the journal', () => {
  it('W12: removes what has no owner after two looks and a grace time, in order, and counts it by kind', async () => {
    const owned = await history();
    const compare = comparison();
    expect((await compare.run()).kinds.filter((one) => one.found > 0)).toEqual([]);
    leak();
    const first = await compare.run();
    expect(kindOf(first.kinds, 'disk')).toMatchObject({ found: 1, foundBytes: 2 * GIB, removed: 0, kept: 1 });
    clock += graceMs - 1;
    expect(kindOf((await compare.run()).kinds, 'machine')).toMatchObject({ removed: 0, kept: 1 });
    clock += 1;
    const calls = host.calls.length;
    const last = await compare.run();
    expect(last).toMatchObject({ runs: 4, error: '', away: [] });
    for (const kind of ['machine', 'mount', 'tap', 'network', 'volume', 'disk']) {
      expect(kindOf(last.kinds, kind)).toMatchObject({ found: 1, removed: 1, kept: 0 });
    }
    expect(kindOf(last.kinds, 'volume')).toMatchObject({ removedBytes: GIB, unknown: 2 });
    const order = host.calls.slice(calls).filter(({ method }) => method === 'Remove');
    expect(order.map(({ args }) => args.kind)).toEqual(['machine', 'tap', 'mount', 'network', 'volume', 'disk']);
    expect(host.resources).toEqual([...owned, 'volume someone elses', 'volume zos-cache'].sort());
    expect(last.removedInAll).toEqual({ machine: 1, tap: 1, mount: 1, network: 1, volume: 1, disk: 1 });
    expect(states(journal)).toEqual(allOk);
  });

  it('at the start needs only a short grace time for what this journal once promised', async () => {
    const owned = await history();
    leak();
    const compare = comparison();
    await compare.run();
    clock += startGraceMs;
    await compare.run();
    expect(host.resources).toEqual([...owned, 'volume someone elses', 'volume zos-cache'].sort());
  });

  it('never removes in the first look, however long ago that was', async () => {
    await history();
    leak();
    clock += 10 * graceMs;
    expect(kindOf((await comparison().run()).kinds, 'disk')).toMatchObject({ removed: 0 });
  });

  it('leaves alone what its journal never knew, however often it starts', async () => {
    host.disks.set('8-5-old', { size: 1, formatted: false }).set('9999999999-5-old', { size: 1, formatted: false });
    const path = join(world.folder, 'lost', 'journal.sqlite');
    for (let start = 0; start < 3; start++) {
      const other: Journal = new SqliteJournal(path);
      const compare = comparison({ journal: other });
      for (let run = 0; run < 3; run++) {
        clock += graceMs;
        expect(kindOf((await compare.run()).kinds, 'disk')).toMatchObject({ found: 0, unknown: 2, unknownBytes: 2 });
      }
      other.close();
    }
    expect(host.disks.size).toBe(2);
  });

  it.each(['7-5', ''] as const)('leaves alone what a damaged record of deployment %j may own', async (deployment) => {
    await history();
    host.disks.set('7-5-old', { size: 1, formatted: false });
    const damaged: Quarantined = { table: 'deployments', key: '1', deployment, reason: 'x', at: 1 };
    const compare = comparison({
      journal: {
        deployment: (id) => journal.deployment(id),
        deployments: () => journal.deployments(),
        knows: (twin, contract) => journal.knows(twin, contract),
        quarantined: () => [damaged],
        vacating: () => [],
        vacated: () => {},
      },
    });
    for (let run = 0; run < 3; run++) {
      clock += graceMs;
      expect(kindOf((await compare.run()).kinds, 'disk')).toMatchObject({ found: 0, unknown: 1 });
    }
    expect(host.disks.has('7-5-old')).toBe(true);
    expect(states(journal)).toEqual(allOk);
  });

  it('W12: counts what a damaged deployment held until its contract is over and the host is seen without it', async () => {
    const path = join(world.folder, 'torn', 'journal.sqlite');
    const whole = new SqliteJournal(path);
    const first = startEngine(whole);
    first.submit((await accept(whole, full())).id);
    await first.idle();
    await first.stop();
    const held = whole.ledger.committed.memoryBytes;
    whole.close();
    const file = new DatabaseSync(path);
    file.exec("UPDATE deployments SET version = -1 WHERE id = '7-1'");
    file.close();
    const torn = new SqliteJournal(path);
    expect(torn.quarantined().map(({ deployment }) => deployment)).toEqual(['7-1']);
    const compare = comparison({ journal: torn, lanes: startEngine(torn) });
    await compare.run();
    torn.cancel('7-1', 'contract not active on chain');
    const counted = (): number => torn.ledger.committed.memoryBytes;
    expect(held).toBeGreaterThan(0);
    await compare.run();
    clock += graceMs - 1;
    await compare.run();
    expect([...host.machines.keys()]).toEqual(['7-1-vm1']);
    expect(counted()).toBe(held);
    // A daemon that does not tell may still have something.
    clock += 1;
    await compare.run();
    expect(host.resources).toEqual([]);
    expect(counted()).toBe(held);
    const silent = { ...host.inventories.vmd, Owned: () => Promise.reject(new ZbusError('deadline', 'no answer')) };
    await comparison({ journal: torn, inventories: { ...host.inventories, vmd: silent } }).run();
    expect(counted()).toBe(held);
    await compare.run();
    expect(counted()).toBe(0);
    expect(torn.vacating()).toEqual([]);
    torn.close();
  });

  it('removes what it once promised although lines of logs are damaged', async () => {
    await history();
    host.disks.set('7-5-old', { size: 1, formatted: false });
    const lines = ['steps', 'changes', 'operations', 'history'].flatMap((table) =>
      ['7-5', ''].map((deployment): Quarantined => ({ table, key: '1', deployment, reason: 'x', at: 1 })),
    );
    const compare = comparison({
      journal: {
        deployment: (id) => journal.deployment(id),
        deployments: () => journal.deployments(),
        knows: (twin, contract) => journal.knows(twin, contract),
        quarantined: () => lines,
        vacating: () => [],
        vacated: () => {},
      },
    });
    for (let run = 0; run < 3; run++) {
      clock += graceMs;
      await compare.run();
    }
    expect(host.disks.has('7-5-old')).toBe(false);
    expect(states(journal)).toEqual(allOk);
  });

  it('skips the kinds of daemons that are away, and what those may be using', async () => {
    const owned = await history();
    leak();
    const away = new Set(['vmd', 'flist']);
    const refused = (): Promise<never> => Promise.reject(new ZbusError('no_such_module', 'nobody answers'));
    const { vmd, flist, network, storage } = host.inventories;
    const compare = comparison({
      inventories: {
        network,
        storage,
        vmd: { ...vmd, Remove: vmd.Remove, Owned: (...args) => (away.has('vmd') ? refused() : vmd.Owned(...args)) },
        flist: {
          ...flist,
          Remove: flist.Remove,
          Owned: (...args) => (away.has('flist') ? refused() : flist.Owned(...args)),
        },
      },
    });
    const before = host.resources;
    for (let run = 0; run < 3; run++) {
      const leaks = await compare.run();
      expect(leaks).toMatchObject({ away: ['vmd', 'flist'], error: '' });
      expect(kindOf(leaks.kinds, 'machine')).toBeUndefined();
      // Nothing is missing only because nobody told of it.
      expect(leaks.repairsInAll).toEqual({});
      clock += graceMs;
    }
    expect(host.resources).toEqual(before);
    away.clear();
    for (let run = 0; run < 2; run++) {
      expect(await compare.run()).toMatchObject({ away: [] });
      clock += graceMs;
    }
    expect(host.resources).toEqual([...owned, 'volume someone elses', 'volume zos-cache'].sort());
  });

  it('never removes what a deployment that was accepted between the look and the removal owns', async () => {
    await history();
    const compare = comparison();
    host.disks.set('7-5-disk1', { size: GIB, formatted: false });
    await compare.run();
    clock += graceMs;
    let isAccepted = false;
    host.hook = async ({ method }, when) => {
      if (method !== 'Owned' || when !== 'after' || isAccepted) return;
      isAccepted = true;
      await accept(journal, tenant.deployment(5n, [diskWorkload('disk1', GIB)]));
    };
    await compare.run();
    expect(isAccepted).toBe(true);
    expect(host.disks.has('7-5-disk1')).toBe(true);
  });

  it('leaves a deployment to its lane while that is at work, and a lane waits for a removal', async () => {
    await history();
    const compare = comparison();
    host.disks.set('7-5-old', { size: GIB, formatted: false });
    await compare.run();
    clock += graceMs;
    const release = Promise.withResolvers<void>();
    const held = engine.aside('7-5', () => release.promise);
    expect(kindOf((await compare.run()).kinds, 'disk')).toMatchObject({ found: 1, removed: 0, kept: 1 });
    release.resolve();
    expect(await held).toBe(true);
    // While the removal is under way the deployment comes again: its own disk is made after, not before.
    let isTold = false;
    host.hook = async ({ method, args }, when) => {
      if (method !== 'Remove' || args.kind !== 'disk' || when !== 'before' || isTold) return;
      isTold = true;
      engine.submit((await accept(journal, tenant.deployment(5n, [diskWorkload('old', GIB)]))).id);
    };
    expect(kindOf((await compare.run()).kinds, 'disk')).toMatchObject({ removed: 1 });
    await engine.idle();
    expect(isTold).toBe(true);
    expect(states(journal, '7-5')).toEqual({ old: 'ok' });
    expect(host.disks.get('7-5-old')).toMatchObject({ size: GIB });
  });

  it('keeps what a machine uses that could not be removed, and counts the failure', async () => {
    const owned = await history();
    leak();
    const compare = comparison();
    await compare.run();
    clock += graceMs;
    host.hook = ({ method, args }) => {
      if (method === 'Remove' && args.kind === 'machine') throw new Error('it does not end');
    };
    const leaks = await compare.run();
    expect(leaks.failedInAll).toEqual({ machine: 1 });
    expect(host.resources).toContain('volume rootfs:7-99-gone');
    expect(host.resources).toContain('mount 7-99-gone');
    expect(host.resources).not.toContain('disk 7-5-old');
    host.hook = () => {};
    await compare.run();
    expect(host.resources).toEqual([...owned, 'volume someone elses', 'volume zos-cache'].sort());
  });

  it('removes no more in one run than the cap, and says so', async () => {
    await history();
    for (let n = 0; n < 10; n++) host.disks.set(`7-5-d${n}`, { size: 1, formatted: false });
    const alarms: object[] = [];
    const log = { ...silentLog, error: (said: object) => alarms.push(said) } as typeof silentLog;
    const compare = comparison({ log, limits: { ...RECONCILE_LIMITS, removalsPerRun: 4 } });
    const left: number[] = [];
    await compare.run();
    clock += graceMs;
    for (let run = 0; run < 3; run++) {
      await compare.run();
      left.push([...host.disks.keys()].filter((name) => name.startsWith('7-5-')).length);
    }
    expect(left).toEqual([6, 2, 0]);
    expect(alarms).toEqual([
      { removed: 4, left: 6, removalsPerRun: 4 },
      { removed: 4, left: 2, removalsPerRun: 4 },
    ]);
  });

  it('goes on with repairs and with other leaks where removals hang', async () => {
    await history();
    for (let n = 0; n < 6; n++) host.disks.set(`7-5-d${n}`, { size: 1, formatted: false });
    const compare = comparison({ limits: { ...RECONCILE_LIMITS, intervalMs: 60_000 } });
    await compare.run();
    clock += graceMs;
    host.machines.delete('7-1-vm1');
    const tried: unknown[] = [];
    host.hook = ({ method, args }, when) => {
      if (method !== 'Remove' || when !== 'before' || !/-d[0-2]$/.test(String(args.name))) return;
      tried.push(args.name);
      clock += 30_000;
      throw new Error('no answer within 30000 ms');
    };
    await compare.run();
    expect(tried).toHaveLength(2);
    await compare.run();
    await compare.run();
    await engine.idle();
    expect(host.machines.has('7-1-vm1')).toBe(true);
    expect([...host.disks.keys()].filter((name) => name.startsWith('7-5-'))).toEqual(['7-5-d0', '7-5-d1', '7-5-d2']);
  });

  it('does not care what the time of day does', async () => {
    await history();
    host.disks.set('7-5-old', { size: GIB, formatted: false });
    const compare = comparison();
    const { now } = Date;
    try {
      for (const jump of [0, 10 * graceMs, -20 * graceMs]) {
        Date.now = () => now() + jump;
        expect(kindOf((await compare.run()).kinds, 'disk')).toMatchObject({ found: 1, removed: 0 });
        clock += 1_000;
      }
    } finally {
      Date.now = now;
    }
    clock += graceMs;
    expect(kindOf((await compare.run()).kinds, 'disk')).toMatchObject({ removed: 1 });
  });

  it('has what vanished made again, once it was missed twice', async () => {
    await history();
    const compare = comparison();
    await compare.run();
    host.machines.delete('7-1-vm1');
    expect((await compare.run()).repairsInAll).toEqual({});
    const { repairsInAll, kinds } = await compare.run();
    expect(repairsInAll).toEqual({ machine: 1 });
    expect(kindOf(kinds, 'machine')).toMatchObject({ missing: 1 });
    await engine.idle();
    expect(host.machines.has('7-1-vm1')).toBe(true);
    expect((await compare.run()).kinds).toEqual([]);
  });

  it('is one run for all who ask at once', async () => {
    await history();
    const compare = comparison();
    const [one, other] = await Promise.all([compare.run(), compare.run()]);
    expect(one).toBe(other);
    expect(one.runs).toBe(1);
  });
});
