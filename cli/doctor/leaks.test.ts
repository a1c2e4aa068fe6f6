import { expect, it } from 'vitest';
import { findings } from './leaks.ts';

const none = { Runs: 3, StartedAt: 1, DurationMs: 1, Error: '', Away: [], Kinds: [] };
const sums = { RemovedInAll: new Map(), FailedInAll: new Map(), RepairsInAll: new Map() };
const kind = (Kind: string, over: object) => {
  const counts = { Found: 0, FoundBytes: 0, Removed: 0, RemovedBytes: 0, Kept: 0, KeptBytes: 0 };
  return { Kind, ...counts, Unknown: 0, UnknownBytes: 0, Missing: 0, ...over };
};

it('says that nothing leaked, and what did, by kind and with its bytes', () => {
  expect(findings({ ...none, ...sums })).toMatchObject([{ state: 'ok', found: expect.stringContaining('nothing') }]);
  expect(findings({ ...none, ...sums, Runs: 0 })).toMatchObject([{ state: 'ok', found: 'not compared yet' }]);
  const Kinds = [
    kind('disk', { Kept: 2, KeptBytes: 3 * 1024 ** 3, Unknown: 1, UnknownBytes: 1024 ** 3 }),
    kind('machine', { Missing: 1 }),
    kind('tap', { Kept: 1 }),
  ];
  const told = findings({ ...none, ...sums, Kinds, Away: ['vmd'], Error: 'it failed' });
  expect(told.every(({ state, remedy }) => state === 'warn' && remedy !== '')).toBe(true);
  expect(told.map(({ found }) => found)).toEqual([
    'not compared: it failed',
    'no answer from vmd',
    expect.stringMatching(/^left over: 2 disk, 1 tap \(3.*GiB\)$/),
    expect.stringMatching(/^not in the journal: 1 disk \(1.*GiB\)$/),
    'missing: 1 machine',
  ]);
});

it('says what a farmer can do for a machine whose tap vanished', () => {
  const [told, ...more] = findings({ ...none, ...sums, RepairsInAll: new Map([['tap', 2]]) });
  expect(more).toEqual([]);
  expect(told).toMatchObject({
    state: 'warn',
    found: 'taps that vanished since the start and were made again: 2',
    remedy: expect.stringContaining('end its qemu process'),
  });
});
