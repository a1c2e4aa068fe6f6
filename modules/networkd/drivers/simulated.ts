/** A host without interfaces: networks, tunnels and taps are entries of a book. */
import { z } from 'zod';
import { GridError } from '../../../schemas/errors/index.ts';
import { Book, type SimulatedHost } from '../../host/simulation.ts';
import { contains, parseIp, parsePrefix, toIpNet } from '../plan/address.ts';
import { macOf } from '../plan/mac.ts';
import { checkedTapName, networkNames, ROUTER } from '../plan/names.ts';
import type { NetworkPlan } from '../plan/network.ts';
import type { NetworkSpec } from '../plan/spec.ts';
import type {
  InterfaceReport,
  NetIPNet,
  NetworkFabric,
  NetworkHost,
  NetworkItem,
  NetworkTaps,
  NetworkTraffic,
  TapItem,
} from './driver.ts';

/** A range for documentation: nobody can take it for a place to send packets to. */
const NODE_ADDRESS = '192.0.2.2/24';
const ROUTER_ADDRESS = '100.127.0.1/16';
/** Name by which clients know a node's main interface. */
const MAIN = 'zos';
const PRIVATE_IPV6 = parsePrefix('fc00::/7');
const LINK_LOCAL_IPV6 = parsePrefix('fe80::/10');

const address = z.object({ device: z.string(), address: z.string() });

const linkBook = z.object({
  /** By network id. */
  networks: z.record(
    z.string(),
    z.object({ addresses: z.array(address), tunnel: z.string(), owners: z.array(z.string()).default([]) }),
  ),
  /** Bridges by full tap name. */
  taps: z.record(z.string(), z.string()),
  /** Ids of workloads by full tap name. */
  owners: z.record(z.string(), z.string()).default({}),
});

export interface SimulatedLinks {
  readonly fabric: NetworkFabric;
  readonly taps: NetworkTaps;
  readonly host: NetworkHost;
}

/** `path`: file of the book. `identity`: what the node's hardware address is made of. */
export function openSimulatedLinks(path: string, host: SimulatedHost, identity: string): SimulatedLinks {
  const book = Book.open(path, linkBook, () => ({ networks: {}, taps: {}, owners: {} }));
  return {
    fabric: new SimulatedFabric(book, host),
    taps: new SimulatedTaps(book, host),
    host: new SimulatedInterfaces(book, macOf(identity)),
  };
}

type LinkBook = Book<z.infer<typeof linkBook>>;

class SimulatedFabric implements NetworkFabric {
  readonly #book: LinkBook;
  readonly #host: SimulatedHost;

  constructor(book: LinkBook, host: SimulatedHost) {
    this.#book = book;
    this.#host = host;
  }

  isWhole(plan: NetworkPlan): Promise<boolean> {
    return Promise.resolve(this.#book.content.networks[plan.netid]?.tunnel === plan.names.wireguard);
  }

  tunnelLives(plan: NetworkPlan): Promise<boolean> {
    return this.isWhole(plan);
  }

  ensureTunnel(plan: NetworkPlan): Promise<void> {
    return this.ensure(plan);
  }

  async ensure(plan: NetworkPlan): Promise<void> {
    await this.#host.act(`networkd createNetwork ${plan.netid}`);
    const addresses = plan.addresses.map(({ device, address: text }) => ({ device, address: text }));
    this.#book.content.networks[plan.netid] = { addresses, tunnel: plan.names.wireguard, owners: [...plan.owners] };
    this.#book.save();
  }

  async remove(plan: Pick<NetworkPlan, 'netid' | 'names'>): Promise<void> {
    await this.#host.act(`networkd removeNetwork ${plan.netid}`);
    const { networks, taps, owners } = this.#book.content;
    for (const [tap, bridge] of Object.entries(taps)) {
      if (bridge !== plan.names.bridge) continue;
      delete taps[tap];
      delete owners[tap];
    }
    delete networks[plan.netid];
    this.#book.save();
  }

  items(): Promise<NetworkItem[]> {
    const { networks } = this.#book.content;
    return Promise.resolve(Object.entries(networks).map(([netid, { owners }]) => ({ netid, owners, hasBridge: true })));
  }
}

class SimulatedTaps implements NetworkTaps {
  readonly #book: LinkBook;
  readonly #host: SimulatedHost;

  constructor(book: LinkBook, host: SimulatedHost) {
    this.#book = book;
    this.#host = host;
  }

  async ensure(spec: NetworkSpec, name: string): Promise<string> {
    const tap = checkedTapName(name);
    const { bridge } = networkNames(spec.netid);
    const { taps } = this.#book.content;
    const held = taps[tap];
    if (held !== undefined && held !== bridge) throw new GridError('network_tap_taken', { tap, bridge: held });
    if (held !== undefined) return tap;
    await this.#host.act(`networkd createTap ${tap}`);
    taps[tap] = bridge;
    this.#book.save();
    return tap;
  }

