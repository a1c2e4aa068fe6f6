/** Where disks and volumes go. */
import type { Capacity, PlacedAllocation, PoolAccount, ReservedWorkload } from './capacity.ts';
import { roomiest } from './capacity.ts';
import type { Refusal } from './refusal.ts';
import type { WorkloadRequest } from './request.ts';

export interface Placement {
  /** By workload. */
  readonly placed: ReadonlyMap<string, readonly PlacedAllocation[]>;
  readonly refusals: readonly Refusal[];
}

/** Pools whose free space shrinks as things are placed. */
export type OpenPools = ReadonlyArray<PoolAccount & { free: number }>;

/**
 * Puts every allocation into the pool with the most room, largest first. storaged is told the pool
 * before it makes the thing; one that takes no hint chooses the roomiest, too.
 */
export function placeAllocations(
  workloads: readonly WorkloadRequest[],
  pools: OpenPools,
  capacity: Capacity,
): Placement {
  const wanted = allocationOrder(workloads);
  const placed = new Map<string, PlacedAllocation[]>();
  const refusals: Refusal[] = [];
  for (const media of ['ssd', 'hdd'] as const) {
    const requested = wanted.reduce((sum, { allocation: one }) => (one.media === media ? sum + one.bytes : sum), 0);
    const { deficit: _, free, ...rest } = capacity[media];
    if (requested <= free) continue;
    refusals.push({ code: 'capacity_disk', details: { media, requested, available: free, ...rest } });
  }
  for (const { workload, allocation } of wanted) {
    const { media, bytes: requested } = allocation;
    const best = roomiest(pools, media);
    const pool = pools.find((one) => one.name === best.name);
    if (pool === undefined || requested > best.free) {
      const details = { workload, media, requested, largest: best.free, pool: best.name };
      refusals.push({ code: 'capacity_single_disk', details });
      continue;
    }
    pool.free -= requested;
    placed.set(workload, [...(placed.get(workload) ?? []), { ...allocation, pool: pool.name }]);
  }
  return { placed, refusals };
}

/** Every allocation of a deployment, largest first, then by name: the order of its workloads changes nothing. */
function allocationOrder(workloads: readonly WorkloadRequest[]): Array<{
  readonly workload: string;
  readonly allocation: WorkloadRequest['allocations'][number];
}> {
  return workloads
    .flatMap(({ name: workload, allocations }) => allocations.map((allocation) => ({ workload, allocation })))
    .sort(
      (a, b) => b.allocation.bytes - a.allocation.bytes || (a.allocation.resource < b.allocation.resource ? -1 : 1),
    );
}

/** Takes the difference of what grows out of `pools`; a thing never moves to another pool. */
export function placeGrowth(
  changed: readonly WorkloadRequest[],
  own: ReadonlyMap<string, ReservedWorkload>,
  pools: OpenPools,
  placeOf: (allocation: PlacedAllocation) => string,
): Placement {
  const placed = new Map<string, readonly PlacedAllocation[]>();
  const refusals: Refusal[] = [];
  for (const { name: workload, allocations } of changed) {
    const held = own.get(workload)?.allocations ?? [];
    placed.set(
      workload,
      allocations.map((allocation) => {
        const before = held.find((one) => one.resource === allocation.resource);
        const place = before === undefined ? '' : placeOf(before);
        const pool = pools.find((one) => one.name === place);
        const requested = Math.max(0, allocation.bytes - (before?.bytes ?? 0));
        const free = pool?.free ?? 0;
        if (requested > free) {
          const { media } = allocation;
          const details = { workload, media, requested, largest: free, pool: place };
          refusals.push({ code: 'capacity_single_disk', details });
        } else if (pool !== undefined) {
          pool.free -= requested;
        }
        return { ...allocation, pool: place };
      }),
    );
  }
  return { placed, refusals };
}
