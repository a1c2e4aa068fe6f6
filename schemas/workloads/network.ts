/** network: one node's part of a private network, with its WireGuard peers. */
import type { z } from 'zod';
import { NOTHING } from '../capacity.ts';
import { GridError } from '../errors/index.ts';
import { described, list, optional, pointer, struct } from '../gojson/codec.ts';
import { cidr, hex, text, uint16 } from '../gojson/values.ts';
import { type AddPiece, applied, defineWorkload, printed } from './type.ts';

const MYCELIUM_KEY_BYTES = 32;

export const Peer = struct(
  'zos.Peer',
  {
    subnet: described(cidr, "the peer's part of the network"),
    wireguard_public_key: described(text, "the peer's public key, base64"),
    allowed_ips: described(list(cidr), 'at least one; where traffic of the peer may come from and go to'),
    endpoint: optional(described(text, '`address:port`; empty for a hidden peer')),
  },
  'Another node, or a person, of the same network.',
);
export type Peer = z.output<typeof Peer>;

export const Mycelium = struct(
  'zos.Mycelium',
  {
    hex_key: described(hex, 'private key of the Mycelium daemon, 32 bytes', { pattern: '^[0-9a-fA-F]{64}$' }),
    peers: described(list(text), 'must be empty', { maxItems: 0 }),
  },
  "A network's own Mycelium daemon.",
);
export type Mycelium = z.output<typeof Mycelium>;

export const Network = struct(
  'zos.Network',
  {
    ip_range: described(cidr, "the whole network's range, /16 by convention", { minLength: 1 }),
    subnet: described(cidr, "this node's part, /24 by convention", { minLength: 1 }),
    wireguard_private_key: described(text, "this node's private key, base64", { minLength: 1 }),
    wireguard_listen_port: optional(described(uint16, 'UDP port on the node')),
    peers: described(list(Peer), 'everyone else of the network'),
    mycelium: described(pointer(Mycelium), 'left out: no Mycelium in this network'),
  },
  "One node's part of a private network.",
);
export type Network = z.output<typeof Network>;

export const network = defineWorkload({
  name: 'network',
  summary: "one node's part of a private network, with its WireGuard peers",
  goType: '*zos.Network',
  data: Network,
  result: undefined,
  change: applied,
  pausable: false,
  validate: (data, { workload }) => {
    const where = { workload: workload.name };
    if (data.ip_range === '') throw new GridError('network_range_missing', where);
    if (data.subnet === '') throw new GridError('network_subnet_missing', where);
    if (data.wireguard_private_key === '') throw new GridError('network_private_key_missing', where);
    for (const [peer, { subnet, allowed_ips, wireguard_public_key }] of data.peers.entries()) {
      if (subnet === '') throw new GridError('network_peer_subnet_missing', { ...where, peer });
      if (allowed_ips.length === 0) throw new GridError('network_peer_allowed_ips_missing', { ...where, peer });
      if (wireguard_public_key === '') throw new GridError('network_peer_public_key_missing', { ...where, peer });
    }
    if (data.mycelium !== undefined) validateMycelium(data.mycelium, workload.name);
  },
  needs: () => NOTHING,
  challenge: (data, add) => {
    addWireguard(data, add);
    if (data.mycelium !== undefined) addMycelium(data.mycelium, add);
  },
  references: () => [],
});

export function validateMycelium({ hex_key, peers }: Mycelium, workload: string): void {
  const bytes = hex_key.length / 2;
  if (bytes !== MYCELIUM_KEY_BYTES) {
    throw new GridError('mycelium_key_length', { workload, bytes, expected: MYCELIUM_KEY_BYTES });
  }
  if (peers.length > 0) throw new GridError('mycelium_peers_unsupported', { workload, peers: peers.length });
}

export function addWireguard(data: Omit<Network, 'mycelium'>, add: AddPiece): void {
  add('ip_range', printed(data.ip_range));
  add('subnet', printed(data.subnet));
  add('wireguard_private_key', data.wireguard_private_key);
  add('wireguard_listen_port', data.wireguard_listen_port);
  for (const [i, peer] of data.peers.entries()) {
    add('peers[].wireguard_public_key', peer.wireguard_public_key, i);
    add('peers[].endpoint', peer.endpoint, i);
    add('peers[].subnet', printed(peer.subnet), i);
    for (const [j, allowed] of peer.allowed_ips.entries()) add('peers[].allowed_ips[]', printed(allowed), i, j);
  }
}

export function addMycelium({ hex_key, peers }: Mycelium, add: AddPiece): void {
  add('mycelium.hex_key', hex_key);
  for (const [i, peer] of peers.entries()) add('mycelium.peers[]', peer, i);
}
