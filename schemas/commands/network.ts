/** zos.network.* and zos.admin.*: the node's addresses, ports and network cards. */
import { described, list, map, struct } from '../gojson/codec.ts';
import { bool, cidr, ip, text, uint16 } from '../gojson/values.ts';
import { defineCommand, nothing } from './command.ts';

export const networkInterfaces = defineCommand({
  name: 'zos.network.interfaces',
  summary: "Addresses of the node's own interfaces by name.",
  caller: 'any',
  input: nothing,
  output: map(described(list(text), 'addresses without prefix length')),
});

export const networkWireguardPorts = defineCommand({
  name: 'zos.network.list_wg_ports',
  summary:
    'UDP ports that no network can listen on: those of WireGuard interfaces on this node, and those it keeps for other uses.',
  caller: 'any',
  input: nothing,
  output: described(list(uint16), 'UDP ports that are taken or kept'),
});

export const PublicConfig = struct(
  'pkg.PublicConfig',
  {
    type: described(text, '`vlan`, `macvlan` or empty; full nodes leave it empty'),
    ipv4: described(cidr, 'public IPv4 address of the node with prefix length'),
    ipv6: described(cidr, 'public IPv6 address of the node with prefix length'),
    gw4: described(ip, 'gateway of the IPv4 address'),
    gw6: described(ip, 'gateway of the IPv6 address'),
    domain: described(text, 'domain under which the node offers name gateways'),
  },
  "A node's public addresses.",
);

export const networkPublicConfig = defineCommand({
  name: 'zos.network.public_config_get',
  summary: "The node's public configuration; without one an error, which clients take as none.",
  caller: 'any',
  input: nothing,
  output: PublicConfig,
  errors: ['network_no_public_config'],
});

export const networkHasIpv6 = defineCommand({
  name: 'zos.network.has_ipv6',
  summary: 'Whether the node has a public IPv6 address; without one an error, as clients of full nodes expect.',
  caller: 'any',
  input: nothing,
  output: bool,
  errors: ['network_no_public_ipv6'],
});

export const networkPublicIps = defineCommand({
  name: 'zos.network.list_public_ips',
  summary: 'Public addresses that workloads of all twins use on this node.',
  caller: 'any',
  input: nothing,
  output: described(list(text), 'addresses with prefix length'),
});

export const networkPrivateIps = defineCommand({
  name: 'zos.network.list_private_ips',
  summary: "Private IPv4 addresses of the caller's machines in one of its networks.",
  caller: 'own',
  input: struct('args', { network_name: described(text, 'name of the network workload') }),
  output: described(list(text), 'addresses; empty also for an unknown network'),
});

export const AdminInterface = struct(
  'pkg.Interface',
  {
    ips: described(list(text), 'addresses with prefix length'),
    mac: described(text, 'hardware address'),
  },
  'Addresses of a network device.',
);

export const adminInterfaces = defineCommand({
  name: 'zos.admin.interfaces',
  aliases: ['zos.network.admin.interfaces'],
  summary: 'Physical network cards of the node by name.',
  caller: 'farmer',
  input: nothing,
  output: map(AdminInterface),
});

export const ExitDevice = struct(
  'pkg.ExitDevice',
  {
    is_single: described(bool, 'public traffic leaves by the same card as the rest'),
    is_dual: described(bool, 'public traffic has a card of its own'),
    dual_interface: described(text, 'name of that card; empty with a single one'),
  },
  'The device through which a node reaches the public network.',
);

export const adminGetPublicNic = defineCommand({
  name: 'zos.admin.get_public_nic',
  aliases: ['zos.network.admin.get_public_nic'],
  summary: 'The network card by which public traffic leaves.',
  caller: 'farmer',
  input: nothing,
  output: ExitDevice,
});

export const adminSetPublicNic = defineCommand({
  name: 'zos.admin.set_public_nic',
  aliases: ['zos.network.admin.set_public_nic'],
  summary: 'Chooses the network card by which public traffic leaves.',
  caller: 'farmer',
  input: described(text, 'name of a physical card, or `zos` for the default bridge'),
  output: nothing,
  unreadable: 'failed to decode input, expecting string',
  errors: ['network_exit_invalid', 'network_exit_taken', 'network_device_unknown', 'network_not_offered'],
});
