/** What contracts cost: pure arithmetic on the pricing policy. Prices are in units of 10⁻⁷ USD an hour. */
import type { PricingPolicyValue } from '../description/grid-types.ts';

interface Resources {
  /** Bytes, and cores in `cru`. */
  readonly hru: bigint;
  readonly sru: bigint;
  readonly cru: bigint;
  readonly mru: bigint;
}

export type DiscountLevel = 'None' | 'Default' | 'Bronze' | 'Silver' | 'Gold';

const GIB = 1024 ** 3;
const GB = 10 ** 9;
const HOUR_SECONDS = 3600;
/** A price is for this time, whatever the month. */
const MONTH_HOURS = 24 * 30;
/** Units of price in one milli-USD. */
const UNITS_PER_MILLI_USD = 10_000;
const UTFT_PER_TFT = 10_000_000;
/** Certified nodes cost a quarter more. */
const CERTIFIED_FACTOR = 1.25;
/** Below this, a fraction comes from the arithmetic and not from the price. */
const NOISE = 1e-6;

const roundUp = (value: number): number => Math.max(0, Math.ceil(value - NOISE));

/** GiB of storage that make one storage unit. */
const SU_GIB = { hru: 1200, sru: 200 } as const;

export function storageUnits({ hru, sru }: Resources): number {
  return Number(hru) / GIB / SU_GIB.hru + Number(sru) / GIB / SU_GIB.sru;
}

/** Cores and memory count as the cheapest of three shapes of machine. */
export function computeUnits({ cru, mru }: Resources): number {
  const cores = Number(cru);
  const memory = Number(mru) / GIB;
  return Math.min(Math.max(cores / 2, memory / 4), Math.max(cores, memory / 8), Math.max(cores / 4, memory / 2));
}

/** Price units for `seconds` of resources; whole, rounded up. */
export function resourcesCost(policy: PricingPolicyValue, used: Resources, seconds: number): number {
  const perHour = policy.su.value * storageUnits(used) + policy.cu.value * computeUnits(used);
  return roundUp((perHour * seconds) / HOUR_SECONDS);
}

export function addressesCost(policy: PricingPolicyValue, count: number, seconds: number): number {
  return roundUp((policy.ipu.value * count * seconds) / HOUR_SECONDS);
}

export function nameCost(policy: PricingPolicyValue, seconds: number): number {
  return Math.floor((policy.unique_name.value * seconds) / HOUR_SECONDS + NOISE);
}

/** Price units for bytes of public traffic. */
export function trafficCost(policy: PricingPolicyValue, bytes: bigint): number {
  return Math.round((policy.nu.value * Number(bytes)) / GB);
}

/** Price units of a dedicated node's extra fee, which is in milli-USD a month. */
export function extraFeeCost(milliUsd: bigint, seconds: number): number {
  return Math.floor((Number(milliUsd) * UNITS_PER_MILLI_USD * seconds) / (MONTH_HOURS * HOUR_SECONDS) + NOISE);
}

/** uTFT for price units; `price` is of one TFT in milli-USD. */
export function inTft(units: number, price: number): bigint {
  return BigInt(Math.floor((units / UNITS_PER_MILLI_USD / price) * UTFT_PER_TFT + NOISE));
}

const DISCOUNTS: ReadonlyArray<readonly [months: number, level: DiscountLevel, factor: number]> = [
  [36, 'Gold', 0.4],
  [12, 'Silver', 0.6],
  [6, 'Bronze', 0.7],
  [3, 'Default', 0.8],
  [0, 'None', 1],
];

/** The price for who could pay `due` of `seconds` for many months with `balance` uTFT. */
export function discounted(
  due: bigint,
  seconds: number,
  balance: bigint,
  isCertified: boolean,
): { readonly due: bigint; readonly level: DiscountLevel } {
  if (due === 0n) return { due, level: 'None' };
  const monthly = (Number(due) / seconds) * HOUR_SECONDS * MONTH_HOURS;
  const months = Number(balance) / monthly;
  const [, level, factor] = DISCOUNTS.find(([least]) => months >= least) ?? [0, 'None' as const, 1];
  return { due: BigInt(roundUp(Number(due) * factor * (isCertified ? CERTIFIED_FACTOR : 1))), level };
}
