/**
 * The router namespace `ndmz` and its two links: to the networks over
 * `br-ndmz`, to the host's uplink over a veth. Only the uplink and that veth
 * forward on the host, never the host as a whole.
 */
import type { Logger } from 'pino';
import { GridError } from '../../schemas/errors/index.ts';
import { applyInside, ip, ipBatch, ipForced, ipJson, type LinkJson, nftApply } from './drivers/commands.ts';
import { defaultRouteDevice, interfaceNames } from './drivers/links.ts';
import type { Namespaces } from './drivers/namespaces.ts';
import { type HostSettings, setOwn } from './drivers/settings.ts';
import { HOST_LINK, hostRules, routerRules } from './plan/firewall.ts';
import { ROUTER } from './plan/names.ts';
import { LINK_MTU, ROUTER_GATEWAY } from './plan/network.ts';

/** Frames between machines would otherwise pass the host's filters and its connection table. */
const BRIDGE_FILTERS = ['bridge/bridge-nf-call-iptables', 'bridge/bridge-nf-call-ip6tables'] as const;

export interface RouterOptions {
  readonly namespaces: Namespaces;
  readonly settings: HostSettings;
  readonly log: Logger;
  /** networkd's folder: written on the bridge, so that two nodes do not take each other's networks. */
  readonly owner: string;
  /** Uplink by name; the default route's device where absent. */
  readonly uplink?: string;
}

export class Router {
  readonly #options: RouterOptions;
  #applied: string | undefined;
  #uplink: string | undefined;

  constructor(options: RouterOptions) {
    this.#options = options;
  }

  /** Device through which networks reach the world; `undefined` where there is none. */
  get uplink(): string | undefined {
    return this.#uplink;
  }

  /** Builds what is missing, and follows the default route when it has moved. Cheap where nothing has changed. */
  async ensure(): Promise<void> {
    const { namespaces, settings, log } = this.#options;
    const uplink = await this.#findUplink();
    const present = await interfaceNames();
    const owner = await this.#ownerOfBridge(present);
    if (owner !== undefined && owner !== this.#options.owner) {
      throw new GridError('network_namespace_taken', { bridge: ROUTER.bridge, owner });
    }
    // Without its end out here the namespace is half made, or of an earlier life of this machine.
    const alive = present.has(ROUTER.innerPort) && (await namespaces.isAlive(ROUTER.namespace));
    const wanted = [ROUTER.bridge, ROUTER.innerPort, ...(uplink === undefined ? [] : [ROUTER.outerPort])];
    const complete = alive && wanted.every((name) => present.has(name));
    if (complete && this.#applied === (uplink ?? '')) return;
    if (!alive) await this.#clear(present);
    await this.#build(present, alive, uplink);
    for (const key of BRIDGE_FILTERS) await settings.change(key, '0');
    let seal = false;
    if (uplink !== undefined) {
      const forwarding = `ipv4/conf/${uplink}/forwarding`;
      await settings.change(forwarding, '1');
      seal = await settings.isOurs(forwarding);
    }
    await nftApply(hostRules(uplink === undefined ? undefined : { device: uplink, seal }));
    this.#applied = uplink ?? '';
    this.#uplink = uplink;
    if (uplink === undefined) log.warn('no uplink: networks work, but reach nothing outside this node');
    else log.info({ uplink }, 'router ready');
  }

  async #ownerOfBridge(present: ReadonlySet<string>): Promise<string | undefined> {
    if (!present.has(ROUTER.bridge)) return undefined;
    const [link] = await ipJson<LinkJson>(['link', 'show', 'dev', ROUTER.bridge]);
    return link?.ifalias;
  }

