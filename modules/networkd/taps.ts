/** Private taps: one for each machine's interface on a network's bridge, and the guard that says what may come in by them. */
import { GridError } from '../../schemas/errors/index.ts';
import { ip, ipBatch, ipForced, ipJson, type LinkJson, nftApply, nftSet } from './drivers/commands.ts';
import type { NetworkTaps, TapItem } from './drivers/driver.ts';
import { interfaceNames } from './drivers/links.ts';
import { setOwn } from './drivers/settings.ts';
import { admitTap, dismissTap, GUARD_SET, guardRules, type TapGuard } from './plan/firewall.ts';
import { checkedTapName, isTapName, networkNames } from './plan/names.ts';
import { LINK_MTU, planTapGuard } from './plan/network.ts';
import type { NetworkSpec } from './plan/spec.ts';

export class Taps implements NetworkTaps {
  readonly #owner: number | undefined;
  readonly #guards = new Map<string, TapGuard>();
  /** nftables answers one transaction at a time, and the sets and this map must say the same. */
  #turn: Promise<void> = Promise.resolve();

  /** `owner`: user id that may open the taps beside root. */
  constructor(options: { readonly owner?: number }) {
    this.#owner = options.owner;
  }

  /** Makes a tap on the network's bridge and lets it send. Resolves with its name; an existing one is kept. */
  async ensure(spec: NetworkSpec, name: string): Promise<string> {
    const tap = checkedTapName(name);
    const { bridge } = networkNames(spec.netid);
    if ((await interfaceNames()).has(tap)) {
      const [link] = await ipJson<LinkJson>(['link', 'show', 'dev', tap]);
      if (link?.master !== undefined && link.master !== bridge) {
        throw new GridError('network_tap_taken', { tap, bridge: link.master });
      }
    } else {
      const owner = this.#owner === undefined ? '' : ` user ${this.#owner}`;
      await ipBatch([`tuntap add dev ${tap} mode tap${owner}`]);
    }
    await this.#admit(planTapGuard(spec, tap, name));
    await setOwn({ [`ipv6/conf/${tap}/disable_ipv6`]: '1' });
    await ipBatch([`link set dev ${tap} mtu ${LINK_MTU} master ${bridge} promisc on up`]);
    return tap;
  }

  /** Removes a tap; a missing one is success. */
  async remove(name: string): Promise<void> {
    const tap = checkedTapName(name);
    if ((await interfaceNames()).has(tap)) await ipForced([`link del dev ${tap}`]);
    if ((await interfaceNames()).has(tap)) throw new Error(`interface ${tap} is still there after its removal`);
    await this.#dismiss(tap);
  }

  async exists(name: string): Promise<boolean> {
    return (await interfaceNames()).has(checkedTapName(name));
  }

  /** Writes the guard anew for the taps that are there: at start, and when networks have changed or gone. */
  async rebuild(specs: readonly NetworkSpec[]): Promise<void> {
    const byBridge = new Map(specs.map((spec) => [networkNames(spec.netid).bridge, spec]));
    await this.#inTurn(async () => {
      const found = new Map<string, TapGuard>();
      for (const { ifname, master = '' } of await ipJson<LinkJson>(['link', 'show'])) {
        const spec = byBridge.get(master);
        if (spec === undefined || !ifname.startsWith('t-')) continue;
        found.set(ifname, planTapGuard(spec, ifname, ifname.slice(2)));
      }
      await nftApply(guardRules([...found.values()]));
      this.#guards.clear();
      for (const [tap, guard] of found) this.#guards.set(tap, guard);
    });
  }

  /** The tap itself carries its owner: it is told as long as there is something to tell of. */
  async claim(name: string, owner: string): Promise<void> {
    const tap = checkedTapName(name);
    if ((await interfaceNames()).has(tap)) await ip(['link', 'set', 'dev', tap, 'alias', owner]);
  }

  async items(bridge?: string): Promise<TapItem[]> {
    if (bridge !== undefined && !(await interfaceNames()).has(bridge)) return [];
    const links = await ipJson<LinkJson>(['link', 'show', ...(bridge === undefined ? [] : ['master', bridge])]);
    return links
      .filter(({ ifname }) => isTapName(ifname))
      .map(({ ifname, master = '', ifalias = '' }) => ({ tap: ifname, bridge: master, owner: ifalias }));
  }

  async strayGuards(): Promise<string[]> {
    const guarded = await nftSet(GUARD_SET);
    // Read after the guards: a tap is there before it may send.
    const present = await interfaceNames();
    return [...new Set(guarded)].filter((tap) => isTapName(tap) && !present.has(tap));
  }

  async #admit(guard: TapGuard): Promise<void> {
    await this.#inTurn(async () => {
      const held = this.#guards.get(guard.tap);
      if (held !== undefined && admitTap(held) === admitTap(guard)) return;
      await nftApply(`${held === undefined ? '' : dismissTap(held)}${admitTap(guard)}`);
      this.#guards.set(guard.tap, guard);
    });
  }

  async #dismiss(tap: string): Promise<void> {
    await this.#inTurn(async () => {
      const held = this.#guards.get(tap);
      if (held === undefined) return;
      await nftApply(dismissTap(held));
      this.#guards.delete(tap);
    });
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }
}
