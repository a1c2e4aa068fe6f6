/** What is asked of a deployment in the moment in which its turn ends. */
import { expect, it } from 'vitest';
import { MemoryJournal } from '../store/memory.ts';
import { full } from '../testing/engine.ts';
import { engineWorld } from '../testing/engine-world.ts';

const world = engineWorld();

it.each([
  ['while its operation ends', (ask: () => void) => ask()],
  ['right after its operation has ended', (ask: () => void) => queueMicrotask(ask)],
  ['a moment after its operation has ended', (ask: () => void) => process.nextTick(ask)],
])('is done, %s', async (_, when) => {
  const journal = new MemoryJournal();
  const engine = world.startEngine(journal);
  const { id } = await world.accept(journal, full());
  const end = journal.end.bind(journal);
  let isAsked = false;
  journal.end = (...args) => {
    const isEnded = end(...args);
    if (args[1] === 'done' && !isAsked) {
      isAsked = true;
      when(() => engine.cancel(id, 'x'));
    }
    return isEnded;
  };
  engine.submit(id);
  await expect.poll(() => journal.deployment(id), { timeout: 20_000 }).toBeUndefined();
  expect(isAsked).toBe(true);
  expect(world.host.resources).toEqual([]);
  expect(journal.operations(id).map(({ kind, state }) => `${kind} ${state}`)).toEqual(['create done', 'cancel done']);
});
