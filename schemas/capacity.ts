/** What workloads need and nodes have: logical CPUs, bytes, public IPv4 addresses. */
import type { z } from 'zod';
import { described, struct } from './gojson/codec.ts';
import { count, unit } from './gojson/values.ts';

export const GiB = 1024 ** 3;
export const MiB = 1024 ** 2;

export const Capacity = struct(
  'gridtypes.Capacity',
  {
    cru: described(count, 'logical CPUs'),
    sru: described(unit, 'bytes of SSD'),
    hru: described(unit, 'bytes of HDD'),
    mru: described(unit, 'bytes of memory'),
    ipv4u: described(count, 'public IPv4 addresses'),
  },
  'What workloads take and nodes have.',
);
export type Capacity = z.output<typeof Capacity>;
export type Resource = keyof Capacity;

export const resources = ['cru', 'sru', 'hru', 'mru', 'ipv4u'] as const satisfies readonly Resource[];

export const NOTHING: Capacity = Object.freeze({ cru: 0, sru: 0, hru: 0, mru: 0, ipv4u: 0 });

/** The given amounts, all others zero. */
export function capacity(amounts: Partial<Capacity>): Capacity {
  return { ...NOTHING, ...amounts };
}

/** Sum of any number of capacities. */
export function add(...terms: readonly Capacity[]): Capacity {
  const sum = { ...NOTHING };
  for (const term of terms) for (const resource of resources) sum[resource] += term[resource];
  return sum;
}

/** Difference, resource by resource; negative where more is taken than there is. */
export function subtract(from: Capacity, taken: Capacity): Capacity {
  const rest = { ...NOTHING };
  for (const resource of resources) rest[resource] = from[resource] - taken[resource];
  return rest;
}

/** The larger of each and zero. */
export function atLeastZero(value: Capacity): Capacity {
  const floor = { ...NOTHING };
  for (const resource of resources) floor[resource] = Math.max(0, value[resource]);
  return floor;
}

export interface Shortage {
  readonly resource: Resource;
  readonly requested: number;
  readonly available: number;
}

/** Every resource of which more is needed than is free; empty when all fits. */
export function shortages(needed: Capacity, free: Capacity): Shortage[] {
  return resources
    .filter((resource) => needed[resource] > 0 && needed[resource] > free[resource])
    .map((resource) => ({ resource, requested: needed[resource], available: free[resource] }));
}

export function fits(needed: Capacity, free: Capacity): boolean {
  return shortages(needed, free).length === 0;
}

/** Smallest disk, bytes, on which `mkfs.btrfs` makes the file system that a machine's mount gets. */
export const MINIMUM_FORMATTED_BYTES = 114_294_784;

/** Smallest root file system of a machine, bytes: 500 MiB, or 2 GiB from 8 CPU-GiB on. */
export function rootfsMinimum(cpu: number, memory: number): number {
  return Math.floor((cpu * memory) / (8 * GiB)) === 0 ? 500 * MiB : 2 * GiB;
}

/** Root file system a machine gets, bytes, for a requested size (0 asks for the minimum). */
export function rootfsSize(cpu: number, memory: number, size: number): number {
  return Math.max(size, rootfsMinimum(cpu, memory));
}
