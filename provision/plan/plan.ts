/**
 * Decides whether a whole deployment fits the node, and where everything goes.
 * Pure and all or nothing: either every workload has its place and there is a
 * reservation, or there is the complete list of reasons and nothing happened.
 * What it costs depends on the deployment, and not on how many others there are.
 */
import { checkAbilities, checkGpus, checkPublicIps, type NodeAbilities } from './abilities.ts';
import {
  countCapacity,
  type PlacedAllocation,
  type Reservation,
  type ReservedWorkload,
  type Snapshot,
} from './capacity.ts';
import { checkCompute, checkMachines } from './compute.ts';
import { checkMounts } from './mounts.ts';
import { checkAddresses, checkNetworks } from './networks.ts';
import { placeAllocations } from './placement.ts';
import type { Refusal } from './refusal.ts';
import type { DeploymentRequest, WorkloadRequest } from './request.ts';

/** One workload's turn. It may start when every workload in `after` is done. */
export interface PlannedWorkload {
  readonly name: string;
  readonly type: string;
  readonly after: readonly string[];
  /** A network of another deployment of the twin that must run first. */
  readonly awaitsNetwork?: string;
}

export type Plan =
  | { readonly fits: true; readonly steps: readonly PlannedWorkload[]; readonly reservation: Reservation }
  | { readonly fits: false; readonly refusals: readonly Refusal[] };

/** Plans `request` against `snapshot`, whose books must not hold a reservation of the same contract. */
export function planDeployment(request: DeploymentRequest, snapshot: Snapshot, abilities: NodeAbilities): Plan {
  const { workloads } = request;
  const { holdings } = snapshot;
  const capacity = countCapacity(snapshot);
  const placement = placeAllocations(
    workloads,
    capacity.pools.map((pool) => ({ ...pool })),
    capacity,
  );
  const refusals = [
    ...checkAbilities(request, abilities),
    ...checkMachines(workloads, snapshot),
    ...checkCompute(workloads, snapshot, capacity),
    ...placement.refusals,
    ...checkPublicIps(request, abilities),
    ...checkGpus(request, holdings, abilities),
    ...checkNetworks(request, holdings, abilities),
    ...checkAddresses(request, holdings),
    ...checkMounts(request),
  ];
  if (refusals.length > 0) return { fits: false, refusals };
  return {
    fits: true,
    steps: orderWorkloads(request),
    reservation: {
      twin: request.twin,
      contract: request.contract,
      workloads: workloads.map((workload) => reserve(workload, placement.placed.get(workload.name) ?? [])),
    },
  };
}

export function reserve(workload: WorkloadRequest, allocations: readonly PlacedAllocation[]): ReservedWorkload {
  const { name, type, vcpus, memoryBytes, publicIps, network, address, gpus = [] } = workload;
  return {
    ...{ name, type, state: 'pending', vcpus, memoryBytes, publicIps, allocations },
    ...(network === undefined ? {} : { network }),
    ...(address === undefined ? {} : { address }),
    ...(gpus.length === 0 ? {} : { gpus }),
  };
}

/** Dependencies: a machine comes after its network and what it mounts. */
export function orderWorkloads(request: DeploymentRequest): PlannedWorkload[] {
  return request.workloads.map(({ name, type, mounts, address }) => {
    if (address === undefined) return { name, type, after: [...mounts] };
    const own = request.workloads.find((one) => one.network?.name === address.network);
    return own === undefined
      ? { name, type, after: [...mounts], awaitsNetwork: address.network }
      : { name, type, after: [own.name, ...mounts] };
  });
}
