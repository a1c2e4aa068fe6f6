/**
 * Decides whether a whole deployment fits the node, and where everything goes.
 * Pure and all or nothing: either every workload has its place and there is a
 * reservation, or there is the complete list of reasons and nothing happened.
 */
import { MINIMUM_FORMATTED_BYTES } from '../../schemas/capacity.ts';
import type { ErrorDetails } from '../../schemas/errors/index.ts';
import { parseIPv4, parsePrefix, prefixContains, prefixEdges } from './address.ts';
import {
  type Capacity,
  countCapacity,
  type NetworkClaim,
  type PlacedAllocation,
  type Reservation,
  type ReservedWorkload,
  roomiest,
  type Snapshot,
} from './capacity.ts';
import type { DeploymentRequest, WorkloadRequest } from './request.ts';

export type RefusalCode =
  | 'capacity_memory'
  | 'capacity_disk'
  | 'capacity_single_disk'
  | 'capacity_cpu'
  | 'capacity_machine_cpu'
  | 'capacity_public_ip'
  | 'workload_unsupported'
  | 'feature_unsupported'
  | 'network_name_taken'
  | 'network_missing'
  | 'address_outside_subnet'
  | 'address_reserved'
  | 'address_taken'
  | 'wireguard_port_taken'
  | 'mount_missing'
  | 'mount_kind'
  | 'mount_twice'
  | 'mount_too_small';

/** A reason as data; its sentence is made by the error table. */
export type Refusal = { [C in RefusalCode]: { readonly code: C; readonly details: ErrorDetails<C> } }[RefusalCode];

/** What the node can do, beside how much of it is left. */
export interface NodeAbilities {
  readonly types: ReadonlySet<string>;
  readonly features: ReadonlySet<string>;
  /** WireGuard ports taken on the host, by whomever. */
  readonly wireguardPorts: ReadonlySet<number>;
  /** Public addresses that the contract reserves. */
  readonly contractPublicIps: number;
}

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

const MOUNTABLE = new Set(['zmount', 'volume', 'qsfs']);

/** Plans `request` against `snapshot`, which must not hold a reservation of the same contract. */
export function planDeployment(request: DeploymentRequest, snapshot: Snapshot, abilities: NodeAbilities): Plan {
  const capacity = countCapacity(snapshot);
  const placement = placeAllocations(request, capacity);
  const refusals = [
    ...checkAbilities(request, abilities),
    ...checkCompute(request, snapshot, capacity),
    ...placement.refusals,
    ...checkPublicIps(request, abilities),
    ...checkNetworks(request, snapshot, abilities),
    ...checkAddresses(request, snapshot),
    ...checkMounts(request),
  ];
  if (refusals.length > 0) return { fits: false, refusals };
  return {
    fits: true,
    steps: orderWorkloads(request),
    reservation: {
      twin: request.twin,
      contract: request.contract,
      workloads: request.workloads.map((workload) => reserve(workload, placement.placed.get(workload.name) ?? [])),
    },
  };
}

export function reserve(workload: WorkloadRequest, allocations: readonly PlacedAllocation[]): ReservedWorkload {
  return {
    name: workload.name,
    type: workload.type,
    state: 'pending',
    vcpus: workload.vcpus,
    memoryBytes: workload.memoryBytes,
    publicIps: workload.publicIps,
    allocations,
    ...(workload.network === undefined ? {} : { network: workload.network }),
    ...(workload.address === undefined ? {} : { address: workload.address }),
  };
}

export function* checkAbilities(request: DeploymentRequest, abilities: NodeAbilities): Generator<Refusal> {
  for (const workload of request.workloads) {
    if (!abilities.types.has(workload.type)) {
      const supported = [...abilities.types].sort();
      yield { code: 'workload_unsupported', details: { workload: workload.name, type: workload.type, supported } };
    }
    for (const feature of workload.features) {
      if (abilities.features.has(feature)) continue;
      yield { code: 'feature_unsupported', details: { workload: workload.name, feature } };
    }
  }
}

