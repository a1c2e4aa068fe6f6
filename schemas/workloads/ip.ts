/** ip: public addresses for a machine, of those its contract reserves. */
import { capacity } from '../capacity.ts';
import { GridError } from '../errors/index.ts';
import { described, optional, struct } from '../gojson/codec.ts';
import { ip as address, bool, cidr } from '../gojson/values.ts';
import { defineWorkload } from './type.ts';

export const PublicIp = struct(
  'zos.PublicIP',
  {
    v4: optional(described(bool, 'an IPv4 address, of those the contract reserves')),
    v6: optional(described(bool, "an IPv6 address of the node's prefix")),
  },
  'Public addresses for a machine; at least one of both.',
);

export const PublicIpResult = struct(
  'zos.PublicIPResult',
  {
    ip: optional(described(cidr, 'the IPv4 address; empty without one')),
    ip6: optional(described(cidr, 'the IPv6 address; empty without one')),
    gateway: optional(described(address, 'of the IPv4 address')),
  },
  'The addresses that were given.',
);

export const ip = defineWorkload({
  name: 'ip',
  summary: 'public addresses for a machine; at least one of v4 and v6',
  goType: '*zos.PublicIP',
  data: PublicIp,
  result: PublicIpResult,
  change: undefined,
  pausable: false,
  validate: ({ v4, v6 }, { workload }) => {
    if (!v4 && !v6) throw new GridError('public_ip_unselected', { workload: workload.name });
  },
  needs: ({ v4 }) => capacity({ ipv4u: v4 ? 1 : 0 }),
  challenge: ({ v4, v6 }, add) => {
    add('v4', v4);
    add('v6', v6);
  },
  references: () => [],
});
