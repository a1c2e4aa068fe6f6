/** The host as networkd uses it. The kernel's and the simulated one stand behind the same service. */
import type { Infer } from '../../zbus/wire.ts';
import type { NetResourceMetrics } from '../interface.ts';
import type { toIpNet } from '../plan/address.ts';
import type { NetworkPlan } from '../plan/network.ts';
import type { NetworkSpec } from '../plan/spec.ts';

export type NetIPNet = ReturnType<typeof toIpNet>;
export type NetworkTraffic = Infer<typeof NetResourceMetrics> extends Map<string, infer M> ? M : never;

export interface InterfaceReport {
  readonly Name: string;
  readonly IPs: NetIPNet[];
  readonly Mac: string;
}

/** A private tap that is there, whoever made it. */
export interface TapItem {
  /** Full name. */
  readonly tap: string;
  /** Bridge that it is on; empty for none. */
  readonly bridge: string;
  /** Id of the workload it was made for; empty where nobody said. */
  readonly owner: string;
}

/** What is there of a network, whole or not. */
export interface NetworkItem {
  readonly netid: string;
  /** Ids of the workloads that held it when it was made or changed last, as the host tells. */
  readonly owners: readonly string[];
  /** Machines may be on it. */
  readonly hasBridge: boolean;
}

/** Networks as planned: namespace, bridge, tunnel. */
export interface NetworkFabric {
  /** Whether namespace, links and tunnel of a network are all there; looks, changes nothing. */
  isWhole(plan: NetworkPlan): Promise<boolean>;
  /** Whether the tunnel can be at work; asked often. */
  tunnelLives(plan: NetworkPlan): Promise<boolean>;
  /** Makes a dead tunnel again, and touches nothing else. */
  ensureTunnel(plan: NetworkPlan): Promise<void>;
  /** Makes the network as planned. Safe to run again, and after a crash at any point of an earlier run. */
  ensure(plan: NetworkPlan): Promise<void>;
  /** Takes the network away with its taps; what is missing is passed over. The names can be used again at once. */
  remove(plan: Pick<NetworkPlan, 'netid' | 'names'>): Promise<void>;
  /** Every network that has any part here. */
  items(): Promise<NetworkItem[]>;
}

/** Private taps, by their names without prefix. */
export interface NetworkTaps {
  /** Makes a tap on the network's bridge and lets it send. Resolves with its full name; an existing one is kept. */
  ensure(spec: NetworkSpec, name: string): Promise<string>;
  /** Removes a tap; a missing one is success. */
  remove(name: string): Promise<void>;
  exists(name: string): Promise<boolean>;
  /** What may be sent follows these networks: at start, and when networks have changed or gone. */
  rebuild(specs: readonly NetworkSpec[]): Promise<void>;
  /** Writes on a tap, by its name without prefix, for which workload it is; does nothing where there is none. */
  claim(name: string, owner: string): Promise<void>;
  /** All private taps, or those on a bridge. */
  items(bridge?: string): Promise<TapItem[]>;
  /** Full names of taps that may send and are not there. */
  strayGuards(): Promise<string[]>;
}

/** The node's own interfaces, and what the host says of those in namespaces. */
export interface NetworkHost {
  /** The name under which the host knows a namespace of this node. */
  nameFor(namespace: string): string;
  /** All addresses of an interface, and its hardware address. An empty namespace is the node's own. */
  addresses(device: string, namespace: string): Promise<{ ips: Uint8Array[]; mac: string }>;
  /** Interfaces with their global addresses; an empty name gives the physical ones and `zos`. */
  interfaces(device: string, namespace: string): Promise<Map<string, InterfaceReport>>;
  /** Global addresses of the device that leads outside. */
  uplinkAddresses(): Promise<NetIPNet[]>;
  /** Global addresses of the router between the networks and the host. */
  routerAddresses(): Promise<NetIPNet[]>;
  /** Traffic of each network with the router, seen from the network, by network id. */
  traffic(netids: readonly string[]): Promise<ReadonlyMap<string, NetworkTraffic>>;
}
