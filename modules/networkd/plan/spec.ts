/** A network as it was asked for: read from the bus, checked, and kept on disk. */
import { isIP } from 'node:net';
import { z } from 'zod';
import { GridError } from '../../../schemas/errors/index.ts';
import { isKey } from '../../wireguard/index.ts';
import type { Infer } from '../../zbus/wire.ts';
import type { Network } from '../interface.ts';
import {
  contains,
  formatPrefix,
  gatewayOf,
  networkOf,
  overlaps,
  type Prefix,
  parsePrefix,
  prefixOf,
} from './address.ts';
import { isNetworkId } from './ids.ts';

const MAX_PEERS = 1024;
const MAX_ALLOWED_IPS = 64;

const peerSpec = z.object({
  publicKey: z.string(),
  /** `address:port`; absent for peers that call us. */
  endpoint: z.string().optional(),
  allowedIps: z.array(z.string()),
});

/** Prefixes are text as `10.20.2.0/24`; the private key is base64 and stays in files of mode 0600. */
export const networkSpec = z.object({
  netid: z.string(),
  range: z.string(),
  subnet: z.string(),
  privateKey: z.string(),
  listenPort: z.int(),
  peers: z.array(peerSpec),
});

export type NetworkSpec = z.infer<typeof networkSpec>;

/** The link between networks and router, and the WireGuard mesh: no network may have its subnet there. */
const UPLINK_RANGE = parsePrefix('100.127.0.0/16');
const MESH_RANGE = parsePrefix('100.64.0.0/16');

function invalid(field: string, reason: string): GridError {
  return new GridError('network_invalid', { field, reason });
}

/** Throws `network_invalid` where a text cannot be a network id. */
export function checkNetworkId(netid: string): string {
  if (!isNetworkId(netid)) throw invalid('network id', 'must be 1 to 13 base58 characters');
  return netid;
}

/** The checked form of a request; throws `network_invalid` with the field that is wrong. No key is ever repeated. */
export function specFrom(network: Infer<typeof Network>): NetworkSpec {
  const netid = checkNetworkId(network.NetID);
  const range = ipv4Prefix('NetworkIPRange', network.NetworkIPRange);
  const subnet = ipv4Prefix('Subnet', network.Subnet);
  if (subnet.length > 30) throw invalid('Subnet', `must be /30 or wider to hold a machine, not /${subnet.length}`);
  if (!contains(subnet, gatewayOf(subnet).ip)) {
    throw invalid('Subnet', `must hold its gateway: ${formatPrefix(subnet)} has no address that ends in .1`);
  }
  for (const taken of [UPLINK_RANGE, MESH_RANGE]) {
    if (overlaps(subnet, taken)) {
      throw invalid('Subnet', `${formatPrefix(subnet)} overlaps ${formatPrefix(taken)}, which the node uses itself`);
    }
  }
  if (overlaps(range, UPLINK_RANGE)) {
    throw invalid('NetworkIPRange', `${formatPrefix(range)} overlaps ${formatPrefix(UPLINK_RANGE)}, the node's own`);
  }
  if (!isKey(network.WGPrivateKey)) throw invalid('WGPrivateKey', 'must be the base64 of 32 bytes');
  if (network.Peers.length > MAX_PEERS) {
    throw invalid('Peers', `has ${network.Peers.length} entries; ${MAX_PEERS} are the limit`);
  }
  const peers = network.Peers.map(peerFrom);
  const seen = new Set<string>();
  for (const [at, peer] of peers.entries()) {
    if (seen.has(peer.publicKey)) throw invalid(`Peers[${at}].WGPublicKey`, 'is the key of an earlier peer');
    seen.add(peer.publicKey);
  }
  return {
    netid,
    range: formatPrefix(networkOf(range)),
    subnet: formatPrefix(networkOf(subnet)),
    privateKey: network.WGPrivateKey,
    listenPort: network.WGListenPort,
    peers,
  };
}

type PeerArgument = Infer<typeof Network>['Peers'][number];

function peerFrom(peer: PeerArgument, at: number): z.infer<typeof peerSpec> {
  if (!isKey(peer.WGPublicKey)) throw invalid(`Peers[${at}].WGPublicKey`, 'must be the base64 of 32 bytes');
  if (peer.AllowedIPs.length > MAX_ALLOWED_IPS) {
    throw invalid(`Peers[${at}].AllowedIPs`, `has ${peer.AllowedIPs.length} entries; ${MAX_ALLOWED_IPS} are the limit`);
  }
  const allowedIps = peer.AllowedIPs.map((net, index) => {
    const prefix = prefixOf(net);
    if (prefix === undefined) throw invalid(`Peers[${at}].AllowedIPs[${index}]`, 'is no address with mask');
    return formatPrefix(networkOf(prefix));
  });
  const endpoint = endpointOf(peer.Endpoint);
  return { publicKey: peer.WGPublicKey, allowedIps, ...(endpoint === undefined ? {} : { endpoint }) };
}

function ipv4Prefix(field: string, net: { IP: Uint8Array | null; Mask: Uint8Array | null }): Prefix {
  const prefix = prefixOf(net);
  if (prefix === undefined || prefix.ip.length !== 4) throw invalid(field, 'must be an IPv4 address with its mask');
  if (prefix.length < 8) throw invalid(field, `must be /8 or narrower, not /${prefix.length}`);
  return prefix;
}

/** Only `address:port` is an endpoint; a host name counts as none, as on existing nodes. */
function endpointOf(text: string): string | undefined {
  const found = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  if (found === null) return undefined;
  const [, six, four, port] = found;
  const isAddress = six === undefined ? isIP(four ?? '') === 4 : isIP(six) === 6;
  return isAddress && Number(port) >= 1 && Number(port) <= 65535 ? text : undefined;
}
