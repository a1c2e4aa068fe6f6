import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cacheLimit, candidates, fits, freeBytes, promisableBytes } from './fit.ts';

describe('the fit rule', () => {
  it('takes what fits to the last byte, also for growth, and nothing when more is used than there is', () => {
    expect(fits({ size: 100, used: 40 }, 60)).toBe(true);
    expect(fits({ size: 100, used: 40 }, 61)).toBe(false);
    expect(fits({ size: 100, used: 100 }, 50, 50)).toBe(true);
    expect(fits({ size: 100, used: 100 }, 51, 50)).toBe(false);
    expect(fits({ size: 100, used: 140 }, 1)).toBe(false);
    expect(fits({ size: 100, used: 140 }, 10, 60)).toBe(true);
    expect(freeBytes({ size: 100, used: 140 })).toBe(-40);
  });

  it('offers the roomiest pool first and never one that does not fit', () => {
    const pool = fc.record({ size: fc.nat(2 ** 40), used: fc.nat(2 ** 40) });
    fc.assert(
      fc.property(fc.array(pool), fc.nat(2 ** 40), (pools, size) => {
        const found = candidates(pools, size);
        for (const each of found) expect(each.used + size).toBeLessThanOrEqual(each.size);
        expect(found).toHaveLength(pools.filter((each) => each.used + size <= each.size).length);
        for (let i = 1; i < found.length; i++) {
          expect(freeBytes(found[i - 1] ?? { size: 0, used: 0 })).toBeGreaterThanOrEqual(
            freeBytes(found[i] ?? { size: 0, used: 0 }),
          );
        }
      }),
    );
  });

  it('sets aside what the file system needs for itself', () => {
    const gib = 1024 ** 3;
    expect(promisableBytes(20 * gib, 0.5 * gib)).toBeLessThan(19.5 * gib);
    expect(promisableBytes(20 * gib, 0.5 * gib)).toBeGreaterThan(19.4 * gib);
    expect(promisableBytes(1000 * gib, gib)).toBe(1000 * gib - 25 * gib - 17 * 1024 ** 2);
    expect(promisableBytes(1024, gib)).toBe(0);
  });
});

describe('the cache volume', () => {
  it.each([
    [100, 1, 5],
    [100, 19, 40],
    [1000, 16, 35],
    [100, 91, 105],
    [100, 50, 100],
    [5, 0, 5],
    [5, 3, 10],
    [0, 0, 5],
  ])('of %i with %i stored becomes %i (steps of 5)', (limit, content, expected) => {
    expect(cacheLimit(5, limit, content)).toBe(expected);
  });

  it('without a limit gets one', () => {
    expect(cacheLimit(5, undefined, 0)).toBe(5);
    expect(cacheLimit(5, undefined, 20)).toBe(40);
  });
});
