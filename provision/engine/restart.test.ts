import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { ZbusError } from '../../modules/zbus/errors.ts';
import type { Journal } from '../store/journal.ts';
import { MemoryJournal } from '../store/memory.ts';
import { allOk, full, LIMITS, oks, states } from '../testing/engine.ts';
import { engineWorld } from '../testing/engine-world.ts';
import { TestHost } from '../testing/host.ts';
import { Life } from '../testing/life.ts';
import type { Engine } from './engine.ts';

const GIB = 1024 ** 3;

const world = engineWorld();
const { startEngine, accept } = world;
let host: TestHost;

beforeEach(() => {
  ({ host } = world);
});

const born = (path: string, dieAtWrite: number, when: 'before' | 'after'): Life =>
  new Life({ path, dieAtWrite, when, daemons: host.daemons, startEngine });

describe.each(['before', 'after'] as const)('a crash %s any write of the journal', (when) => {
  it('ends in the same running deployment', async () => {
    let isCovered = false;
    let deaths = 0;
    for (let write = 1; !isCovered; write++) {
      host = new TestHost(join(world.folder, `up${write}`));
      world.host = host;
      const path = join(world.folder, `up${write}`, 'journal.sqlite');
      const first = born(path, write, when);
      const { id } = await accept(first.journal, full());
      first.engine.submit(id);
      await expect.poll(() => first.isDead || states(first.journal).vm1 === 'ok').toBe(true);
      await first.engine.stop();
      isCovered = !first.isDead;
      if (isCovered) break;
      deaths += 1;
      const second = born(path, Number.POSITIVE_INFINITY, when);
      second.engine.resume();
      await second.engine.idle();
      expect(states(second.journal)).toEqual(allOk);
      expect(oks(second.journal)).toEqual(['disk1', 'net1', 'vm1', 'vol1']);
      expect(host.resources).toHaveLength(7);
      second.engine.cancel(id, 'x');
      await second.engine.idle();
      expect(host.resources).toEqual([]);
      await second.engine.stop();
    }
    expect(deaths).toBeGreaterThan(15);
  }, 60_000);

  it('ends with nothing left of a cancelled deployment', async () => {
    let isCovered = false;
    let deaths = 0;
    for (let write = 1; !isCovered; write++) {
      host = new TestHost(join(world.folder, `down${write}`));
      world.host = host;
      const path = join(world.folder, `down${write}`, 'journal.sqlite');
      const ready = born(path, Number.POSITIVE_INFINITY, when);
      const { id } = await accept(ready.journal, full());
      ready.engine.submit(id);
      await ready.engine.idle();
      await ready.engine.stop();

      const first = born(path, write, when);
      try {
        first.engine.cancel(id, 'contract canceled event received');
      } catch {
        // Died at the very first write: the event comes again.
      }
      await expect.poll(() => first.isDead || first.journal.deployments().length === 0).toBe(true);
      await first.engine.stop();
      isCovered = !first.isDead;
      if (isCovered) break;
      deaths += 1;
      const second = born(path, Number.POSITIVE_INFINITY, when);
      second.engine.resume();
      second.engine.cancel(id, 'contract not active on chain');
      await second.engine.idle();
      expect(host.resources).toEqual([]);
      expect(second.journal.deployments()).toEqual([]);
      expect(second.journal.history()).toHaveLength(1);
      await second.engine.stop();
    }
    expect(deaths).toBeGreaterThan(10);
  }, 60_000);
});

describe('engine after a start', () => {
  const restarted = async (journal: Journal, limits = LIMITS): Promise<Engine> => {
    const first = startEngine(journal);
    first.submit((await accept(journal, full())).id);
    await first.idle();
    await first.stop();
    host.machines.clear();
    host.mounts.clear();
    const second = startEngine(journal, host.daemons, limits);
    return second;
  };
  const lost = (journal: Journal, step: string): Promise<void> =>
    expect
      .poll(() =>
        journal
          .steps('7-1')
          .map((one) => `${one.step} ${one.message}`)
          .join('\n'),
      )
      .toMatch(new RegExp(`^${step} the data of step '${step}' is missing`, 'm'));

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
    await engine.idle();
    expect([...host.machines.keys()]).toEqual(['7-1-vm1']);
    expect(oks(journal)).toHaveLength(4);
  });

  it('pauses a deployment whose lane waits for its next try', async () => {
    const journal = new MemoryJournal();
    const engine = await restarted(journal, { ...LIMITS, laterMs: [60_000, 60_000] });
    host.disks.clear();
    engine.resume();
    await lost(journal, 'disk');
    engine.pause('7-1', true);
    await expect.poll(() => new Set(Object.values(states(journal)))).toEqual(new Set(['paused']));
  });

  it('does not fail a machine for good because its network is not back yet', async () => {
    const journal = new MemoryJournal();
    const first = startEngine(journal);
    const { id } = await accept(journal, full());
    let stopped: Promise<void> | undefined;
    host.hook = async ({ method }) => {
      if (method !== 'Run') return;
      stopped = first.stop();
      await sleep(60);
    };
    first.submit(id);
    await first.idle();
    await stopped;
    expect(states(journal)).toEqual({ ...allOk, vm1: 'init' });
    host.networks.clear();
    host.taps.clear();
    let failures = 3;
    host.hook = ({ method }) => {
      if (method === 'CreateNR' && failures-- > 0) throw new ZbusError('call_failed', 'the uplink is not up yet');
    };
    const second = startEngine(journal);
    second.resume();
    await second.idle();
    expect(states(journal)).toEqual(allOk);
  });

  it('does not take a machine that is only being started for one that runs', async () => {
    const journal = new MemoryJournal();
    const first = startEngine(journal);
    const { id } = await accept(journal, full());
    const started = Promise.withResolvers<void>();
    const failing = Promise.withResolvers<void>();
    // The machine is there while it starts, and gone when the start fails.
    host.hook = async ({ method, args }, when) => {
      if (method !== 'Run' || when !== 'before') return;
      host.hook = () => {};
      host.machines.set((args.vm as { Name: string }).Name, {});
      started.resolve();
      await failing.promise;
      host.machines.clear();
      throw new Error('the kernel does not start');
    };
    first.submit(id);
    await started.promise;
    await first.stop();
    const second = startEngine(journal);
    second.resume();
    // The machine is there at the first look.
    await sleep(30);
    failing.resolve();
    await second.idle();
    expect(states(journal)).toEqual(allOk);
    expect([...host.machines.keys()]).toEqual(['7-1-vm1']);
  });
});