  async #findUplink(): Promise<string | undefined> {
    const { uplink, log } = this.#options;
    const device = uplink ?? (await defaultRouteDevice());
    if (device === undefined || (await interfaceNames()).has(device)) return device;
    log.warn({ uplink: device }, 'uplink is not there');
    return undefined;
  }

  async #clear(present: ReadonlySet<string>): Promise<void> {
    const stale = [ROUTER.innerPort, ROUTER.outerPort].filter((name) => present.has(name));
    await ipForced(stale.map((name) => `link del dev ${name}`));
    await this.#options.namespaces.drop(ROUTER.namespace);
  }

  async #build(before: ReadonlySet<string>, alive: boolean, uplink: string | undefined): Promise<void> {
    const { namespaces } = this.#options;
    const present = alive ? before : new Set<string>([...before].filter((name) => name === ROUTER.bridge));
    const namespace = namespaces.pathOf(ROUTER.namespace);
    const host: string[] = [];
    const inside: string[] = ['link set lo up'];
    if (!alive) host.push(`netns add ${namespaces.nameFor(ROUTER.namespace)}`);
    if (!before.has(ROUTER.bridge)) host.push(`link add ${ROUTER.bridge} type bridge`);
    host.push(`link set ${ROUTER.bridge} mtu ${LINK_MTU} up`);
    if (!present.has(ROUTER.innerPort)) {
      host.push(`link add ${ROUTER.innerPort} type veth peer name ${ROUTER.inner} netns ${namespace}`);
    }
    host.push(`link set ${ROUTER.innerPort} mtu ${LINK_MTU} master ${ROUTER.bridge} up`);
    inside.push(
      `link set ${ROUTER.inner} addrgenmode none up`,
      `address replace ${ROUTER_GATEWAY.ipv4}/16 dev ${ROUTER.inner}`,
      `address replace ${ROUTER_GATEWAY.ipv6}/64 dev ${ROUTER.inner} nodad`,
      `address replace fd00::1/64 dev ${ROUTER.inner} nodad`,
    );
    if (uplink !== undefined) {
      if (!present.has(ROUTER.outerPort)) {
        host.push(`link add ${ROUTER.outerPort} type veth peer name ${ROUTER.outer} netns ${namespace}`);
      }
      host.push(
        `link set ${ROUTER.outerPort} mtu ${LINK_MTU} up`,
        `address replace ${HOST_LINK.host} dev ${ROUTER.outerPort}`,
      );
      inside.push(
        `link set ${ROUTER.outer} up`,
        `address replace ${HOST_LINK.router} dev ${ROUTER.outer}`,
        `route replace default via ${HOST_LINK.host.split('/')[0]} dev ${ROUTER.outer}`,
      );
    }
    await ipBatch(host);
    await ip(['link', 'set', 'dev', ROUTER.bridge, 'alias', this.#options.owner]);
    await setOwn({
      [`ipv6/conf/${ROUTER.bridge}/disable_ipv6`]: '1',
      [`ipv6/conf/${ROUTER.innerPort}/disable_ipv6`]: '1',
      [`ipv4/conf/${ROUTER.bridge}/arp_ignore`]: '8',
      [`ipv4/conf/${ROUTER.bridge}/forwarding`]: '0',
      ...(uplink === undefined
        ? {}
        : {
            [`ipv6/conf/${ROUTER.outerPort}/disable_ipv6`]: '1',
            [`ipv4/conf/${ROUTER.outerPort}/forwarding`]: '1',
          }),
    });
    await applyInside(namespace, inside, routerRules());
  }

  /** Addresses of the router towards the host. */
  async addresses(): Promise<LinkJson[]> {
    const namespace = this.#options.namespaces.pathOf(ROUTER.namespace);
    return ipJson<LinkJson>(['address', 'show', 'dev', ROUTER.outer], { namespace }).catch(() => []);
  }

  /** Whether what is here was made by a node with another folder. */
  async isForeign(): Promise<boolean> {
    const owner = await this.#ownerOfBridge(await interfaceNames());
    return owner !== undefined && owner !== this.#options.owner;
  }

  /** Removes namespace, bridge and links; what is missing is passed over. */
  async remove(): Promise<void> {
    const { namespaces } = this.#options;
    const present = await interfaceNames();
    const links = [ROUTER.innerPort, ROUTER.outerPort, ROUTER.bridge].filter((name) => present.has(name));
    await ipForced(links.map((name) => `link del dev ${name}`));
    await namespaces.drop(ROUTER.namespace);
    this.#applied = undefined;
  }
}