export function* checkCompute(request: DeploymentRequest, snapshot: Snapshot, capacity: Capacity): Generator<Refusal> {
  for (const workload of request.workloads) {
    if (workload.vcpus <= snapshot.cpus) continue;
    yield {
      code: 'capacity_machine_cpu',
      details: { workload: workload.name, requested: workload.vcpus, cores: snapshot.cpus },
    };
  }
  const vcpus = total(request, (workload) => workload.vcpus);
  if (vcpus > capacity.vcpus.free) {
    const { committed, pending, free } = capacity.vcpus;
    const { cpus, policy } = snapshot;
    yield {
      code: 'capacity_cpu',
      details: {
        requested: vcpus,
        available: free,
        cores: cpus,
        overcommit: policy.cpuOvercommit,
        committed,
        pending,
      },
    };
  }
  const memory = total(request, (workload) => workload.memoryBytes);
  if (memory > capacity.memory.free) {
    const { deficit: _, free, ...rest } = capacity.memory;
    yield { code: 'capacity_memory', details: { requested: memory, available: free, ...rest } };
  }
}

interface Placement {
  readonly placed: ReadonlyMap<string, readonly PlacedAllocation[]>;
  readonly refusals: readonly Refusal[];
}

/**
 * Puts every allocation into the pool with the most room, largest first: the
 * order in which the engine asks storaged, and storaged's own choice of pool.
 */
export function placeAllocations(request: DeploymentRequest, capacity: Capacity): Placement {
  const pools = capacity.pools.map((pool) => ({ ...pool }));
  const wanted = allocationOrder(request);
  const placed = new Map<string, PlacedAllocation[]>();
  const refusals: Refusal[] = [];
  for (const { workload, allocation } of wanted) {
    const best = roomiest(pools, allocation.media);
    const pool = pools.find((one) => one.name === best.name);
    if (pool === undefined || allocation.bytes > best.free) {
      const { media, bytes } = allocation;
      refusals.push({
        code: 'capacity_single_disk',
        details: { workload, media, requested: bytes, largest: best.free, pool: best.name },
      });
      continue;
    }
    pool.free -= allocation.bytes;
    placed.set(workload, [...(placed.get(workload) ?? []), { ...allocation, pool: pool.name }]);
  }
  for (const media of ['ssd', 'hdd'] as const) {
    const requested = sum(wanted.filter((one) => one.allocation.media === media).map((one) => one.allocation.bytes));
    const { deficit: _, free, ...rest } = capacity[media];
    if (requested <= free) continue;
    refusals.unshift({ code: 'capacity_disk', details: { media, requested, available: free, ...rest } });
  }
  return { placed, refusals };
}

/** Every allocation of a deployment in the order the engine makes them: largest first, then by name. */
export function allocationOrder(request: DeploymentRequest): Array<{
  readonly workload: string;
  readonly allocation: WorkloadRequest['allocations'][number];
}> {
  return request.workloads
    .flatMap((workload) => workload.allocations.map((allocation) => ({ workload: workload.name, allocation })))
    .sort(
      (a, b) => b.allocation.bytes - a.allocation.bytes || (a.allocation.resource < b.allocation.resource ? -1 : 1),
    );
}

export function* checkPublicIps(request: DeploymentRequest, abilities: NodeAbilities): Generator<Refusal> {
  const requested = total(request, (workload) => workload.publicIps);
  const reserved = abilities.contractPublicIps;
  if (requested > reserved) yield { code: 'capacity_public_ip', details: { requested, reserved } };
}

export function* checkNetworks(
  request: DeploymentRequest,
  snapshot: Snapshot,
  abilities: NodeAbilities,
): Generator<Refusal> {
  const ports = new Set(abilities.wireguardPorts);
  for (const { network } of heldWorkloads(snapshot)) {
    if (network !== undefined && network.wireguardPort !== 0) ports.add(network.wireguardPort);
  }
  for (const workload of request.workloads) {
    const network = workload.network;
    if (network === undefined) continue;
    const [holder] = networkHolders(snapshot, request.twin, network.name);
    if (holder !== undefined) {
      yield { code: 'network_name_taken', details: { network: network.name, contract: holder.contract.toString() } };
    }
    if (network.wireguardPort === 0) continue;
    if (ports.has(network.wireguardPort)) {
      yield { code: 'wireguard_port_taken', details: { workload: workload.name, port: network.wireguardPort } };
    }
    ports.add(network.wireguardPort);
  }
}

