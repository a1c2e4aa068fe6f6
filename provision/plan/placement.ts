/** Which pool every allocation lies in. */
import { type Capacity, type PlacedAllocation, roomiest } from './capacity.ts';
import type { Refusal } from './checks.ts';
import type { DeploymentAsk } from './request.ts';

export interface Placement {
  /** By workload, each with all of its bytes. */
  readonly placed: ReadonlyMap<string, readonly PlacedAllocation[]>;
  readonly refusals: readonly Refusal[];
}

/**
 * Puts every allocation into the pool with the most room, largest first: the
 * order in which the engine asks storaged, and storaged's own choice of pool.
 * What exists already grows where it is.
 */
export function placeAllocations(ask: DeploymentAsk, capacity: Capacity): Placement {
  const pools = capacity.pools.map((pool) => ({ ...pool }));
  const wanted = allocationOrder(ask);
  const placed = new Map<string, PlacedAllocation[]>();
  const refusals: Refusal[] = [];
  for (const { workload, allocation, held, moreBytes } of wanted) {
    const best = held === undefined ? roomiest(pools, allocation.media) : { name: held.pool, free: 0 };
    const pool = pools.find((one) => one.name === best.name);
    const free = pool?.free ?? best.free;
    if (moreBytes > 0 && (pool === undefined || moreBytes > free)) {
      const { media } = allocation;
      refusals.push({
        code: 'capacity_single_disk',
        details: { workload, media, requested: moreBytes, largest: free, pool: best.name },
      });
      continue;
    }
    if (pool !== undefined) pool.free -= moreBytes;
    placed.set(workload, [...(placed.get(workload) ?? []), { ...allocation, pool: best.name }]);
  }
  for (const media of ['ssd', 'hdd'] as const) {
    const ofMedia = wanted.filter((one) => one.allocation.media === media);
    const requested = ofMedia.reduce((sum, { moreBytes }) => sum + moreBytes, 0);
    const { deficit: _, free, ...rest } = capacity[media];
    if (requested <= free) continue;
    refusals.unshift({ code: 'capacity_disk', details: { media, requested, available: free, ...rest } });
  }
  return { placed, refusals };
}

/** Every allocation in the order the engine makes them: largest first, then by name. */
function allocationOrder({ asks }: DeploymentAsk) {
  return asks
    .flatMap(({ wanted, held }) =>
      wanted.allocations.map((allocation) => {
        const before = held?.allocations.find(({ resource }) => resource === allocation.resource);
        const moreBytes = Math.max(0, allocation.bytes - (before?.bytes ?? 0));
        return { workload: wanted.name, allocation, held: before, moreBytes };
      }),
    )
    .sort(
      (a, b) => b.allocation.bytes - a.allocation.bytes || (a.allocation.resource < b.allocation.resource ? -1 : 1),
    );
}
