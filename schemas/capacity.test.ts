import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  add,
  atLeastZero,
  Capacity,
  capacity,
  fits,
  GiB,
  MiB,
  NOTHING,
  rootfsMinimum,
  rootfsSize,
  shortages,
  subtract,
} from './capacity.ts';

const amount = fc.nat({ max: 2 ** 40 });
const any = fc.record({ cru: amount, sru: amount, hru: amount, mru: amount, ipv4u: amount });

describe('capacity', () => {
  it('adds and subtracts without loss', () => {
    fc.assert(
      fc.property(any, any, any, (a, b, c) => {
        expect(subtract(add(a, b), b)).toEqual(a);
        expect(add(a, b, c)).toEqual(add(add(c, b), a));
        expect(add(a)).toEqual(a);
        expect(atLeastZero(subtract(NOTHING, a))).toEqual(NOTHING);
        expect(Capacity.parse(add(a, b))).toEqual(add(a, b));
      }),
    );
    expect(add()).toEqual(NOTHING);
  });

  it('fits exactly when nothing is short', () => {
    fc.assert(
      fc.property(any, any, (needed, free) => {
        expect(fits(needed, free)).toBe(shortages(needed, free).length === 0);
        expect(fits(needed, add(needed, free))).toBe(true);
        if (fits(needed, free)) expect(atLeastZero(subtract(free, needed))).toEqual(subtract(free, needed));
      }),
    );
  });

  it('asks nothing of a resource that is overdrawn when none of it is needed', () => {
    expect(shortages(capacity({ cru: 1, mru: 5 }), capacity({ cru: 1, mru: 4, sru: -1 }))).toEqual([
      { resource: 'mru', requested: 5, available: 4 },
    ]);
  });

  it.each([
    [1, 250 * MiB, 500 * MiB],
    [7, GiB, 500 * MiB],
    [8, GiB, 2 * GiB],
    [4, 2 * GiB - 1, 500 * MiB],
    [4, 2 * GiB, 2 * GiB],
    [255, 2 ** 52, 2 * GiB],
  ])('gives a machine of %d CPUs and %d bytes a root of at least %d', (cpu, memory, minimum) => {
    expect(rootfsMinimum(cpu, memory)).toBe(minimum);
    expect(rootfsSize(cpu, memory, 0)).toBe(minimum);
    expect(rootfsSize(cpu, memory, minimum + 1)).toBe(minimum + 1);
  });
});
