import { beforeEach, expect, it } from 'vitest';
import type { Journal } from '../store/journal.ts';
import { MemoryJournal } from '../store/memory.ts';
import { allOk, full, states } from '../testing/engine.ts';
import { engineWorld } from '../testing/engine-world.ts';
import type { TestHost } from '../testing/host.ts';
import type { Engine } from './engine.ts';

const world = engineWorld();
const { startEngine, accept } = world;
let host: TestHost;
let journal: Journal;

beforeEach(() => {
  ({ host } = world);
  journal = new MemoryJournal();
});

/** With a running deployment. */
async function started(): Promise<Engine> {
  const engine = startEngine(journal);
  engine.submit((await accept(journal, full())).id);
  await engine.idle();
  return engine;
}

/** Calls `work` once, when the machine was told to stop or to go on and before that is written down. */
function whenLocked(work: () => void): void {
  host.hook = ({ method }, when) => {
    if (method !== 'Lock' || when !== 'after') return;
    host.hook = () => {};
    work();
  };
}

it('a machine whose pause was overtaken does not stand still when the pause is over', async () => {
  const engine = await started();
  whenLocked(() => {
    engine.pause('7-1', false);
    engine.submit('7-1');
  });
  engine.pause('7-1', true);
  await engine.idle();
  expect(states(journal)).toEqual(allOk);
  expect([...host.locked]).toEqual([]);
});

it('a machine whose end of the pause was overtaken does not run on unpaid', async () => {
  const engine = await started();
  engine.pause('7-1', true);
  await engine.idle();
  whenLocked(() => {
    engine.pause('7-1', true);
    engine.submit('7-1');
  });
  engine.pause('7-1', false);
  await engine.idle();
  expect(states(journal)).toEqual({ vm1: 'paused', net1: 'paused', disk1: 'paused', vol1: 'paused' });
  expect([...host.locked]).toEqual(['7-1-vm1']);
});

it.each([false, true])('after a start a machine does what the chain says, paused: %s', async (paused) => {
  const first = await started();
  let stopped: Promise<void> | undefined;
  whenLocked(() => {
    stopped = first.stop();
  });
  first.pause('7-1', true);
  await first.idle();
  await stopped;
  expect([...host.locked]).toEqual(['7-1-vm1']);
  const second = startEngine(journal);
  second.resume();
  second.pause('7-1', paused);
  await second.idle();
  expect([...host.locked]).toEqual(paused ? ['7-1-vm1'] : []);
  expect(new Set(Object.values(states(journal)))).toEqual(new Set([paused ? 'paused' : 'ok']));
});
