import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { ZbusError } from '../../modules/zbus/errors.ts';
import { MemoryJournal } from '../store/memory.ts';
import { SqliteJournal } from '../store/sqlite.ts';
import { acceptOn, LIMITS, states, tenant } from '../testing/engine.ts';
import { engineWorld } from '../testing/engine-world.ts';
import { fillJournal } from '../testing/fill.ts';
import type { TestHost } from '../testing/host.ts';
import { diskWorkload, machineWorkload, networkWorkload, Tenant, volumeWorkload } from '../testing/tenant.ts';
import { ENGINE_LIMITS } from './steps.ts';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const LARGE = { cpus: 100_000, memoryBytes: 100_000 * GIB };
const world = engineWorld();
const { startEngine, accept } = world;
let host: TestHost;

beforeEach(() => {
  ({ host } = world);
});

describe('W6: a node with ten thousand deployments', () => {
  it('starts at once, looks for them behind what is asked, and stops at once', async () => {
    const path = join(world.folder, 'journal.sqlite');
    fillJournal(path, 10_000);
    host.poolBytes = 100_000 * GIB;
    const journal = new SqliteJournal(path);
    let hanging = 0;
    let isClosed = true;
    // The first question of each look never is answered.
    host.hook = async ({ method }, when) => {
      if (method !== 'GetSubnet' || when !== 'before' || !isClosed) return;
      hanging += 1;
      await sleep(60_000, undefined, { ref: false });
    };
    const engine = startEngine(journal, host.daemons, { ...ENGINE_LIMITS, stopGraceMs: 20 });
    const began = performance.now();
    engine.resume();
    expect(performance.now() - began).toBeLessThan(20_000);
    await expect.poll(() => hanging).toBe(ENGINE_LIMITS.verifyingLanes[0]);
    expect(engine.numbers).toMatchObject({ lanes: 10_000, unverified: 10_000, running: { verify: hanging } });
    // Nobody asked for these looks, so none of them is an operation.
    expect(journal.pending()).toEqual([]);

    const workloads = [networkWorkload('net1'), diskWorkload('disk1', MIB)];
    const { id } = await acceptOn(host, journal, tenant.deployment(77_777n, workloads), LARGE);
    engine.submit(id);
    await expect.poll(() => states(journal, id)).toEqual({ net1: 'ok', disk1: 'ok' });
    isClosed = false;
    const [cancelled] = journal.deployments().slice(5_000);
    engine.cancel(cancelled?.id ?? '', 'contract canceled event received');
    await expect.poll(() => journal.deployment(cancelled?.id ?? '')).toBeUndefined();
    expect(engine.numbers.unverified).toBeGreaterThan(9_000);

    const stopping = performance.now();
    await engine.stop();
    expect(performance.now() - stopping).toBeLessThan(20_000);
    expect(engine.numbers.lanes).toBe(0);
    journal.close();
  }, 60_000);
});

