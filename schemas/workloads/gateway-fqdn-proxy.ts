/** gateway-fqdn-proxy: a domain of the tenant's own that points to the node, proxied to backends. */
import { NOTHING } from '../capacity.ts';
import { GridError } from '../errors/index.ts';
import { described, struct } from '../gojson/codec.ts';
import { text } from '../gojson/values.ts';
import { addGateway, gatewayFields, gatewayReferences, validateBackends } from './gateway.ts';
import { defineWorkload } from './type.ts';

const LABEL = /^[a-zA-Z0-9-_]+$/;

export const GatewayFqdnProxy = struct(
  'zos.GatewayFQDNProxy',
  {
    fqdn: described(text, 'a domain whose DNS record points to the node', {
      pattern: '^([a-zA-Z0-9_-]+\\.)+[a-zA-Z0-9_-]{2,}$',
    }),
    ...gatewayFields,
  },
  "A domain of the tenant's own and what answers behind it.",
);

export const gatewayFqdnProxy = defineWorkload({
  name: 'gateway-fqdn-proxy',
  summary: "a domain of the tenant's own, proxied to backends",
  goType: '*zos.GatewayFQDNProxy',
  data: GatewayFqdnProxy,
  result: struct('zos.GatewayFQDNResult', {}, 'A running gateway has nothing to add to its domain.'),
  change: undefined,
  pausable: false,
  validate: (data, { workload }) => {
    if (!isDomain(data.fqdn)) {
      throw new GridError('gateway_fqdn_invalid', { workload: workload.name, fqdn: data.fqdn.slice(0, 256) });
    }
    validateBackends(data, workload.name);
  },
  needs: () => NOTHING,
  challenge: (data, add) => {
    add('fqdn', data.fqdn);
    addGateway(data, add);
  },
  references: gatewayReferences,
});

/** Two labels or more, the last of two characters or more. */
function isDomain(fqdn: string): boolean {
  const labels = fqdn.split('.');
  return labels.length > 1 && labels.every((label) => LABEL.test(label)) && (labels.at(-1) ?? '').length > 1;
}
