/** ipv4: a public IPv4 address; deprecated, `ip` says the same and more. */
import { capacity } from '../capacity.ts';
import { struct } from '../gojson/codec.ts';
import { PublicIpResult } from './ip.ts';
import { defineWorkload } from './type.ts';

export const ipv4 = defineWorkload({
  name: 'ipv4',
  summary: 'a public IPv4 address for a machine; deprecated, use `ip`',
  goType: '*zos.PublicIP4',
  data: struct('zos.PublicIP4', {}, 'A public IPv4 address; there is nothing to choose.'),
  result: PublicIpResult,
  change: undefined,
  pausable: false,
  validate: () => undefined,
  needs: () => capacity({ ipv4u: 1 }),
  challenge: () => undefined,
  references: () => [],
});
