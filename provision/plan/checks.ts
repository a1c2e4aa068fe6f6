/** What speaks against a deployment or an update: one generator a rule, each reason as data. */
import { MINIMUM_FORMATTED_BYTES } from '../../schemas/capacity.ts';
import type { ErrorDetails } from '../../schemas/errors/index.ts';
import { parseIPv4, parsePrefix, prefixContains, prefixEdges } from './address.ts';
import type { Capacity, NetworkClaim, Reservation, Snapshot } from './capacity.ts';
import type { Ask, DeploymentAsk } from './request.ts';

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

const MOUNTABLE = new Set(['zmount', 'volume', 'qsfs']);

export function* checkAbilities({ asks }: DeploymentAsk, abilities: NodeAbilities): Generator<Refusal> {
  for (const { wanted } of asks) {
    if (!abilities.types.has(wanted.type)) {
      const supported = [...abilities.types].sort();
      yield { code: 'workload_unsupported', details: { workload: wanted.name, type: wanted.type, supported } };
    }
    for (const feature of wanted.features) {
      if (abilities.features.has(feature)) continue;
      yield { code: 'feature_unsupported', details: { workload: wanted.name, feature } };
    }
  }
}

/** What is asked for beyond what is held, against what is free. */
export function* checkCompute({ asks }: DeploymentAsk, snapshot: Snapshot, capacity: Capacity): Generator<Refusal> {
  for (const { wanted } of asks) {
    if (wanted.vcpus <= snapshot.cpus) continue;
    yield {
      code: 'capacity_machine_cpu',
      details: { workload: wanted.name, requested: wanted.vcpus, cores: snapshot.cpus },
    };
  }
  const vcpus = more(asks, (one) => one.vcpus);
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
  const memory = more(asks, (one) => one.memoryBytes);
  if (memory > capacity.memory.free) {
    const { deficit: _, free, ...rest } = capacity.memory;
    yield { code: 'capacity_memory', details: { requested: memory, available: free, ...rest } };
  }
}

/** The contract reserves addresses for the whole deployment. */
export function* checkPublicIps({ whole }: DeploymentAsk, abilities: NodeAbilities): Generator<Refusal> {
  const requested = sum(whole.map((workload) => workload.publicIps));
  const reserved = abilities.contractPublicIps;
  if (requested > reserved) yield { code: 'capacity_public_ip', details: { requested, reserved } };
}

export function* checkNetworks(ask: DeploymentAsk, snapshot: Snapshot, abilities: NodeAbilities): Generator<Refusal> {
  const ports = takenPorts(ask, snapshot, abilities);
  for (const { wanted } of ask.asks) {
    const { network } = wanted;
    if (network === undefined) continue;
    const holder = networkHolder(snapshot, ask, network.name);
    if (holder !== undefined) {
      yield { code: 'network_name_taken', details: { network: network.name, contract: holder.contract.toString() } };
    }
    if (network.wireguardPort === 0) continue;
    if (ports.has(network.wireguardPort)) {
      yield { code: 'wireguard_port_taken', details: { workload: wanted.name, port: network.wireguardPort } };
    }
    ports.add(network.wireguardPort);
  }
}

/** Ports of the host and of all networks, but those that this update gives up or takes again. */
function takenPorts(ask: DeploymentAsk, snapshot: Snapshot, abilities: NodeAbilities): Set<number> {
  const ports = new Set(abilities.wireguardPorts);
  const own = new Set<number>();
  for (const reservation of snapshot.reservations) {
    for (const { name, network } of reservation.workloads) {
      if (network === undefined || network.wireguardPort === 0) continue;
      if (isOf(reservation, ask) && ask.leaves(name)) own.add(network.wireguardPort);
      else ports.add(network.wireguardPort);
    }
  }
  for (const port of own) ports.delete(port);
  return ports;
}

export function* checkAddresses(ask: DeploymentAsk, snapshot: Snapshot): Generator<Refusal> {
  const taken = new Map<string, string>();
  for (const reservation of snapshot.reservations) {
    if (reservation.twin !== ask.twin) continue;
    for (const { name, address } of reservation.workloads) {
      if (address === undefined || (isOf(reservation, ask) && ask.leaves(name))) continue;
      taken.set(`${address.network} ${address.ip}`, `${reservation.contract}/${name}`);
    }
  }
  for (const { wanted } of ask.asks) {
    if (wanted.address === undefined) continue;
    const { network: networkName, ip } = wanted.address;
    const network =
      ask.whole.find((one) => one.network?.name === networkName)?.network ??
      networkHolder(snapshot, ask, networkName)?.network;
    if (network === undefined) {
      yield { code: 'network_missing', details: { workload: wanted.name, network: networkName } };
      continue;
    }
    yield* checkAddress(wanted.name, ip, network);
    const key = `${networkName} ${ip}`;
    const holder = taken.get(key);
    if (holder !== undefined) {
      yield { code: 'address_taken', details: { workload: wanted.name, address: ip, network: networkName, holder } };
    }
    taken.set(key, wanted.name);
  }
}

function* checkAddress(workload: string, ip: string, network: NetworkClaim): Generator<Refusal> {
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

export function* checkMounts({ whole }: DeploymentAsk): Generator<Refusal> {
  const disks = new Map<string, string>();
  for (const workload of whole) {
    for (const mount of workload.mounts) {
      const target = whole.find((one) => one.name === mount);
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

/** The network of that name that another deployment of the twin holds. */
function networkHolder(
  snapshot: Snapshot,
  ask: DeploymentAsk,
  name: string,
): { readonly contract: bigint; readonly network: NetworkClaim } | undefined {
  for (const reservation of snapshot.reservations) {
    if (reservation.twin !== ask.twin || isOf(reservation, ask)) continue;
    for (const { network } of reservation.workloads) {
      if (network?.name === name) return { contract: reservation.contract, network };
    }
  }
  return undefined;
}

function isOf(reservation: Reservation, ask: DeploymentAsk): boolean {
  return reservation.twin === ask.twin && reservation.contract === ask.contract;
}

function more(asks: readonly Ask[], of: (one: { readonly vcpus: number; readonly memoryBytes: number }) => number) {
  return sum(asks.map((ask) => Math.max(0, of(ask.wanted) - (ask.held === undefined ? 0 : of(ask.held)))));
}

function sum(values: readonly number[]): number {
  return values.reduce((left, right) => left + right, 0);
}
