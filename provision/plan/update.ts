/**
 * Decides whether a running deployment may become another one, all or nothing as with a new one.
 * What stays is not asked again; what grows needs the difference, in the pool it is in; what goes
 * away counts as gone, as nothing is added or changed before all of it is confirmed removed.
 */
import {
  countCapacity,
  type PlacedAllocation,
  type PoolAccount,
  type Reservation,
  type ReservedWorkload,
  type Snapshot,
} from './capacity.ts';
import {
  checkAbilities,
  checkAddress,
  checkAddresses,
  checkCompute,
  checkMounts,
  checkNetworks,
  checkPublicIps,
  type NodeAbilities,
  orderWorkloads,
  type Plan,
  placeAllocations,
  type Refusal,
  reserve,
} from './plan.ts';
import type { DeploymentRequest, WorkloadRequest } from './request.ts';

export interface AskedUpdate {
  /** The whole deployment as it is to become. */
  readonly request: DeploymentRequest;
  /** Of it: what is new, and what is to change. */
  readonly asked: ReadonlySet<string>;
  /** Workloads of the present deployment that go away. */
  readonly leaving: ReadonlySet<string>;
}

/** Plans against `snapshot`, which holds the deployment's present reservation. The plan is of what is asked alone. */
export function planUpdate(
  { request, asked, leaving }: AskedUpdate,
  snapshot: Snapshot,
  abilities: NodeAbilities,
): Plan {
  const own = heldNow(request, snapshot);
  const isStanding = (name: string): boolean => own.has(name) && !leaving.has(name);
  const added = request.workloads.filter((one) => asked.has(one.name) && !isStanding(one.name));
  const changed = request.workloads.filter((one) => asked.has(one.name) && isStanding(one.name));
  const only = (workloads: readonly WorkloadRequest[]): DeploymentRequest => ({ ...request, workloads });

  // What failed and stays so refers to nothing.
  const whole = only(request.workloads.filter((one) => asked.has(one.name) || isStanding(one.name)));
  const remaining = without(snapshot, request, leaving);
  const capacity = countCapacity(remaining);
  const pools = capacity.pools.map((pool) => ({ ...pool }));
  const growth = placeGrowth(changed, own, pools);
  const placement = placeAllocations(only(added), { ...capacity, pools });
  const networks = new Set(
    [...changed, ...added].flatMap(({ network }) => (network === undefined ? [] : [network.name])),
  );
  const affected = new Set(
    whole.workloads
      .filter(({ name, address }) => !asked.has(name) && address !== undefined)
      .filter(({ address }) => networks.has(address?.network ?? '') || leaving.has(address?.network ?? ''))
      .map((one) => one.name),
  );
  // Beside what is looked at anew.
  const others = without(remaining, request, new Set([...changed.map((one) => one.name), ...affected]));
  const refusals: Refusal[] = [
    ...checkAbilities(only([...changed, ...added]), abilities),
    ...checkCompute(only(added), remaining, capacity),
    ...growth.refusals,
    ...placement.refusals,
    ...checkPublicIps(whole, abilities),
    ...checkNetworks(only([...changed, ...added]), others, {
      ...abilities,
      wireguardPorts: portsOfOthers(abilities.wireguardPorts, own, changed, leaving),
    }),
    ...checkAddresses(only(whole.workloads.map((one) => (looked(one) ? one : withoutAddress(one)))), others),
    ...checkNeighbours(request, changed, snapshot),
    ...checkMounts(whole),
  ];
  if (refusals.length > 0) return { fits: false, refusals };
  const places = new Map([...placement.placed, ...growth.placed]);
  return {
    fits: true,
    steps: orderWorkloads(whole).filter((step) => asked.has(step.name)),
    reservation: {
      twin: request.twin,
      contract: request.contract,
      workloads: [...changed, ...added].map((workload) => reserve(workload, places.get(workload.name) ?? [])),
    },
  };

  function looked({ name }: WorkloadRequest): boolean {
    return asked.has(name) || affected.has(name);
  }
}

