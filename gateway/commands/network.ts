import {
  networkHasIpv6,
  networkInterfaces,
  networkPrivateIps,
  networkPublicConfig,
  networkPublicIps,
  networkWireguardPorts,
  printIp,
} from '../../schemas/index.ts';
import { addressText, networkText } from './addresses.ts';
import { handle } from './handler.ts';

/** Existing clients look the node's own addresses up under this name. */
const HOST_BRIDGE = 'zos';

export const networkHandlers = [
  handle(networkInterfaces, async (_input, { node, signal, deadlineMs }) => {
    const { Interfaces } = await node.network.Interfaces({ iface: '', netns: '' }, { signal, deadlineMs });
    const addresses = (Interfaces.get(HOST_BRIDGE)?.IPs ?? []).flatMap(({ IP }) =>
      IP === null || IP.length === 0 ? [] : [IP],
    );
    const isIPv6 = (ip: Uint8Array): number => Number(printIp(ip).includes(':'));
    return { [HOST_BRIDGE]: addresses.sort((a, b) => isIPv6(a) - isIPv6(b)).map(printIp) };
  }),
  handle(networkWireguardPorts, (_input, { node, signal, deadlineMs }) =>
    node.network.WireguardPorts({}, { signal, deadlineMs }),
  ),
  handle(networkPublicConfig, async (_input, { node, signal, deadlineMs }) => {
    const { Type, IPv4, IPv6, GW4, GW6, Domain } = await node.network.GetPublicConfig({}, { signal, deadlineMs });
    return {
      type: Type,
      ipv4: networkText(IPv4),
      ipv6: networkText(IPv6),
      gw4: addressText(GW4),
      gw6: addressText(GW6),
      domain: Domain,
    };
  }),
  handle(networkHasIpv6, async (_input, { node, signal, deadlineMs }) => {
    await node.network.GetPublicIPv6Subnet({}, { signal, deadlineMs });
    return true;
  }),
  handle(networkPublicIps, (_input, { node, signal, deadlineMs }) =>
    node.provision.ListPublicIPs({}, { signal, deadlineMs }),
  ),
  handle(networkPrivateIps, ({ network_name }, { node, twin, signal, deadlineMs }) =>
    node.provision.ListPrivateIPs({ twin, network: network_name }, { signal, deadlineMs }),
  ),
];
