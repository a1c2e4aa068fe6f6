/** The bus object `network.network`: what is asked for, checked and handed to the parts that do it. */
import type { Logger } from 'pino';
import { GridError } from '../../schemas/errors/index.ts';
import type { Service } from '../zbus/definition.ts';
import type { Infer } from '../zbus/wire.ts';
import type { NetworkHost, NetworkTaps } from './drivers/driver.ts';
import type { NetResourceMetrics, network } from './interface.ts';
import type { Networks } from './networks.ts';
import { contains, gatewayOf, ipv6Of, normalizeIp, parsePrefix, toIpNet } from './plan/address.ts';
import { macBytes } from './plan/mac.ts';
import { networkNames } from './plan/names.ts';
import { checkNetworkId, specFrom } from './plan/spec.ts';
import type { WireguardPorts } from './ports.ts';

const MAX_WORKLOAD_ID_CHARACTERS = 256;
/** What is routed on the internet. */
const PUBLIC_IPV6 = parsePrefix('2000::/3');
/** Name by which clients know a node's main interface. */
const MAIN = 'zos';
/** Streams of addresses repeat themselves this often, for listeners that come later. */
const STREAM_PERIOD_MS = 10_000;

export interface NetworkServiceOptions {
  readonly networks: Networks;
  readonly taps: NetworkTaps;
  readonly ports: WireguardPorts;
  readonly host: NetworkHost;
  readonly log: Logger;
}

function notOffered(feature: string): never {
  throw new GridError('network_not_offered', { feature });
}

function checkWorkload(workload: string): string {
  if (workload !== '' && workload.length <= MAX_WORKLOAD_ID_CHARACTERS) return workload;
  const reason = `must have 1 to ${MAX_WORKLOAD_ID_CHARACTERS} characters, not ${workload.length}`;
  throw new GridError('network_invalid', { field: 'workload id', reason });
}

