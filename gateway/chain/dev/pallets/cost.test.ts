/** Bills against amounts worked out by hand from the default pricing policy. */
import { describe, expect, it } from 'vitest';
import type { PricingPolicyValue } from '../description/grid-types.ts';
import {
  addressesCost,
  computeUnits,
  discounted,
  extraFeeCost,
  inTft,
  nameCost,
  resourcesCost,
  storageUnits,
  trafficCost,
} from './cost.ts';

const GIB = 1024n ** 3n;
const unit = { kind: 'Gigabytes' } as const;
const policy = {
  su: { value: 50_000, unit },
  cu: { value: 100_000, unit },
  nu: { value: 15_000, unit },
  ipu: { value: 40_000, unit },
  unique_name: { value: 2_500, unit },
} as PricingPolicyValue;
const HOUR = 3600;

describe('cost', () => {
  it.each([
    [1n, 2n, 0.5],
    [2n, 4n, 1],
    [4n, 8n, 2],
    [8n, 8n, 4],
    [1n, 16n, 2],
  ])('%d cores with %d GiB are %d compute units', (cru, gib, units) => {
    expect(computeUnits({ hru: 0n, sru: 0n, cru, mru: gib * GIB })).toBe(units);
  });

  it('counts 200 GiB of SSD or 1200 GiB of HDD as a storage unit', () => {
    expect(storageUnits({ hru: 1200n * GIB, sru: 0n, cru: 0n, mru: 0n })).toBe(1);
    expect(storageUnits({ hru: 600n * GIB, sru: 100n * GIB, cru: 0n, mru: 0n })).toBe(1);
  });

  it('is proportional to time, rounded up once', () => {
    const used = { hru: 0n, sru: 200n * GIB, cru: 2n, mru: 4n * GIB };
    expect(resourcesCost(policy, used, HOUR)).toBe(150_000);
    expect(resourcesCost(policy, used, HOUR / 2)).toBe(75_000);
    expect(resourcesCost(policy, used, 1)).toBe(42);
    expect(resourcesCost(policy, { hru: 0n, sru: 0n, cru: 0n, mru: 0n }, HOUR)).toBe(0);
    expect(addressesCost(policy, 2, HOUR)).toBe(80_000);
    expect(nameCost(policy, HOUR)).toBe(2_500);
    expect(trafficCost(policy, 2_000_000_000n)).toBe(30_000);
    // 1000 milli-USD a month are 10⁷ units in 720 hours.
    expect(extraFeeCost(1000n, 720 * HOUR)).toBe(10_000_000);
  });

  it('is paid in TFT at the price of the day', () => {
    // 150 000 units are 15 milli-USD; at 10 milli-USD a TFT that is 1.5 TFT.
    expect(inTft(150_000, 10)).toBe(15_000_000n);
    expect(inTft(150_000, 20)).toBe(7_500_000n);
  });

  it.each([
    [0, 'None', 1000],
    [2.9, 'None', 1000],
    [3, 'Default', 800],
    [6, 'Bronze', 700],
    [12, 'Silver', 600],
    [36, 'Gold', 400],
  ] as const)('who could pay for %d months has level %s', (months, level, due) => {
    const balance = BigInt(Math.round(1000 * 720 * months));
    expect(discounted(1000n, HOUR, balance, false)).toEqual({ level, due: BigInt(due) });
    expect(discounted(500n, HOUR / 2, balance, false).level).toBe(level);
  });

  it('is a quarter higher on certified nodes', () => {
    expect(discounted(1000n, HOUR, 0n, true).due).toBe(1250n);
  });
});
