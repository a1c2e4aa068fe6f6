/** The public configuration that the chain has of a simulated node: one that is pretended needs no interface. */
import { chain, type Node, substrateGateway } from '../../modules/api-gateway/interface.ts';
import type { PublicConfig } from '../../modules/networkd/interface.ts';
import { parseIp, parsePrefix, toIpNet } from '../../modules/networkd/plan/address.ts';
import type { ZbusClient } from '../../modules/zbus/client.ts';
import type { CallOptions } from '../../modules/zbus/definition.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import { GridError } from '../../schemas/errors/index.ts';

type Configuration = Infer<typeof PublicConfig>;

/** Throws `GridError` network_no_public_config where the chain has none, and `ZbusError` where it cannot be asked. */
export async function publicConfig(bus: ZbusClient, calling: CallOptions): Promise<Configuration> {
  const { NodeID: id } = await bus.of(chain).Node({}, calling);
  const record = await bus.of(substrateGateway).GetNode({ id }, calling);
  return fromChain(record.PublicConfig);
}

/** Throws `RangeError` naming what of the farmer's texts is no address. */
function fromChain({ HasValue: has, AsValue: config }: Infer<typeof Node>['PublicConfig']): Configuration {
  if (!has) throw new GridError('network_no_public_config', {});
  const { IP4: ip4, IP6: ip6, Domain: domain } = config;
  return {
    Type: '',
    IPv4: toIpNet(parsePrefix(ip4.IP)),
    GW4: parseIp(ip4.GW),
    IPv6: ip6.HasValue ? toIpNet(parsePrefix(ip6.AsValue.IP)) : { IP: null, Mask: null },
    GW6: ip6.HasValue ? parseIp(ip6.AsValue.GW) : null,
    Domain: domain.HasValue ? domain.AsValue : '',
  };
}
