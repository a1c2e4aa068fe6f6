import { adminGetPublicNic, adminInterfaces, adminSetPublicNic } from '../../schemas/index.ts';
import { networkText } from './addresses.ts';
import { handle } from './handler.ts';

export const adminHandlers = [
  handle(adminInterfaces, async (_input, { node, signal, deadlineMs }) => {
    const { Interfaces } = await node.network.Interfaces({ iface: '', netns: '' }, { signal, deadlineMs });
    return Object.fromEntries(
      [...Interfaces].map(([name, { IPs, Mac }]) => [name, { ips: IPs.map(networkText), mac: Mac }]),
    );
  }),
  handle(adminGetPublicNic, async (_input, { node, signal, deadlineMs }) => {
    const exit = await node.network.GetPublicExitDevice({}, { signal, deadlineMs });
    return { is_single: exit.IsSingle, is_dual: exit.IsDual, dual_interface: exit.AsDualInterface };
  }),
  handle(adminSetPublicNic, async (device, { node, signal, deadlineMs }) => {
    await node.network.SetPublicExitDevice({ iface: device }, { signal, deadlineMs });
    return null;
  }),
];
