/** Everything one network is on the host, computed from what was asked for and its lease. Pure. */
import type { WireguardConfig } from '../../wireguard/index.ts';
import {
  contains,
  formatIp,
  formatPrefix,
  gatewayOf,
  ipv6Of,
  networkOf,
  type Prefix,
  parseIp,
  parsePrefix,
  uplinkIpv6Of,
  wireguardAddressOf,
} from './address.ts';
import { networkRules, type TapGuard } from './firewall.ts';
import { macOf } from './mac.ts';
import { type NetworkNames, networkNames, PUBLIC } from './names.ts';
import type { NetworkSpec } from './spec.ts';

/** Bytes of a packet on the private side, and inside the tunnel. */
export const LINK_MTU = 1500;
export const TUNNEL_MTU = 1420;
const KEEPALIVE_SECONDS = 20;

/** Router's address on the link to the networks. */
export const ROUTER_GATEWAY = { ipv4: '100.127.0.1', ipv6: 'fe80::1' } as const;

interface InsideAddress {
  readonly device: string;
  readonly address: string;
}

interface InsideRoute {
  readonly device: string;
  /** Prefix, or `default`. */
  readonly to: string;
  readonly via?: string;
}

export interface NetworkPlan {
  readonly netid: string;
  /** Ids of the workloads that hold it. */
  readonly owners: readonly string[];
  readonly names: NetworkNames;
  readonly gatewayMac: string;
  readonly addresses: readonly InsideAddress[];
  readonly routes: readonly InsideRoute[];
  /** The namespace's whole nftables text. */
  readonly rules: string;
  readonly wireguard: WireguardConfig;
}

/** `lease`: the network's address on the link to the router, as `100.127.0.2`. */
export function planNetwork(spec: NetworkSpec, lease: string, owners: readonly string[] = []): NetworkPlan {
  const names = networkNames(spec.netid);
  const subnet = parsePrefix(spec.subnet);
  const range = parsePrefix(spec.range);
  const gateway = gatewayOf(subnet);
  const leased = parseIp(lease);
  const routes: InsideRoute[] = [
    { device: PUBLIC, to: 'default', via: ROUTER_GATEWAY.ipv4 },
    { device: PUBLIC, to: 'default', via: ROUTER_GATEWAY.ipv6 },
  ];
  // A range that is no wider than the subnet has nothing beyond this node.
  if (!(contains(subnet, range.ip) && range.length >= subnet.length)) {
    routes.push({ device: names.wireguard, to: formatPrefix(networkOf(range)) });
  }
  return {
    netid: spec.netid,
    owners,
    names,
    gatewayMac: macOf(names.gateway),
    addresses: [
      { device: names.gateway, address: formatPrefix(gateway) },
      { device: names.gateway, address: formatPrefix(ipv6Of(spec.netid, gateway.ip)) },
      { device: names.gateway, address: `${ROUTER_GATEWAY.ipv6}/64` },
      { device: PUBLIC, address: formatPrefix({ ip: leased, length: 16 }) },
      { device: PUBLIC, address: formatPrefix(uplinkIpv6Of(leased)) },
      { device: names.wireguard, address: formatPrefix(wireguardAddressOf(subnet)) },
    ],
    routes,
    rules: networkRules(names.wireguard),
    wireguard: {
      privateKey: spec.privateKey,
      listenPort: spec.listenPort,
      peers: spec.peers.map((peer) => ({
        publicKey: peer.publicKey,
        allowedIps: peer.allowedIps,
        keepaliveSeconds: KEEPALIVE_SECONDS,
        ...(peer.endpoint === undefined ? {} : { endpoint: peer.endpoint }),
      })),
    },
  };
}

/** What the machine behind a private tap may send as. `name` is the tap's name without its prefix. */
export function planTapGuard(spec: NetworkSpec, tap: string, name: string): TapGuard {
  const subnet = parsePrefix(spec.subnet);
  // The third octet of an IPv4 address is the fourth group of its IPv6, so the /48 holds the whole subnet.
  const ipv6 = networkOf({ ip: ipv6Of(spec.netid, subnet.ip).ip, length: 48 });
  return { tap, mac: macOf(name), sources: [machineRange(subnet), formatPrefix(ipv6)] };
}

/** The addresses machines may have: from the one after the gateway to the one before the broadcast address. */
function machineRange(subnet: Prefix): string {
  const first = Uint8Array.from(subnet.ip);
  first[3] = 2;
  const hosts = 2 ** (32 - subnet.length);
  const base = Buffer.from(networkOf(subnet).ip).readUInt32BE();
  const last = Buffer.alloc(4);
  last.writeUInt32BE(base + hosts - 2);
  return Buffer.compare(last, first) <= 0 ? formatIp(first) : `${formatIp(first)}-${formatIp(last)}`;
}