describe('many deployments at once', () => {
  it('are never more at work than there are places, on the node and of one twin', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal, host.daemons, { ...LIMITS, lanes: [6, 4] });
    const working = new Map<string, number>();
    let most = 0;
    let mostOfOne = 0;
    host.hook = async ({ args }, when) => {
      const id = String(args.wl ?? args.name)
        .split('-')
        .slice(0, 2)
        .join('-');
      working.set(id, (working.get(id) ?? 0) + (when === 'before' ? 1 : -1));
      const now = [...working].filter(([, count]) => count > 0).map(([one]) => one);
      most = Math.max(most, now.length);
      mostOfOne = Math.max(mostOfOne, now.filter((one) => one.startsWith('7-')).length);
      if (when === 'before') await sleep(2);
    };
    const ids: string[] = [];
    const other = new Tenant(8);
    for (let contract = 1n; contract <= 20n; contract++) {
      const of = contract <= 15n ? tenant : other;
      const asked = of.deployment(contract, [networkWorkload(`n${contract}`), diskWorkload('d', MIB)]);
      ids.push((await accept(journal, asked)).id);
    }
    working.clear();
    most = 0;
    mostOfOne = 0;
    for (const id of ids) engine.submit(id);
    await engine.idle();
    expect(journal.deployments().flatMap((one) => one.workloads.map(({ state }) => state))).toEqual(
      Array.from({ length: 40 }, () => 'ok'),
    );
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(6);
    expect(mostOfOne).toBeLessThanOrEqual(4);
  });

  it('what waits for its next try, or for a network, holds nobody up', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal, host.daemons, {
      ...LIMITS,
      retry: { budgetMs: 60_000, firstDelayMs: 50, maxDelayMs: 50 },
      dependencyWaitMs: 60_000,
      lanes: [1, 1],
      steps: { storage: [1, 1], network: [1, 1], flist: [1, 1], machine: [1, 1] },
    });
    let isAway = true;
    host.hook = ({ method, args }) => {
      if (isAway && method === 'VolumeCreate' && args.name === '7-1-vol1') {
        throw new ZbusError('no_such_module', 'nothing serves storage');
      }
    };
    const failing = await accept(journal, tenant.deployment(1n, [volumeWorkload('vol1', MIB)]));
    const network = await accept(journal, tenant.deployment(2n, [networkWorkload('net1')]));
    const waiting = await accept(journal, tenant.deployment(3n, [machineWorkload('vm', {})]));
    for (const { id } of [failing, waiting, network]) engine.submit(id);
    await expect.poll(() => states(journal, waiting.id)).toEqual({ vm: 'ok' });
    expect(states(journal, failing.id)).toEqual({ vol1: 'init' });
    isAway = false;
    await engine.idle();
    expect(states(journal, failing.id)).toEqual({ vol1: 'ok' });
  });
});

describe('W5: a stop in good order', () => {
  it('lets the steps under way end, begins no other, and is no crash', async () => {
    const path = join(world.folder, 'journal.sqlite');
    const journal = new SqliteJournal(path);
    const engine = startEngine(journal, host.daemons, { ...LIMITS, stopGraceMs: 20_000 });
    const asked = tenant.deployment(1n, [networkWorkload('net1'), machineWorkload('vm', {})]);
    const { id } = await accept(journal, asked);
    let stopped: Promise<void> | undefined;
    const ended: string[] = [];
    host.hook = async ({ method }, when) => {
      if (when === 'after') ended.push(method);
      if (method !== 'Mount' || when !== 'before') return;
      stopped = engine.stop();
      await sleep(30);
    };
    engine.submit(id);
    await engine.idle();
    await stopped;
    // The image was mounted to its end, the machine not begun.
    expect(ended.at(-1)).toBe('Mount');
    expect(journal.steps(id).findLast((one) => one.step === 'image')?.state).toBe('done');
    expect(journal.steps(id).some((one) => one.step === 'machine')).toBe(false);
    journal.close();
    const again = new SqliteJournal(path);
    expect(again.pending(id)).toMatchObject([{ kind: 'create', state: 'queued', crashes: 0, attempts: 1 }]);
    host.hook = () => {};
    const second = startEngine(again);
    second.resume();
    await second.idle();
    expect(states(again, id)).toEqual({ net1: 'ok', vm: 'ok' });
    await second.stop();
    again.close();
  });

  it('waits for nothing that hangs for longer than its deadline', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal, host.daemons, { ...LIMITS, stopGraceMs: 10, stopDeadlineMs: 50 });
    // This call is not given up: its network may come to be after it.
    host.hook = async ({ method }) => {
      if (method === 'SetupPrivTap') await sleep(60_000, undefined, { ref: false });
    };
    const asked = tenant.deployment(1n, [networkWorkload('net1'), machineWorkload('vm', {})]);
    engine.submit((await accept(journal, asked)).id);
    await expect.poll(() => host.calls.some((call) => call.method === 'SetupPrivTap')).toBe(true);
    const began = performance.now();
    await engine.stop();
    expect(performance.now() - began).toBeLessThan(20_000);
  });
});
