import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { ZbusError } from '../../modules/zbus/errors.ts';
import type { Journal } from '../store/journal.ts';
import { MemoryJournal } from '../store/memory.ts';
import { allOk, full, LIMITS, oks, states, tenant } from '../testing/engine.ts';
import { engineWorld } from '../testing/engine-world.ts';
import type { TestHost } from '../testing/host.ts';
import { diskWorkload, machineWorkload, networkWorkload } from '../testing/tenant.ts';

const GIB = 1024 ** 3;
const world = engineWorld();
const { startEngine, accept } = world;
let host: TestHost;
let journal: Journal;

beforeEach(() => {
  ({ host } = world);
  journal = new MemoryJournal();
});

/** What a kernel knows is gone. */
function reboot(): void {
  for (const gone of [host.machines, host.mounts, host.taps, host.networks, host.locked]) gone.clear();
  host.calls.length = 0;
}

/** Runs so much that the twin's machines lie on a network that was accepted after them. */
async function networkLater(): Promise<void> {
  const first = startEngine(journal);
  const disk = await accept(journal, tenant.deployment(1n, [diskWorkload('disk1', GIB)]));
  const network = await accept(journal, tenant.deployment(9n, [networkWorkload('net1')]));
  for (const { id } of [disk, network]) first.submit(id);
  await first.idle();
  for (const contract of [2n, 3n]) {
    const ip = `10.1.2.${5n + contract}`;
    first.submit((await accept(journal, tenant.deployment(contract, [machineWorkload('vm', { ip })]))).id);
  }
  await first.idle();
  await first.stop();
}

const calls = (method: string): number => host.calls.filter((call) => call.method === method).length;

describe('after the host came up again', () => {
  it('W15: networks come before machines of other deployments, whatever the order', async () => {
    await networkLater();
    reboot();
    const engine = startEngine(journal);
    engine.resume();
    await engine.idle();
    expect([...host.machines.keys()].sort()).toEqual(['7-2-vm', '7-3-vm']);
    // Nothing was tried before its network was there.
    expect(calls('SetupPrivTap')).toBe(2);
    expect(journal.steps('7-2').some((one) => one.state === 'failed')).toBe(false);
    expect(journal.operations('7-2').at(-1)).toMatchObject({ kind: 'restore', state: 'done' });
  });

  it('W15: machines wait for a network that takes its time', async () => {
    await networkLater();
    reboot();
    let failures = 4;
    host.hook = async ({ method }, when) => {
      if (method !== 'CreateNR' || when !== 'before') return;
      await sleep(5);
      if (failures-- > 0) throw new ZbusError('call_failed', 'the uplink is not up yet');
    };
    const engine = startEngine(journal, host.daemons, { ...LIMITS, verifyingLanes: [1, 1] });
    engine.resume();
    await engine.idle();
    expect([...host.machines.keys()].sort()).toEqual(['7-2-vm', '7-3-vm']);
    expect(calls('SetupPrivTap')).toBe(2);
  });

  it('W4: daemons that stay away for longer than any budget fail no workload', async () => {
    const first = startEngine(journal);
    first.submit((await accept(journal, full())).id);
    await first.idle();
    await first.stop();
    reboot();
    let isAway = true;
    host.hook = ({ method }) => {
      if (isAway && method === 'Mount') throw new ZbusError('no_such_module', 'nothing serves flist');
    };
    const engine = startEngine(journal, host.daemons, {
      ...LIMITS,
      retry: { budgetMs: 5, firstDelayMs: 1, maxDelayMs: 2 },
    });
    engine.resume();
    await expect.poll(() => journal.operations('7-1').at(-1)?.attempts).toBeGreaterThan(4);
    expect(states(journal)).toEqual(allOk);
    expect(journal.operations('7-1').at(-1)?.error).toMatch(/'vm1' is not back yet: .*nothing serves flist/);
    isAway = false;
    await engine.idle();
    expect(states(journal)).toEqual(allOk);
    expect(oks(journal)).toHaveLength(4);
    expect(host.machines.size).toBe(1);
    expect(journal.operations('7-1').at(-1)).toMatchObject({ kind: 'restore', state: 'done', error: '' });
  });

  it('W16: what was paused stays paused, its network is there for others, and it goes on when it may', async () => {
    const first = startEngine(journal);
    first.submit((await accept(journal, full())).id);
    await first.idle();
    first.pause('7-1', true, 'grace period');
    await first.idle();
    await first.stop();
    reboot();
    const second = startEngine(journal);
    second.resume();
    await second.idle();
    expect(host.machines.size).toBe(0);
    expect(host.networks.size).toBe(1);
    expect(new Set(Object.values(states(journal)))).toEqual(new Set(['paused']));
    second.pause('7-1', false);
    await second.idle();
    expect([...host.machines.keys()]).toEqual(['7-1-vm1']);
    expect([...host.locked]).toEqual([]);
    expect(states(journal)).toEqual(allOk);
  });

  it('W16: a paused machine that somebody started again stands still after the next look', async () => {
    const engine = startEngine(journal);
    engine.submit((await accept(journal, full())).id);
    await engine.idle();
    expect(engine.pause('7-1', true)).toBe(true);
    expect(engine.pause('7-1', true)).toBe(false);
    await engine.idle();
    host.locked.clear();
    engine.recheck('7-1');
    await engine.idle();
    expect([...host.locked]).toEqual(['7-1-vm1']);
  });
});

describe('a look on the host', () => {
  it('repairs what vanished and nothing else', async () => {
    const engine = startEngine(journal);
    engine.submit((await accept(journal, full())).id);
    await engine.idle();
    host.machines.clear();
    host.calls.length = 0;
    engine.recheck('7-1');
    engine.recheck('7-404');
    await engine.idle();
    expect([...host.machines.keys()]).toEqual(['7-1-vm1']);
    expect(calls('CreateNR') + calls('DiskCreate')).toBe(0);
    expect(engine.numbers).toMatchObject({ repairs: 1, lanes: 0, unverified: 0 });
  });

  it('is not made while somebody else has the lane', async () => {
    const engine = startEngine(journal);
    const { id } = await accept(journal, full());
    engine.submit(id);
    await engine.idle();
    const gate = Promise.withResolvers<void>();
    const aside = engine.aside(id, () => gate.promise);
    host.calls.length = 0;
    engine.cancel(id, 'x');
    expect(await engine.aside(id, () => Promise.resolve())).toBe(false);
    await sleep(10);
    expect(host.calls).toEqual([]);
    gate.resolve();
    expect(await aside).toBe(true);
    await engine.idle();
    expect(host.resources).toEqual([]);
    // Also for one that is in no journal.
    expect(await engine.aside('9-9', () => Promise.resolve())).toBe(true);
    expect(engine.numbers.lanes).toBe(0);
  });
});
