/** What the node tells about interfaces and addresses, its own and its namespaces'. */
import { isIP } from 'node:net';
import { GridError } from '../../schemas/errors/index.ts';
import { ipJson, type LinkJson } from './drivers/commands.ts';
import type { InterfaceReport, NetIPNet } from './drivers/driver.ts';
import type { Namespaces } from './drivers/namespaces.ts';
import { contains, parseIp, parsePrefix, toIpNet } from './plan/address.ts';

const PRIVATE_IPV6 = parsePrefix('fc00::/7');
/** Name by which clients know a node's main interface. */
const MAIN = 'zos';

function isName(text: string): boolean {
  return /^[A-Za-z0-9_.:@-]{1,64}$/.test(text) && !/^\.+$/.test(text);
}

export class Inspection {
  readonly #namespaces: Namespaces;
  readonly #uplink: () => string | undefined;

  /** `uplink`: the device that stands for the node's main interface. */
  constructor(options: { readonly namespaces: Namespaces; readonly uplink: () => string | undefined }) {
    this.#namespaces = options.namespaces;
    this.#uplink = options.uplink;
  }

  /** All addresses of an interface, and its hardware address. An empty namespace is the node's own. */
  async addresses(device: string, namespace: string): Promise<{ ips: Uint8Array[]; mac: string }> {
    const [link] = await this.#read(device, namespace);
    const ips = (link?.addr_info ?? []).map((info) => parseIp(info.local));
    return { ips, mac: link?.address ?? '' };
  }

  /**
   * Interfaces with their global addresses, private IPv6 left out. An empty
   * name gives the physical ones and `zos`, the uplink under its known name.
   */
  async interfaces(device: string, namespace: string): Promise<Map<string, InterfaceReport>> {
    const links = await this.#read(device, namespace);
    const uplink = namespace === '' ? this.#uplink() : undefined;
    const reports = new Map<string, InterfaceReport>();
    for (const link of links) {
      const isPhysical = link.linkinfo?.info_kind === undefined && link.link_type === 'ether';
      if (device === '' && !isPhysical && link.ifname !== MAIN && link.ifname !== uplink) continue;
      const name = device === MAIN ? MAIN : link.ifname;
      reports.set(name, { Name: name, IPs: globalAddresses(link), Mac: link.address ?? '' });
      if (device === '' && link.ifname === uplink && !links.some((other) => other.ifname === MAIN)) {
        reports.set(MAIN, { Name: MAIN, IPs: globalAddresses(link), Mac: link.address ?? '' });
      }
    }
    return reports;
  }

  async #read(device: string, namespace: string): Promise<LinkJson[]> {
    const unknown = new GridError('network_device_unknown', {
      device: device.slice(0, 64),
      namespace: namespace.slice(0, 64),
    });
    if ((device !== '' && !isName(device)) || (namespace !== '' && !isName(namespace))) throw unknown;
    const links = await this.#show(namespace, unknown);
    if (device === '') return links;
    const uplink = namespace === '' ? this.#uplink() : undefined;
    const found = links.find((link) => link.ifname === device);
    const main = device === MAIN ? links.find((link) => link.ifname === uplink) : undefined;
    const link = found ?? main;
    if (link === undefined) throw unknown;
    return [link];
  }

  async #show(namespace: string, unknown: GridError): Promise<LinkJson[]> {
    if (namespace === '') return ipJson<LinkJson>(['-d', 'address']);
    // A caller may hand back the full name it was given, or the short one.
    const { scope } = this.#namespaces;
    const short = scope !== '' && namespace.startsWith(`${scope}.`) ? namespace.slice(scope.length + 1) : namespace;
    if (!(await this.#namespaces.isAlive(short))) throw unknown;
    return ipJson<LinkJson>(['-d', 'address'], { namespace: this.#namespaces.pathOf(short) });
  }
}

/** Addresses of global scope that are not private IPv6. */
export function globalAddresses(link: LinkJson): NetIPNet[] {
  return (link.addr_info ?? [])
    .filter((info) => info.scope === 'global' && isIP(info.local) !== 0)
    .map((info) => ({ ip: parseIp(info.local), length: info.prefixlen }))
    .filter(({ ip }) => !contains(PRIVATE_IPV6, ip))
    .map(toIpNet);
}
