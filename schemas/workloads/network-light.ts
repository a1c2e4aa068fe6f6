/** network-light: the network of light nodes, reached over Mycelium, since September 2025 also over WireGuard. */
import type { z } from 'zod';
import { NOTHING } from '../capacity.ts';
import { GridError } from '../errors/index.ts';
import { described, list, optional, struct } from '../gojson/codec.ts';
import { cidr, text, uint16 } from '../gojson/values.ts';
import { addMycelium, addWireguard, Mycelium, Peer, validateMycelium } from './network.ts';
import { applied, defineWorkload, printed } from './type.ts';

export const NetworkLight = struct(
  'zos.NetworkLight',
  {
    ip_range: optional(described(cidr, "the whole network's range, /16 by convention")),
    subnet: described(cidr, "this node's part, /24 by convention", { minLength: 1 }),
    wireguard_private_key: optional(described(text, 'base64; without it there is no WireGuard interface')),
    wireguard_listen_port: optional(described(uint16, 'UDP port on the node')),
    peers: described(list(Peer), 'everyone else of the network, reached over WireGuard'),
    mycelium: described(Mycelium, 'how the network is reached'),
  },
  "One light node's part of a private network.",
);
export type NetworkLight = z.output<typeof NetworkLight>;

export const networkLight = defineWorkload({
  name: 'network-light',
  summary: "one light node's part of a private network, reached over Mycelium",
  goType: '*zos.NetworkLight',
  data: NetworkLight,
  result: undefined,
  change: applied,
  pausable: false,
  validate: (data, { workload }) => {
    if (data.subnet === '') throw new GridError('network_subnet_missing', { workload: workload.name });
    validateMycelium(data.mycelium, workload.name);
  },
  needs: () => NOTHING,
  challenge: (data, add) => {
    addWireguard(data, add);
    addMycelium(data.mycelium, add);
  },
  /** Without the WireGuard fields, which nodes did not know. */
  olderChallenge: (data, add) => {
    add('subnet', printed(data.subnet));
    addMycelium(data.mycelium, add);
  },
  references: () => [],
});
