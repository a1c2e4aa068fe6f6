/** gateway-name-proxy: a name below the node's domain, proxied to backends. */
import { NOTHING } from '../capacity.ts';
import { GridError } from '../errors/index.ts';
import { described, struct } from '../gojson/codec.ts';
import { text } from '../gojson/values.ts';
import { addGateway, gatewayFields, gatewayReferences, validateBackends } from './gateway.ts';
import { defineWorkload } from './type.ts';

const NAME = /^[a-zA-Z0-9-_]+$/;

export const GatewayNameProxy = struct(
  'zos.GatewayNameProxy',
  {
    name: described(text, 'one label; its name contract must belong to the twin', { pattern: '^[a-zA-Z0-9_-]+$' }),
    ...gatewayFields,
  },
  "A name below the node's domain and what answers behind it.",
);

export const gatewayNameProxy = defineWorkload({
  name: 'gateway-name-proxy',
  summary: "a name below the node's domain, proxied to backends",
  goType: '*zos.GatewayNameProxy',
  data: GatewayNameProxy,
  result: struct(
    'zos.GatewayProxyResult',
    { fqdn: described(text, 'the whole name') },
    'The name as browsers reach it.',
  ),
  change: undefined,
  pausable: false,
  validate: (data, { workload }) => {
    if (!NAME.test(data.name)) {
      throw new GridError('gateway_name_invalid', { workload: workload.name, name: data.name.slice(0, 256) });
    }
    validateBackends(data, workload.name);
  },
  needs: () => NOTHING,
  challenge: (data, add) => {
    add('name', data.name);
    addGateway(data, add);
  },
  references: gatewayReferences,
});
