/**
 * Decides whether a whole deployment, or the whole update of one, fits the node, and where everything
 * goes. Pure and all or nothing: either every workload has its place and there is a reservation, or
 * there is the complete list of reasons and nothing happened.
 */
import {
  countCapacity,
  type PlacedAllocation,
  type Reservation,
  type ReservedWorkload,
  type Snapshot,
} from './capacity.ts';
import {
  checkAbilities,
  checkAddresses,
  checkCompute,
  checkMounts,
  checkNetworks,
  checkPublicIps,
  type NodeAbilities,
  type Refusal,
} from './checks.ts';
import { placeAllocations } from './placement.ts';
import type { Ask, DeploymentAsk, DeploymentRequest, UpdateOperation } from './request.ts';

export type { NodeAbilities, Refusal, RefusalCode } from './checks.ts';

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

/** Plans `request` against `snapshot`, which must not hold a reservation of the same contract. */
export function planDeployment(request: DeploymentRequest, snapshot: Snapshot, abilities: NodeAbilities): Plan {
  const { twin, contract, workloads: whole } = request;
  const asks = whole.map((wanted) => ({ wanted, held: undefined }));
  return decide({ twin, contract, whole, asks, leaves: () => false }, snapshot, abilities);
}

/**
 * Plans the next version of a deployment against `snapshot`, which holds what the present one has.
 * `operations` is what the version changes; everything else stays as it is. The old keeps its place until
 * the new has its own, so only growth is asked for; names, ports and addresses of what goes away are free
 * for what comes. The plan's steps and reservation are of added and updated workloads only.
 */
export function planUpdate(
  request: DeploymentRequest,
  operations: readonly UpdateOperation[],
  snapshot: Snapshot,
  abilities: NodeAbilities,
): Plan {
  const { twin, contract, workloads: whole } = request;
  const own = snapshot.reservations.find((one) => one.twin === twin && one.contract === contract);
  const kinds = new Map(operations.map(({ kind, workload }) => [workload, kind]));
  const asks = whole.flatMap((wanted): Ask[] => {
    const kind = kinds.get(wanted.name);
    if (kind === undefined || kind === 'remove') return [];
    return [{ wanted, held: kind === 'update' ? own?.workloads.find(({ name }) => name === wanted.name) : undefined }];
  });
  return decide({ twin, contract, whole, asks, leaves: (name) => kinds.has(name) }, snapshot, abilities);
}

function decide(ask: DeploymentAsk, snapshot: Snapshot, abilities: NodeAbilities): Plan {
  const capacity = countCapacity(snapshot);
  const placement = placeAllocations(ask, capacity);
  const refusals = [
    ...checkAbilities(ask, abilities),
    ...checkCompute(ask, snapshot, capacity),
    ...placement.refusals,
    ...checkPublicIps(ask, abilities),
    ...checkNetworks(ask, snapshot, abilities),
    ...checkAddresses(ask, snapshot),
    ...checkMounts(ask),
  ];
  if (refusals.length > 0) return { fits: false, refusals };
  return {
    fits: true,
    steps: orderWorkloads(ask),
    reservation: {
      twin: ask.twin,
      contract: ask.contract,
      workloads: ask.asks.map((one) => reserve(one, placement.placed.get(one.wanted.name) ?? [])),
    },
  };
}

function reserve({ wanted, held }: Ask, allocations: readonly PlacedAllocation[]): ReservedWorkload {
  return {
    name: wanted.name,
    type: wanted.type,
    state: held?.state ?? 'pending',
    vcpus: wanted.vcpus,
    memoryBytes: wanted.memoryBytes,
    publicIps: wanted.publicIps,
    allocations,
    ...(wanted.network === undefined ? {} : { network: wanted.network }),
    ...(wanted.address === undefined ? {} : { address: wanted.address }),
  };
}

/** Dependencies: a machine comes after its network and what it mounts. */
function orderWorkloads({ asks, whole }: DeploymentAsk): PlannedWorkload[] {
  return asks.map(({ wanted: { name, type, mounts, address } }) => {
    if (address === undefined) return { name, type, after: [...mounts] };
    const own = whole.find((one) => one.network?.name === address.network);
    return own === undefined
      ? { name, type, after: [...mounts], awaitsNetwork: address.network }
      : { name, type, after: [own.name, ...mounts] };
  });
}