export function networkService(parts: NetworkServiceOptions): Service<typeof network> {
  const { networks, taps, ports, host, log } = parts;
  // Who removes a network takes an error for the proof that it is gone.
  const subnetOf = (netid: string) => parsePrefix(networks.standing(checkNetworkId(netid)).spec.subnet);

  /** Logs what was done, for whom, and how long it took. */
  const logged = async <T>(trace: string, what: string, facts: object, work: () => Promise<T>): Promise<T> => {
    const started = performance.now();
    const result = await work();
    log.info({ trace, ...facts, ms: Math.round(performance.now() - started) }, what);
    return result;
  };

  return {
    Ready: () => undefined,

    CreateNR: async ({ wl, network: request }, { trace }) => {
      const spec = specFrom(request);
      const facts = { workload: checkWorkload(wl), network: spec.netid };
      if (request.Mycelium !== null) log.warn({ trace, ...facts }, 'mycelium is asked for and not offered yet');
      await logged(trace, 'network ready', facts, () => networks.create(wl, spec));
      return host.nameFor(networkNames(spec.netid).namespace);
    },
    DeleteNR: ({ wl }, { trace }) =>
      logged(trace, 'network released', { workload: checkWorkload(wl) }, () => networks.delete(wl)),
    Namespace: ({ id }) => host.nameFor(networkNames(id).namespace),
    GetNet: ({ networkID }) => toIpNet(parsePrefix(networks.get(checkNetworkId(networkID)).spec.range)),
    GetSubnet: ({ networkID }) => toIpNet(subnetOf(networkID)),
    GetDefaultGwIP: ({ networkID }) => {
      const gateway = gatewayOf(subnetOf(networkID)).ip;
      return [gateway, ipv6Of(networkID, gateway).ip];
    },
    GetIPv6From4: ({ networkID, ip }) => {
      const ipv4 = normalizeIp(ip);
      if (ipv4?.length !== 4)
        throw new GridError('network_invalid', { field: 'ip', reason: 'must be an IPv4 address' });
      return toIpNet(ipv6Of(checkNetworkId(networkID), ipv4));
    },
    WireguardPorts: () => ports.list(),
    Metrics: async () => metricsOf(networks, host),

    SetupPrivTap: ({ networkID, name }, { trace }) =>
      logged(trace, 'tap ready', { network: checkNetworkId(networkID), tap: name.slice(0, 32) }, () =>
        networks.exclusive(networkID, (record) => taps.ensure(record.spec, name)),
      ),
    TapExists: ({ name }) => taps.exists(name),
    RemoveTap: ({ name }) => taps.remove(name),

    Addrs: async ({ iface, netns }) => {
      const { ips, mac } = await host.addresses(iface, netns);
      return [ips, mac];
    },
    Interfaces: async ({ iface, netns }) => ({ Interfaces: new Map(await host.interfaces(iface, netns)) }),

    GetPublicConfig: () => {
      throw new GridError('network_no_public_config', {});
    },
    GetPublicIPv6Subnet: async () => {
      const found = (await host.uplinkAddresses()).find(({ IP }) => IP.length === 16 && contains(PUBLIC_IPV6, IP));
      if (found === undefined) throw new GridError('network_no_public_ipv6', {});
      return found;
    },
    GetPublicIPV6Gateway: () => {
      throw new GridError('network_no_public_ipv6', {});
    },
    PublicIPv4Support: () => false,
    // What was never set up is gone already, so that an undo of any workload can end.
    UnsetPublicConfig: () => undefined,
    MigrateZdbMacvlanToVeth: () => undefined,
    PubIPFilterExists: () => false,
    PubTapExists: () => false,
    RemovePubTap: () => undefined,
    RemovePubIPFilter: () => undefined,
    DisconnectPubTap: () => undefined,
    QSFSDestroy: () => undefined,
    ZDBDestroy: () => undefined,
    QSFSNamespace: ({ id }) => host.nameFor(`qfs-ns-${macBytes(`qsfs:${id}`).toString('hex')}`),

    SetPublicConfig: () => notOffered('a public configuration'),
    // Networks and the node itself leave by the same uplink.
    GetPublicExitDevice: () => ({ IsSingle: true, IsDual: false, AsDualInterface: '' }),
    SetPublicExitDevice: ({ iface }) => checkExitDevice(iface, host),
    SetupPubTap: () => notOffered('public addresses'),
    SetupPubIPFilter: () => notOffered('public addresses'),
    SetupYggTap: () => notOffered('planetary addresses'),
    SetupMyceliumTap: () => notOffered('mycelium addresses'),
    EnsureZDBPrepare: () => notOffered('zdb'),
    QSFSPrepare: () => notOffered('qsfs'),
    QSFSYggIP: () => notOffered('qsfs'),

    ZOSAddresses$: (signal) => repeated(signal, () => host.uplinkAddresses()),
    DMZAddresses$: (signal) => repeated(signal, () => host.routerAddresses()),
    PublicAddresses$: (signal) =>
      repeated(signal, async () => {
        const none = { IP: null, Mask: null };
        return { Type: '', IPv4: none, IPv6: none, GW4: null, GW6: null, Domain: '', HasPublicConfig: false };
      }),
  };
}

/** Says why a card cannot be the exit of public traffic alone. The way it is already is set without doing anything. */
async function checkExitDevice(device: string, host: NetworkHost): Promise<void> {
  if (device === MAIN) return;
  const shown = device.slice(0, 64);
  if (device === '') throw new GridError('network_exit_invalid', { device });
  await host.interfaces(device, '');
  const all = await host.interfaces('', '');
  const card = all.get(device);
  if (card === undefined) throw new GridError('network_exit_invalid', { device: shown });
  if (card.Mac === all.get(MAIN)?.Mac || card.IPs.length > 0)
    throw new GridError('network_exit_taken', { device: shown });
  notOffered('a network card for public traffic alone');
}

/** Traffic between each network and the router, by workload, seen from the network. */
async function metricsOf(networks: Networks, host: NetworkHost): Promise<Infer<typeof NetResourceMetrics>> {
  const records = networks.all();
  const traffic = await host.traffic(records.map((record) => record.spec.netid));
  const metrics: Infer<typeof NetResourceMetrics> = new Map();
  for (const { spec, workloads } of records) {
    const found = traffic.get(spec.netid);
    if (found !== undefined) for (const workload of workloads) metrics.set(workload, found);
  }
  return metrics;
}

async function* repeated<T>(signal: AbortSignal, read: () => Promise<T>): AsyncGenerator<T> {
  while (!signal.aborted) {
    yield await read();
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, STREAM_PERIOD_MS);
      signal.addEventListener('abort', done, { once: true });
    });
  }
}
