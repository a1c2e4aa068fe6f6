import { networkInterfaces, networkWireguardPorts, printIp } from '../../schemas/index.ts';
import { handle } from './handler.ts';

/** Existing clients look the node's own addresses up under this name. */
const HOST_BRIDGE = 'zos';

export const networkHandlers = [
  handle(networkInterfaces, async (_input, { node, signal, deadlineMs }) => {
    const found = await node.network.Interfaces({ iface: '', netns: '' }, { signal, deadlineMs });
    const addresses = [...found.Interfaces.values()].flatMap((item) =>
      item.IPs.flatMap(({ IP }) => (IP === null || IP.length === 0 ? [] : [IP])),
    );
    const isIPv6 = (ip: Uint8Array): number => Number(printIp(ip).includes(':'));
    return { [HOST_BRIDGE]: addresses.sort((a, b) => isIPv6(a) - isIPv6(b)).map(printIp) };
  }),
  handle(networkWireguardPorts, (_input, { node, signal, deadlineMs }) =>
    node.network.WireguardPorts({}, { signal, deadlineMs }),
  ),
];
