/** Puts a network's plan on the host: what is missing is made, what is surplus goes, what fits stays. */
import { ownerInName } from '../../schemas/ids.ts';
import type { DevicePlace, WireguardDriver } from '../wireguard/index.ts';
import { applyInside, inspectInside, ipBatch, ipForced, ipJson, type LinkJson } from './drivers/commands.ts';
import type { NetworkFabric, NetworkItem } from './drivers/driver.ts';
import { interfaceNames, portsOf } from './drivers/links.ts';
import type { Namespaces } from './drivers/namespaces.ts';
import { setOwn } from './drivers/settings.ts';
import { networkOfPart, PUBLIC, ROUTER } from './plan/names.ts';
import { LINK_MTU, type NetworkPlan, TUNNEL_MTU } from './plan/network.ts';

interface Inside {
  /** `device address/length` of every address that is there. */
  readonly addresses: ReadonlySet<string>;
  /** `device to` of routes that were set, not made by the kernel. */
  readonly routes: ReadonlySet<string>;
  readonly devices: ReadonlySet<string>;
}

/** Between the owners on a bridge. */
const OWNERS = ',';
/** Longest alias of an interface. */
const ALIAS_CHARACTERS = 255;

const NOTHING: Inside = { addresses: new Set(), routes: new Set(), devices: new Set() };

export class Fabric implements NetworkFabric {
  readonly #namespaces: Namespaces;
  readonly #wireguard: WireguardDriver;

  constructor(options: { readonly namespaces: Namespaces; readonly wireguard: WireguardDriver }) {
    this.#namespaces = options.namespaces;
    this.#wireguard = options.wireguard;
  }