  async remove(name: string): Promise<void> {
    const tap = checkedTapName(name);
    if (this.#book.content.taps[tap] === undefined) return;
    await this.#host.act(`networkd removeTap ${tap}`);
    delete this.#book.content.taps[tap];
    delete this.#book.content.owners[tap];
    this.#book.save();
  }

  async claim(name: string, owner: string): Promise<void> {
    const tap = checkedTapName(name);
    const { taps, owners } = this.#book.content;
    if (taps[tap] === undefined || owners[tap] === owner) return;
    owners[tap] = owner;
    this.#book.save();
  }

  items(bridge?: string): Promise<TapItem[]> {
    const { taps, owners } = this.#book.content;
    const all = Object.entries(taps).map(([tap, on]) => ({ tap, bridge: on, owner: owners[tap] ?? '' }));
    return Promise.resolve(bridge === undefined ? all : all.filter((one) => one.bridge === bridge));
  }

  strayGuards(): Promise<string[]> {
    return Promise.resolve([]);
  }

  exists(name: string): Promise<boolean> {
    const tap = checkedTapName(name);
    return Promise.resolve(this.#book.content.taps[tap] !== undefined);
  }

  rebuild(): Promise<void> {
    return Promise.resolve();
  }
}

class SimulatedInterfaces implements NetworkHost {
  readonly #book: LinkBook;
  readonly #mac: string;

  constructor(book: LinkBook, mac: string) {
    this.#book = book;
    this.#mac = mac;
  }

  nameFor(namespace: string): string {
    return namespace;
  }

  addresses(device: string, namespace: string): Promise<{ ips: Uint8Array[]; mac: string }> {
    const found = this.#devices(namespace)?.get(device);
    if (found === undefined) return Promise.reject(unknownDevice(device, namespace));
    return Promise.resolve({ ips: found.addresses.map((text) => parseIp(textOf(text))), mac: found.mac });
  }

  interfaces(device: string, namespace: string): Promise<Map<string, InterfaceReport>> {
    const devices = this.#devices(namespace);
    const names = device === '' ? [...(namespace === '' ? [MAIN] : [])] : [device];
    const reports = new Map<string, InterfaceReport>();
    for (const name of names) {
      const found = devices?.get(name);
      if (found === undefined) return Promise.reject(unknownDevice(name, namespace));
      reports.set(name, { Name: name, IPs: globalOnly(found.addresses), Mac: found.mac });
    }
    if (devices === undefined) return Promise.reject(unknownDevice(device, namespace));
    return Promise.resolve(reports);
  }

  uplinkAddresses(): Promise<NetIPNet[]> {
    return Promise.resolve(globalOnly([NODE_ADDRESS]));
  }

  routerAddresses(): Promise<NetIPNet[]> {
    return Promise.resolve(globalOnly([ROUTER_ADDRESS]));
  }

  traffic(netids: readonly string[]): Promise<Map<string, NetworkTraffic>> {
    const none = { NetRxPackets: 0, NetRxBytes: 0, NetTxPackets: 0, NetTxBytes: 0 };
    const known = netids.filter((netid) => this.#book.content.networks[netid] !== undefined);
    return Promise.resolve(new Map(known.map((netid) => [netid, none])));
  }

  /** Devices of a namespace by name, undefined where there is no such namespace. */
  #devices(namespace: string): Map<string, { addresses: string[]; mac: string }> | undefined {
    if (namespace === '') {
      const bridges = Object.keys(this.#book.content.networks).map((id) => networkNames(id).bridge);
      return new Map([
        [MAIN, { addresses: [NODE_ADDRESS], mac: this.#mac }],
        ...bridges.map((bridge) => [bridge, { addresses: [] as string[], mac: macOf(bridge) }] as const),
      ]);
    }
    if (namespace === ROUTER.namespace) {
      return new Map([[ROUTER.inner, { addresses: [ROUTER_ADDRESS], mac: macOf(ROUTER.inner) }]]);
    }
    const netid = Object.keys(this.#book.content.networks).find((id) => networkNames(id).namespace === namespace);
    if (netid === undefined) return undefined;
    const devices = new Map<string, { addresses: string[]; mac: string }>();
    for (const { device, address: text } of this.#book.content.networks[netid]?.addresses ?? []) {
      const known = devices.get(device) ?? { addresses: [], mac: macOf(device) };
      devices.set(device, { ...known, addresses: [...known.addresses, text] });
    }
    return devices;
  }
}

function textOf(prefix: string): string {
  return prefix.slice(0, prefix.lastIndexOf('/'));
}

function globalOnly(prefixes: readonly string[]): NetIPNet[] {
  return prefixes
    .map((text) => ({ ip: parseIp(textOf(text)), length: Number(text.slice(text.lastIndexOf('/') + 1)) }))
    .filter(({ ip }) => !contains(PRIVATE_IPV6, ip) && !contains(LINK_LOCAL_IPV6, ip))
    .map(toIpNet);
}

function unknownDevice(device: string, namespace: string): GridError {
  return new GridError('network_device_unknown', { device: device.slice(0, 64), namespace: namespace.slice(0, 64) });
}
