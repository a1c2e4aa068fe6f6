import { expect, it } from 'vitest';
import { WindowedLimit } from './rate.ts';

it('who comes beyond the keys that are counted shares what one may have', () => {
  const limit = new WindowedLimit<string>({ count: 2, bytes: 1000 }, 2);
  const take = (key: string, now = 0): boolean => limit.take(key, 1, now);
  expect(['a', 'b', 'c', 'd', 'e'].map((key) => take(key))).toEqual([true, true, true, true, false]);
  // Who was first has its own.
  expect([take('a'), take('a')]).toEqual([true, false]);
  expect(take('e', 60_000)).toBe(true);
});