  /** Whether namespace, links and tunnel of a network are all there; looks, changes nothing. */
  async isWhole(plan: NetworkPlan): Promise<boolean> {
    const { names } = plan;
    const present = await interfaceNames();
    if (!present.has(names.bridge) || !present.has(names.uplinkPort)) return false;
    if (!(await this.#namespaces.isAlive(names.namespace))) return false;
    return (await this.#wireguard.status(this.#place(plan))) !== undefined;
  }

  /** Whether the tunnel's process, where it has one, is alive. Costs next to nothing; `isWhole` looks at all the rest. */
  tunnelLives(plan: NetworkPlan): Promise<boolean> {
    return this.#wireguard.lives(this.#place(plan));
  }

  /** Makes a dead tunnel again with its addresses and routes, and touches nothing else of a network that is whole otherwise. */
  async ensureTunnel(plan: NetworkPlan): Promise<void> {
    const place = this.#place(plan);
    await this.#wireguard.ensureDevice(place);
    const namespace = this.#namespaces.pathOf(plan.names.namespace);
    await Promise.all([ipBatch(tunnelLines(plan), { namespace }), this.#wireguard.configure(place, plan.wireguard)]);
  }

  /** Makes the network as planned. Safe to run again, and after a crash at any point of an earlier run. */
  async ensure(plan: NetworkPlan): Promise<void> {
    const { names } = plan;
    const namespace = this.#namespaces.pathOf(names.namespace);
    const present = await interfaceNames();
    // A namespace without its ends out here is half made, or of an earlier life of this machine.
    const alive =
      present.has(names.bridge) && present.has(names.uplinkPort) && (await this.#namespaces.isAlive(names.namespace));
    if (!alive) await this.#namespaces.drop(names.namespace);
    const inside = alive ? await this.#inspect(namespace) : NOTHING;
    if (!inside.devices.has(PUBLIC) && present.has(names.uplinkPort)) {
      // Its other end went with a namespace, and it may go by itself any moment.
      await ipForced([`link del dev ${names.uplinkPort}`]);
    }
    await ipBatch(this.#hostLines(plan, present, inside, alive));
    const [{ created }] = await Promise.all([
      this.#wireguard.ensureDevice(this.#place(plan)),
      setOwn({
        [`ipv6/conf/${names.bridge}/disable_ipv6`]: '1',
        [`ipv6/conf/${names.uplinkPort}/disable_ipv6`]: '1',
        // The host shares a bridge with its tenants: it is no neighbour to them and routes nothing for them.
        [`ipv4/conf/${names.bridge}/arp_ignore`]: '8',
        [`ipv4/conf/${names.bridge}/forwarding`]: '0',
      }),
    ]);
    const found = created ? without(inside, names.wireguard) : inside;
    await Promise.all([
      applyInside(namespace, insideLines(plan, found), plan.rules),
      this.#wireguard.configure(this.#place(plan), plan.wireguard),
    ]);
  }

  /** Takes the network away with its taps; what is missing is passed over. The names can be used again at once. */
  async remove(plan: Pick<NetworkPlan, 'netid' | 'names'>): Promise<void> {
    const { names } = plan;
    const present = await interfaceNames();
    // A namespace goes some time after its name, so the ends in the host's namespace are removed by name.
    const links: string[] = [];
    if (present.has(names.bridge)) {
      const ports = await portsOf(names.bridge);
      links.push(...ports.map((port) => port.ifname).filter((name) => name.startsWith('t-')), names.bridge);
    }
    if (present.has(names.uplinkPort)) links.push(names.uplinkPort);
    const lines = links.map((name) => `link del dev ${name}`);
    await Promise.all([ipForced(lines), this.#wireguard.remove(this.#place(plan))]);
    await this.#namespaces.drop(names.namespace);
    const left = [...(await interfaceNames())].filter((name) => links.includes(name));
    if (left.length > 0 || (await this.#namespaces.isAlive(names.namespace))) {
      throw new Error(`still there after removal: ${[...left, names.namespace].join(', ')}`);
    }
  }

  async items(): Promise<NetworkItem[]> {
    const links = await ipJson<LinkJson>(['link', 'show']);
    const bridges = new Map<string, readonly string[]>();
    const found = new Set<string>();
    for (const { ifname, ifalias = '' } of links) {
      const bridge = networkOfPart(ifname, 'bridge');
      if (bridge !== undefined)
        bridges.set(
          bridge,
          ifalias.split(OWNERS).filter((owner) => owner !== ''),
        );
      const netid = bridge ?? networkOfPart(ifname, 'uplinkPort');
      if (netid !== undefined) found.add(netid);
    }
    const inside = [
      ...(await this.#namespaces.names()).map((name) => networkOfPart(name, 'namespace')),
      ...(await this.#wireguard.recorded()).map((name) => networkOfPart(name, 'wireguard')),
    ];
    for (const netid of inside) if (netid !== undefined) found.add(netid);
    return [...found].map((netid) => ({
      netid,
      owners: bridges.get(netid) ?? [],
      hasBridge: bridges.has(netid),
    }));
  }

  #place(plan: Pick<NetworkPlan, 'names'>): DevicePlace {
    return { name: plan.names.wireguard, namespace: this.#namespaces.pathOf(plan.names.namespace) };
  }

  async #inspect(namespace: string): Promise<Inside> {
    const { addresses, routes } = await inspectInside(namespace);
    return {
      devices: new Set(addresses.map((link) => link.ifname)),
      addresses: new Set(
        addresses.flatMap((link) =>
          (link.addr_info ?? []).map((info) => `${link.ifname} ${info.local}/${info.prefixlen}`),
        ),
      ),
      routes: new Set(
        routes.filter((route) => route.protocol !== 'kernel').map((route) => `${route.dev} ${route.dst}`),
      ),
    };
  }

  #hostLines(plan: NetworkPlan, present: ReadonlySet<string>, inside: Inside, alive: boolean): string[] {
    const { names } = plan;
    const namespace = this.#namespaces.pathOf(names.namespace);
    const lines: string[] = [];
    if (!alive) lines.push(`netns add ${this.#namespaces.nameFor(names.namespace)}`);
    if (!present.has(names.bridge)) lines.push(`link add ${names.bridge} type bridge`);
    lines.push(`link set ${names.bridge} mtu ${LINK_MTU} up`, `link set ${names.bridge} alias ${ownersText(plan)}`);
    if (!inside.devices.has(names.gateway)) {
      lines.push(
        `link add link ${names.bridge} name ${names.gateway} address ${plan.gatewayMac} mtu ${LINK_MTU}` +
          ` netns ${namespace} type macvlan mode bridge`,
      );
    }
    if (!inside.devices.has(PUBLIC)) {
      lines.push(`link add ${names.uplinkPort} type veth peer name ${PUBLIC} netns ${namespace}`);
    }
    lines.push(
      `link set ${names.uplinkPort} mtu ${LINK_MTU} master ${ROUTER.bridge} up`,
      // Ports that are isolated reach the router and never each other.
      `link set ${names.uplinkPort} type bridge_slave isolated on`,
    );
    return lines;
  }
}

/** Owners as a bridge carries them: only what is a workload's id, and as many as the kernel takes. */
function ownersText({ owners }: NetworkPlan): string {
  let text = '';
  for (const owner of owners.map(ownerInName).filter((one) => one !== '')) {
    const longer = text === '' ? owner : `${text}${OWNERS}${owner}`;
    if (longer.length > ALIAS_CHARACTERS) break;
    text = longer;
  }
  return text === '' ? '""' : text;
}

/** What was found, less a device that has been made anew since. */
function without(inside: Inside, device: string): Inside {
  const others = (held: ReadonlySet<string>) => new Set([...held].filter((entry) => entry.split(' ')[0] !== device));
  return { addresses: others(inside.addresses), routes: others(inside.routes), devices: others(inside.devices) };
}

/** Lines of `ip` inside the namespace: from what is there to what is planned. */
function insideLines(plan: NetworkPlan, inside: Inside): string[] {
  const { names } = plan;
  const lines = [
    'link set lo up',
    `link set ${names.gateway} addrgenmode none up`,
    `link set ${PUBLIC} up`,
    tunnelUp(names.wireguard),
  ];
  const wanted = new Set(plan.addresses.map(({ device, address }) => `${device} ${address}`));
  for (const held of inside.addresses) {
    const [device = '', address = ''] = held.split(' ');
    const isLinkLocal = device === PUBLIC && address.startsWith('fe80:');
    if (device !== 'lo' && !isLinkLocal && !wanted.has(held)) lines.push(`address del ${address} dev ${device}`);
  }
  for (const { device, address } of plan.addresses) {
    if (inside.addresses.has(`${device} ${address}`)) continue;
    lines.push(addressLine(device, address));
  }
  const routes = new Set(plan.routes.map(({ device, to }) => `${device} ${to}`));
  for (const held of inside.routes) {
    const [device = '', to = ''] = held.split(' ');
    if (device === names.wireguard && !routes.has(held)) lines.push(`route del ${to} dev ${device}`);
  }
  lines.push(...plan.routes.map(routeLine));
  return lines;
}

/** Lines of `ip` inside the namespace for a tunnel that has just been made. */
function tunnelLines({ names, addresses, routes }: NetworkPlan): string[] {
  const isOwn = ({ device }: { readonly device: string }): boolean => device === names.wireguard;
  return [
    tunnelUp(names.wireguard),
    ...addresses.filter(isOwn).map(({ device, address }) => addressLine(device, address)),
    ...routes.filter(isOwn).map(routeLine),
  ];
}

function tunnelUp(device: string): string {
  return `link set ${device} addrgenmode none mtu ${TUNNEL_MTU} up`;
}

function addressLine(device: string, address: string): string {
  return `address replace ${address} dev ${device}${address.includes(':') ? ' nodad' : ''}`;
}

function routeLine({ to, via, device }: NetworkPlan['routes'][number]): string {
  return `route replace ${to}${via === undefined ? '' : ` via ${via}`} dev ${device}`;
}
