/** The kernel's interfaces and namespaces as networkd's service asks for them. */
import { globalAddresses, type Inspection } from '../inspection.ts';
import { networkNames } from '../plan/names.ts';
import type { Router } from '../router.ts';
import { ipJson, type LinkJson } from './commands.ts';
import type { NetIPNet, NetworkHost, NetworkTraffic } from './driver.ts';
import type { Namespaces } from './namespaces.ts';

interface KernelHostParts {
  readonly router: Router;
  readonly inspection: Inspection;
  readonly namespaces: Namespaces;
}

export function kernelHost({ router, inspection, namespaces }: KernelHostParts): NetworkHost {
  return {
    nameFor: (namespace) => namespaces.nameFor(namespace),
    addresses: (device, namespace) => inspection.addresses(device, namespace),
    interfaces: (device, namespace) => inspection.interfaces(device, namespace),
    async uplinkAddresses(): Promise<NetIPNet[]> {
      const { uplink } = router;
      if (uplink === undefined) return [];
      const links = await ipJson<LinkJson>(['address', 'show', 'dev', uplink]).catch(() => []);
      return links.flatMap(globalAddresses);
    },
    routerAddresses: async () => (await router.addresses()).flatMap(globalAddresses),
    traffic,
  };
}

async function traffic(netids: readonly string[]): Promise<Map<string, NetworkTraffic>> {
  const links = await ipJson<LinkJson>(['-s', 'link', 'show', 'type', 'veth']);
  const byName = new Map(links.map((link) => [link.ifname, link]));
  const found = new Map<string, NetworkTraffic>();
  for (const netid of netids) {
    const stats = byName.get(networkNames(netid).uplinkPort)?.stats64;
    if (stats === undefined) continue;
    // This is the host's end of the cable: what it sends, the network receives.
    found.set(netid, {
      NetRxPackets: stats.tx.packets,
      NetRxBytes: stats.tx.bytes,
      NetTxPackets: stats.rx.packets,
      NetTxBytes: stats.rx.bytes,
    });
  }
  return found;
}