function isOwn(request: DeploymentRequest, { twin, contract }: Reservation): boolean {
  return twin === request.twin && contract === request.contract;
}

/** What the deployment holds now, by workload; beside it may be listed what a pending change will add. */
function heldNow(request: DeploymentRequest, { reservations }: Snapshot): ReadonlyMap<string, ReservedWorkload> {
  const own = reservations.find((one) => isOwn(request, one))?.workloads ?? [];
  return new Map([...own].reverse().map((workload) => [workload.name, workload]));
}

/** The node once some workloads of the deployment are gone. */
function without(snapshot: Snapshot, request: DeploymentRequest, names: ReadonlySet<string>): Snapshot {
  const gone = new Set<string>();
  const reservations = snapshot.reservations.map((one) => {
    if (!isOwn(request, one)) return one;
    for (const { name, allocations } of one.workloads) {
      if (names.has(name)) for (const { resource } of allocations) gone.add(resource);
    }
    return { ...one, workloads: one.workloads.filter(({ name }) => !names.has(name)) };
  });
  const pools = snapshot.pools.map((pool) => {
    let { usedBytes } = pool;
    for (const resource of gone) usedBytes -= pool.existing.get(resource) ?? 0;
    return { ...pool, usedBytes, existing: new Map([...pool.existing].filter(([name]) => !gone.has(name))) };
  });
  return { ...snapshot, pools, reservations };
}

/** Takes the difference of what grows out of `pools`; a thing never moves to another pool. */
function placeGrowth(
  changed: readonly WorkloadRequest[],
  own: ReadonlyMap<string, ReservedWorkload>,
  pools: Array<PoolAccount & { free: number }>,
): { readonly placed: ReadonlyMap<string, readonly PlacedAllocation[]>; readonly refusals: readonly Refusal[] } {
  const placed = new Map<string, readonly PlacedAllocation[]>();
  const refusals: Refusal[] = [];
  for (const { name: workload, allocations } of changed) {
    const held = own.get(workload)?.allocations ?? [];
    placed.set(
      workload,
      allocations.map((allocation) => {
        const before = held.find((one) => one.resource === allocation.resource);
        const pool = pools.find((one) => one.name === before?.pool);
        const requested = Math.max(0, allocation.bytes - (before?.bytes ?? 0));
        const free = pool?.free ?? 0;
        if (requested > free) {
          const { media } = allocation;
          const details = { workload, media, requested, largest: free, pool: before?.pool ?? '' };
          refusals.push({ code: 'capacity_single_disk', details });
        } else if (pool !== undefined) {
          pool.free -= requested;
        }
        return { ...allocation, pool: before?.pool ?? '' };
      }),
    );
  }
  return { placed, refusals };
}

/** Ports on the host without those that the same network keeps or that go away first. */
function portsOfOthers(
  ports: ReadonlySet<number>,
  own: ReadonlyMap<string, ReservedWorkload>,
  changed: readonly WorkloadRequest[],
  leaving: ReadonlySet<string>,
): ReadonlySet<number> {
  const left = new Set(ports);
  for (const name of leaving) left.delete(own.get(name)?.network?.wireguardPort ?? 0);
  for (const { name, network } of changed) {
    const port = own.get(name)?.network?.wireguardPort;
    if (port !== undefined && port === network?.wireguardPort) left.delete(port);
  }
  return left;
}

/** Machines of the twin's other deployments stay in the subnet of a network that changes. */
function* checkNeighbours(
  request: DeploymentRequest,
  changed: readonly WorkloadRequest[],
  { reservations }: Snapshot,
): Generator<Refusal> {
  for (const { network } of changed) {
    if (network === undefined) continue;
    for (const reservation of reservations) {
      if (reservation.twin !== request.twin || isOwn(request, reservation)) continue;
      for (const { name, address } of reservation.workloads) {
        if (address?.network !== network.name) continue;
        yield* checkAddress(`${reservation.contract}/${name}`, address.ip, network);
      }
    }
  }
}

function withoutAddress({ address: _, ...workload }: WorkloadRequest): WorkloadRequest {
  return workload;
}
