/** network: this node's part of a private network, made by networkd. */

import type { IPNet, Network } from '../../modules/networkd/interface.ts';
import { isZbusError } from '../../modules/zbus/errors.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import { parseCidr } from '../../schemas/addresses.ts';
import { networkId } from '../../schemas/ids.ts';
import { loadData } from '../../schemas/validate.ts';
import { network } from '../../schemas/workloads/network.ts';
import { type Calling, type Daemons, removeConfirmed, type Scope, type Step, type WorkloadDriver } from './workload.ts';

export const networkDriver: WorkloadDriver = {
  type: network.name,
  request: (workload) => {
    const data = loadData(network, workload);
    return {
      name: workload.name,
      type: workload.type,
      vcpus: 0,
      memoryBytes: 0,
      publicIps: 0,
      allocations: [],
      network: {
        name: workload.name,
        subnet: data.subnet,
        range: data.ip_range,
        wireguardPort: data.wireguard_listen_port,
      },
      mounts: [],
      features: data.mycelium === undefined ? [] : ['mycelium'],
    };
  },
  work: (scope) => {
    const { id, workload, deployment, daemons } = scope;
    const netId = networkId(deployment.twin_id, workload.name);
    return {
      present: (calling) => networkExists(daemons, netId, calling),
      steps: [
        {
          ...making(scope),
          undo: (calling) =>
            removeConfirmed(
              `network ${netId}`,
              () => daemons.network.DeleteNR({ wl: id }, calling),
              () => networkExists(daemons, netId, calling),
            ),
        },
      ],
      result: () => Promise.resolve(''),
    };
  },
  // networkd changes a network in place; machines on it go on.
  change: (from, to) => ({ ...making(to), undo: making(from).ensure }),
};

function making({ id, workload, deployment, daemons }: Scope): Omit<Step, 'undo'> {
  const data = loadData(network, workload);
  const wanted: Infer<typeof Network> = {
    NetworkIPRange: prefix(data.ip_range),
    Subnet: prefix(data.subnet),
    WGPrivateKey: data.wireguard_private_key,
    WGListenPort: data.wireguard_listen_port,
    Peers: data.peers.map((peer) => ({
      Subnet: prefix(peer.subnet),
      WGPublicKey: peer.wireguard_public_key,
      AllowedIPs: peer.allowed_ips.map(prefix),
      Endpoint: peer.endpoint,
    })),
    Mycelium: data.mycelium === undefined ? null : { Key: Buffer.from(data.mycelium.hex_key, 'hex'), Peers: [] },
    NetID: networkId(deployment.twin_id, workload.name),
  };
  return {
    name: 'network',
    stage: 'network',
    deadlineMs: 60_000,
    failure: `failed to create network resource for network ${id}`,
    ensure: async (calling) => {
      await daemons.network.CreateNR({ wl: id, network: wanted }, calling);
    },
  };
}

/** networkd has no question for it: the subnet of a network that is not there is an error of the call. */
async function networkExists({ network: daemon }: Daemons, netId: string, calling: Calling): Promise<boolean> {
  try {
    await daemon.GetSubnet({ networkID: netId }, calling);
    return true;
  } catch (error) {
    if (isZbusError(error, 'call_failed')) return false;
    throw error;
  }
}

/** Host bits are kept, as Go's parsed prefix keeps them. */
function prefix(text: string): Infer<typeof IPNet> {
  const cidr = parseCidr(text);
  if (cidr === undefined) return { IP: null, Mask: null };
  const mask = new Uint8Array(cidr.address.length);
  for (let bit = 0; bit < cidr.prefix; bit++) mask[bit >> 3] = (mask[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  return { IP: cidr.address, Mask: mask };
}
