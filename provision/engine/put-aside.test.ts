/** What is put aside stays so until its time has come or its owner asks, and a journal that takes nothing makes no lane run twice. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import { failingJournal } from '../store/failing.ts';
import type { Journal } from '../store/journal.ts';
import { MemoryJournal } from '../store/memory.ts';
import { allOk, full, LIMITS, states } from '../testing/engine.ts';
import { engineWorld } from '../testing/engine-world.ts';

const world = engineWorld();
const { startEngine, accept } = world;
const LONG = { ...LIMITS, poison: { ...LIMITS.poison, parkMs: 600_000 } };

/** `journal`, by which the process died so often of each deployment's work. */
function deadly(journal: Journal, crashes: number): Journal {
  return new Proxy(journal, {
    get: (target, property) => {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      if (property !== 'pending') return value.bind(target);
      return (id?: string) => target.pending(id).map((one) => ({ ...one, crashes }));
    },
  });
}

it('W5: what the process died of is not tried again because the host is compared with the journal', async () => {
  const journal = new MemoryJournal();
  await accept(journal, full());
  const engine = startEngine(deadly(journal, 3), world.host.daemons, LONG);
  engine.resume();
  expect(engine.numbers.parked).toBe(1);
  world.host.calls.length = 0;
  engine.recheck('7-1');
  const removed = vi.fn(async () => undefined);
  expect(await engine.aside('7-1', removed)).toBe(true);
  expect(removed).toHaveBeenCalledOnce();
  await sleep(30);
  expect(world.host.calls).toEqual([]);
  expect(engine.numbers).toMatchObject({ parked: 1, unverified: 1 });
  engine.submit('7-1');
  await engine.idle();
  expect(states(journal)).toEqual(allOk);
});

it('what was asked of a parked deployment while it was aside is done after', async () => {
  const journal = new MemoryJournal();
  await accept(journal, full());
  const engine = startEngine(deadly(journal, 3), world.host.daemons, LONG);
  engine.resume();
  const aside = engine.aside('7-1', async () => {
    engine.submit('7-1');
    await sleep(5);
  });
  expect(await aside).toBe(true);
  await engine.idle();
  expect(states(journal)).toEqual(allOk);
});

it('a lane whose end the journal does not take is tried again once', async () => {
  const journal = failingJournal(new MemoryJournal());
  await accept(journal, full());
  const engine = startEngine(journal, world.host.daemons, { ...LIMITS, laterMs: [40, 60] });
  journal.failing.add('end');
  journal.failing.add('begin');
  let made = 0;
  world.host.hook = async ({ method }, when) => {
    if (method !== 'VolumeCreate' || when !== 'before') return;
    made += 1;
    // Longer than the lane would have waited.
    await sleep(150);
  };
  engine.submit('7-1');
  await sleep(10);
  journal.failing.clear();
  engine.submit('7-1');
  await engine.idle();
  // Of the volume and of the machine's root.
  expect(made).toBe(2);
  expect(states(journal)).toEqual(allOk);
});

it('an engine starts although the journal can not be written and something is to be parked', async () => {
  const journal = failingJournal(new MemoryJournal());
  await accept(journal, full());
  journal.failing.add('end');
  journal.failing.add('begin');
  const engine = startEngine(deadly(journal, 3), world.host.daemons, LONG);
  engine.resume();
  expect(engine.numbers.parked).toBe(1);
});

it('a stop that does not wait for a hanging daemon is no death of the process', async () => {
  const journal = new MemoryJournal();
  await accept(journal, full());
  const hanging = Promise.withResolvers<void>();
  let isHanging = false;
  world.host.hook = async ({ method }, when) => {
    if (method !== 'SetupPrivTap' || when !== 'before') return;
    isHanging = true;
    await hanging.promise;
  };
  const engine = startEngine(journal, world.host.daemons, { ...LIMITS, stopDeadlineMs: 30 });
  engine.submit('7-1');
  await expect.poll(() => isHanging).toBe(true);
  await engine.stop();
  expect(journal.pending('7-1').map((one) => one.state)).toEqual(['queued']);
  hanging.resolve();
});
