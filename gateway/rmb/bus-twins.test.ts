import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { followTwins } from './bus-twins.ts';

it('tells which twins change, and when changes may have been missed, through streams that end', async () => {
  const event = (TwinID: number, Generation: number, Sequence: number) => ({
    ...{ TwinID, Generation, Sequence },
    BlockNumber: 1,
  });
  const told: (number | string)[] = [];
  const stopping = new AbortController();
  let streams = 0;
  async function* open(signal: AbortSignal) {
    streams += 1;
    if (streams === 1) {
      // The first of a generation, a block that names nobody, one, and one behind a gap.
      yield* [event(7, 1, 5), event(0, 1, 6), event(8, 1, 7), event(9, 1, 9)];
      throw new Error('the chain is away');
    }
    // Nothing was missed in between; then another process counts anew.
    yield* [event(7, 1, 10), event(7, 2, 11)];
    stopping.abort();
    await sleep(60_000, undefined, { signal });
  }
  const listener = {
    forget: (id: number) => void told.push(id),
    forgetAll: () => void told.push('all'),
    onInterrupted: (reason: string) => void told.push(reason),
  };
  await followTwins(open, listener, stopping.signal);
  expect(told).toEqual(['all', 8, 'all', 'the chain is away', 7, 'all']);
});