export function* checkAddresses(request: DeploymentRequest, snapshot: Snapshot): Generator<Refusal> {
  const taken = new Map<string, string>();
  for (const reservation of snapshot.reservations) {
    if (reservation.twin !== request.twin) continue;
    for (const { name, address } of reservation.workloads) {
      if (address === undefined) continue;
      taken.set(`${address.network} ${address.ip}`, `${reservation.contract}/${name}`);
    }
  }
  for (const workload of request.workloads) {
    if (workload.address === undefined) continue;
    const { network: networkName, ip } = workload.address;
    const own = request.workloads.find((one) => one.network?.name === networkName)?.network;
    // One that is being changed has two: which will be in force is not known yet.
    const networks =
      own === undefined ? networkHolders(snapshot, request.twin, networkName).map((one) => one.network) : [own];
    if (networks.length === 0) {
      yield { code: 'network_missing', details: { workload: workload.name, network: networkName } };
      continue;
    }
    const subnets = new Map(networks.map((network) => [network.subnet, network]));
    for (const network of subnets.values()) yield* checkAddress(workload.name, ip, network);
    const key = `${networkName} ${ip}`;
    const holder = taken.get(key);
    if (holder !== undefined) {
      yield { code: 'address_taken', details: { workload: workload.name, address: ip, network: networkName, holder } };
    }
    taken.set(key, workload.name);
  }
}

export function* checkAddress(workload: string, ip: string, network: NetworkClaim): Generator<Refusal> {
  const subnet = parsePrefix(network.subnet);
  const address = parseIPv4(ip);
  if (subnet === undefined || address === undefined || !prefixContains(subnet, address)) {
    yield { code: 'address_outside_subnet', details: { workload, address: ip, subnet: network.subnet } };
    return;
  }
  const { first, last } = prefixEdges(subnet);
  if ((address & 0xff) === 1) {
    yield { code: 'address_reserved', details: { workload, address: ip, reason: 'the gateway has it' } };
  } else if (subnet.bits < 31 && (address === first || address === last)) {
    const reason = 'first and last address of the subnet';
    yield { code: 'address_reserved', details: { workload, address: ip, reason } };
  }
}

export function* checkMounts(request: DeploymentRequest): Generator<Refusal> {
  const disks = new Map<string, string>();
  for (const workload of request.workloads) {
    for (const mount of workload.mounts) {
      const target = request.workloads.find((one) => one.name === mount);
      if (target === undefined) {
        yield { code: 'mount_missing', details: { workload: workload.name, mount } };
        continue;
      }
      if (!MOUNTABLE.has(target.type)) {
        yield { code: 'mount_kind', details: { workload: workload.name, mount, type: target.type } };
      }
      if (target.type !== 'zmount') continue;
      const holder = disks.get(mount);
      const requested = sum(target.allocations.map((allocation) => allocation.bytes));
      if (holder === undefined && requested < MINIMUM_FORMATTED_BYTES) {
        const minimum = MINIMUM_FORMATTED_BYTES;
        yield { code: 'mount_too_small', details: { workload: workload.name, mount, requested, minimum } };
      }
      if (holder !== undefined) {
        yield { code: 'mount_twice', details: { workload: workload.name, mount, holder } };
      }
      disks.set(mount, workload.name);
    }
  }
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

function networkHolders(
  snapshot: Snapshot,
  twin: number,
  name: string,
): ReadonlyArray<{ readonly contract: bigint; readonly network: NetworkClaim }> {
  return snapshot.reservations
    .filter((one) => one.twin === twin)
    .flatMap(({ contract, workloads }) =>
      workloads.flatMap(({ network }) => (network?.name === name ? [{ contract, network }] : [])),
    );
}

function heldWorkloads(snapshot: Snapshot): ReservedWorkload[] {
  return snapshot.reservations.flatMap((reservation) => reservation.workloads);
}

function total(request: DeploymentRequest, of: (workload: WorkloadRequest) => number): number {
  return sum(request.workloads.map(of));
}

function sum(values: readonly number[]): number {
  return values.reduce((left, right) => left + right, 0);
}
