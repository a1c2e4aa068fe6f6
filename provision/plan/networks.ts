/** Names, WireGuard ports and private addresses, also beside the twin's other deployments. */

import type { NodeAbilities } from './abilities.ts';
import { parseIPv4, parsePrefix, prefixContains, prefixEdges } from './address.ts';
import type { Holdings } from './holdings.ts';
import type { Refusal } from './refusal.ts';
import type { DeploymentRequest, WorkloadRequest } from './request.ts';

/** A twin has one network of a name, and the host one of a port. */
export function* checkNetworks(
  { twin, workloads }: DeploymentRequest,
  holdings: Holdings,
  { wireguardPorts }: NodeAbilities,
): Generator<Refusal> {
  const asked = new Set<number>();
  for (const { name: workload, network } of workloads) {
    if (network === undefined) continue;
    const [holder] = holdings.networks(twin, network.name);
    if (holder !== undefined) {
      const contract = holder.contract.toString();
      yield { code: 'network_name_taken', details: { network: network.name, contract } };
    }
    const { wireguardPort: port } = network;
    if (port === 0) continue;
    if (wireguardPorts.has(port) || holdings.ports(port).length > 0 || asked.has(port)) {
      yield { code: 'wireguard_port_taken', details: { workload, port } };
    }
    asked.add(port);
  }
}

/** Each machine is on a network that is there or comes, and stays, with an address that nobody else has. */
export function* checkAddresses({ twin, workloads }: DeploymentRequest, holdings: Holdings): Generator<Refusal> {
  const asked = new Map<string, string>();
  for (const { name: workload, address } of workloads) {
    if (address === undefined) continue;
    const { network, ip } = address;
    const own = workloads.find((one) => one.network?.name === network)?.network;
    const others = own === undefined ? holdings.networks(twin, network) : [];
    const staying = own === undefined ? others.filter((one) => !one.isLeaving).map((one) => one.network) : [own];
    if (staying.length === 0) {
      const [leaving] = others;
      if (leaving === undefined) yield { code: 'network_missing', details: { workload, network } };
      else yield { code: 'network_leaving', details: { workload, network, contract: leaving.contract.toString() } };
      continue;
    }
    // One that is being changed has two subnets: which will be in force is not known yet.
    for (const subnet of new Set(staying.map((one) => one.subnet))) yield* checkAddress(workload, ip, subnet);
    const key = `${network} ${ip}`;
    const held = holdings.address(twin, network, ip);
    const holder = asked.get(key) ?? (held === undefined ? undefined : `${held.contract}/${held.workload}`);
    if (holder !== undefined) yield { code: 'address_taken', details: { workload, address: ip, network, holder } };
    asked.set(key, workload);
  }
}

/** Machines of the twin's other deployments stay in the subnet of a network that changes. */
export function* checkNeighbours(
  { twin, contract }: DeploymentRequest,
  changed: readonly WorkloadRequest[],
  holdings: Holdings,
): Generator<Refusal> {
  for (const { network } of changed) {
    if (network === undefined) continue;
    for (const { address, workload, contract: other } of holdings.machines(twin, network.name)) {
      if (other !== contract) yield* checkAddress(`${other}/${workload}`, address.ip, network.subnet);
    }
  }
}

function* checkAddress(workload: string, ip: string, text: string): Generator<Refusal> {
  const subnet = parsePrefix(text);
  const address = parseIPv4(ip);
  if (subnet === undefined || address === undefined || !prefixContains(subnet, address)) {
    yield { code: 'address_outside_subnet', details: { workload, address: ip, subnet: text } };
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
