/** The web gateway of a node with public addresses: names and domains that lead to tenants' back ends. */
import { defineInterface } from '../zbus/definition.ts';
import { Name } from '../zbus/gridtypes.ts';
import { bool, float64, map, named, pointer, slice, str, struct } from '../zbus/wire.ts';

export const Backend = named('zos.Backend', str);

export const GatewayFQDNProxy = struct('zos.GatewayFQDNProxy', {
  TLSPassthrough: bool,
  Backends: slice(Backend),
  Network: pointer(Name),
  FQDN: str,
});

export const GatewayNameProxy = struct('zos.GatewayNameProxy', {
  TLSPassthrough: bool,
  Backends: slice(Backend),
  Network: pointer(Name),
  Name: str,
});

/** Bytes by workload id. */
export const GatewayMetrics = struct('pkg.GatewayMetrics', {
  Request: map(str, float64),
  Response: map(str, float64),
});

export const webGateway = defineInterface({
  module: 'gateway',
  object: 'manager',
  version: '0.0.1',
  methods: {
    DeleteNamedProxy: { args: { wlID: str }, returns: [], fails: true, order: { by: 'wlID' } },
    Metrics: { args: {}, returns: [GatewayMetrics], fails: true, order: 'read' },
    SetFQDNProxy: { args: { wlID: str, config: GatewayFQDNProxy }, returns: [], fails: true, order: { by: 'wlID' } },
    SetNamedProxy: {
      args: { wlID: str, config: GatewayNameProxy },
      returns: [str],
      fails: true,
      order: { by: 'wlID' },
    },
  },
  streams: {},
});
