/**
 * The networks of this node: what was asked for is written down first, the
 * host follows, and what was asked to go is gone before it is forgotten.
 */
import type { Logger } from 'pino';
import { GridError, isGridError } from '../../schemas/errors/index.ts';
import { ownerInName } from '../../schemas/ids.ts';
import { HostCommandError } from '../host/run.ts';
import { WireguardError } from '../wireguard/index.ts';
import type { NetworkFabric, NetworkItem, NetworkTaps } from './drivers/driver.ts';
import { Lanes } from './lanes.ts';
import { networkNames } from './plan/names.ts';
import { type NetworkPlan, planNetwork } from './plan/network.ts';
import type { NetworkSpec } from './plan/spec.ts';
import type { WireguardPorts } from './ports.ts';
import type { NetworkRecord, NetworkStore } from './store.ts';

export interface NetworksOptions {
  readonly store: NetworkStore;
  readonly ports: WireguardPorts;
  readonly fabric: NetworkFabric;
  readonly taps: NetworkTaps;
  readonly log: Logger;
}

const planOf = ({ spec, lease, workloads }: NetworkRecord): NetworkPlan => planNetwork(spec, lease, workloads);

export class Networks {
  readonly #store: NetworkStore;
  readonly #ports: WireguardPorts;
  readonly #fabric: NetworkFabric;
  readonly #taps: NetworkTaps;
  readonly #log: Logger;
  readonly #lanes = new Lanes();
  /** Networks whose tunnel alone could not be made again, until the next `mend`. */
  readonly #beyondTunnel = new Set<string>();

  constructor(options: NetworksOptions) {
    this.#store = options.store;
    this.#ports = options.ports;
    this.#fabric = options.fabric;
    this.#taps = options.taps;
    this.#log = options.log;
  }

  all(): NetworkRecord[] {
    return this.#store.all().filter((record) => !record.removing);
  }

  /** Throws `network_unknown`. */
  get(netid: string): NetworkRecord {
    const record = this.#store.get(netid);
    if (record === undefined || record.removing) throw new GridError('network_unknown', { network: netid });
    return record;
  }

  /** Makes a network, or changes an existing one. What fails leaves things as they were. */
  create(workload: string, spec: NetworkSpec): Promise<void> {
    return this.#lanes.run(spec.netid, async () => {
      const before = this.#store.get(spec.netid);
      await this.#ports.claim(spec.listenPort, spec.netid);
      const known = before !== undefined && !before.removing;
      const record = await this.#write(workload, spec, known ? before : undefined);
      try {
        await this.#fabric.ensure(planOf(record));
        if (known && before.spec.subnet !== spec.subnet) await this.#taps.rebuild(this.#specs());
      } catch (error) {
        // The text for the one who asked leaves out what only this log may hold.
        this.#log.error({ err: error, network: spec.netid, workload }, 'network could not be made');
        await this.#revert(record, known ? before : undefined);
        // One that was to go has no record any more that holds its port.
        if (!known) this.#leavePort(before, spec);
        throw setupFailure(spec, error);
      }
      this.#leavePort(before, spec);
    });
  }

  /**
   * Gives up a workload's hold of its network, and removes the network with the last hold. Unknown ones are gone
   * already. Throws `network_in_use` while machines of other deployments are on it: it is theirs, too.
   */
  async delete(workload: string): Promise<void> {
    const found = this.#store.findByWorkload(workload);
    if (found === undefined) return;
    await this.#lanes.run(found.spec.netid, async () => {
      const record = this.#store.get(found.spec.netid);
      if (record === undefined) return;
      const workloads = record.workloads.filter((holder) => holder !== workload);
      if (workloads.length > 0) return this.#store.put({ ...record, workloads });
      await this.#checkUnused(record, workload);
      await this.#take(record);
    });
  }

  async #checkUnused({ spec: { netid }, removing }: NetworkRecord, workload: string): Promise<void> {
    if (removing) return;
    const taps = await this.#taps.items(networkNames(netid).bridge);
    const others = taps.map(({ owner }) => owner).filter((owner) => isOfAnother(owner, workload));
    const [holder] = others;
    if (holder !== undefined) throw new GridError('network_in_use', { network: netid, holder, amount: others.length });
  }

  /** Those of `asked` that nobody may ask for. */
  portsTaken(asked: readonly number[]): number[] {
    return this.#ports.taken(asked);
  }

  /** What there is of networks: by records, by the host, and addresses that no network has. */
  async items(): Promise<{
    readonly records: readonly NetworkRecord[];
    readonly host: readonly NetworkItem[];
    readonly leases: readonly string[];
  }> {
    // A record comes before anything on the host and goes after it, so the host is read first.
    const host = await this.#fabric.items();
    return { records: this.#store.all(), host, leases: this.#store.strayLeases };
  }

  /** Removes what the host has of a network that has no record; one that has is left alone. */
  discard(netid: string): Promise<void> {
    return this.#lanes.run(netid, async () => {
      if (this.#store.get(netid) !== undefined) return;
      await this.#fabric.remove({ netid, names: networkNames(netid) });
      await this.#taps.rebuild(this.#specs());
      await this.#store.giveBack(netid);
    });
  }

  /** Takes away what may be sent by taps that are not there. */
  dropStrayGuards(): Promise<void> {
    return this.#taps.rebuild(this.#specs());
  }

  /** The same also of one whose removal was begun and has not ended: it still is there. */
  standing(netid: string): NetworkRecord {
    const record = this.#store.get(netid);
    if (record === undefined) throw new GridError('network_unknown', { network: netid });
    return record;
  }

  /** A piece of work on one network that must not meet its creation or removal. */
  exclusive<T>(netid: string, work: (record: NetworkRecord) => Promise<T>): Promise<T> {
    return this.#lanes.run(netid, () => work(this.get(netid)));
  }

  /** After a start: finishes removals that were cut short, and makes the host follow every record. */
  async adopt(): Promise<void> {
    for (const record of this.#store.all()) this.#ports.adopt(record.spec.listenPort, record.spec.netid);
    await Promise.all(
      this.#store.all().map(({ spec: { netid } }) =>
        this.#lanes.run(netid, async () => {
          const record = this.#store.get(netid);
          if (record === undefined) return;
          try {
            await (record.removing ? this.#take(record) : this.#fabric.ensure(planOf(record)));
          } catch (error) {
            this.#log.error({ err: error, network: netid }, 'network could not be adopted');
          }
        }),
      ),
    );
    await this.#taps.rebuild(this.#specs());
  }

  /**
   * Makes tunnels again whose process died; cheap where none did. One that
   * cannot be made is left to `mend`, which looks at the whole network.
   */
  async mendTunnels(): Promise<void> {
    for (const { spec } of this.all()) {
      if (this.#beyondTunnel.has(spec.netid) || (await this.#hasTunnel(spec.netid))) continue;
      await this.#lanes.run(spec.netid, async () => {
        // What was being made, changed or removed meanwhile is done now.
        const record = this.#store.get(spec.netid);
        if (record === undefined || record.removing || (await this.#hasTunnel(spec.netid))) return;
        const said = { network: spec.netid };
        try {
          await this.#fabric.ensureTunnel(planOf(record));
          this.#log.warn(said, 'the tunnel of a network had died and was made again');
        } catch (error) {
          this.#beyondTunnel.add(spec.netid);
          this.#log.error({ err: error, ...said }, 'tunnel could not be made again');
        }
      });
    }
  }

  async #hasTunnel(netid: string): Promise<boolean> {
    const record = this.#store.get(netid);
    return record === undefined || (await this.#fabric.tunnelLives(planOf(record)));
  }

  /** Mends networks that have lost any part. */
  async mend(): Promise<void> {
    this.#beyondTunnel.clear();
    for (const { spec } of this.all()) {
      await this.#lanes.run(spec.netid, async () => {
        const record = this.#store.get(spec.netid);
        if (record === undefined) return;
        try {
          if (record.removing) return await this.#take(record);
          if (await this.#fabric.isWhole(planOf(record))) return;
          this.#log.warn({ network: spec.netid }, 'network lost a part, building it again');
          await this.#fabric.ensure(planOf(record));
        } catch (error) {
          this.#log.error({ err: error, network: spec.netid }, 'network could not be mended');
        }
      });
    }
  }

  /** Writes down what is wanted, before the host is touched. */
  async #write(workload: string, spec: NetworkSpec, before: NetworkRecord | undefined): Promise<NetworkRecord> {
    try {
      const record: NetworkRecord = {
        version: 1,
        workloads: [...new Set([...(before?.workloads ?? []), workload])],
        lease: await this.#store.lease(spec.netid),
        removing: false,
        spec,
      };
      await this.#store.put(record);
      return record;
    } catch (error) {
      if (before?.spec.listenPort !== spec.listenPort) this.#ports.release(spec.listenPort, spec.netid);
      throw error;
    }
  }

  #leavePort(before: NetworkRecord | undefined, { listenPort, netid }: NetworkSpec): void {
    if (before !== undefined && before.spec.listenPort !== listenPort)
      this.#ports.release(before.spec.listenPort, netid);
  }

  #specs(): NetworkSpec[] {
    return this.all().map((record) => record.spec);
  }

  async #take(record: NetworkRecord): Promise<void> {
    if (!record.removing) await this.#store.put({ ...record, removing: true });
    await this.#fabric.remove(planOf(record));
    await this.#taps.rebuild(this.#specs());
    await this.#store.remove(record.spec.netid);
    this.#ports.release(record.spec.listenPort, record.spec.netid);
  }

  /** Back to the network as it was, or to none. */
  async #revert(record: NetworkRecord, before: NetworkRecord | undefined): Promise<void> {
    const { netid, listenPort } = record.spec;
    try {
      if (before === undefined) return await this.#take(record);
      await this.#store.put(before);
      if (listenPort !== before.spec.listenPort) this.#ports.release(listenPort, netid);
      await this.#fabric.ensure(planOf(before));
    } catch (error) {
      // The record still says what must be; the next look at the network goes on from here.
      this.#log.error({ err: error, network: netid }, 'could not go back after a failed change');
    }
  }
}

function setupFailure(spec: NetworkSpec, error: unknown): Error {
  if (isGridError(error)) return error;
  if (error instanceof WireguardError) {
    if (error.reason === 'address_in_use') {
      return new GridError('network_port_taken', { port: spec.listenPort, holder: 'socket' }, { cause: error });
    }
    if (error.reason === 'missing') {
      return new GridError('network_wireguard_missing', { reason: error.message }, { cause: error });
    }
  }
  const [step, reason] = shownFailure(error);
  return new GridError('network_setup_failed', { network: spec.netid, step, reason }, { cause: error });
}

/** Step and reason without command lines and paths of the host. */
function shownFailure(error: unknown): readonly [step: string, reason: string] {
  if (error instanceof WireguardError) return ['tunnel', `the WireGuard device failed (${error.reason})`];
  const command = error instanceof Error && error.cause instanceof HostCommandError ? error.cause : error;
  if (command instanceof HostCommandError) return ['set-up', `a host program failed (${command.reason})`];
  return ['set-up', "the node's log says how"];
}

function isOfAnother(owner: string, workload: string): boolean {
  const [id, own] = [owner, workload].map(ownerInName);
  return id !== undefined && id !== '' && own !== '' && deploymentOf(id) !== deploymentOf(own ?? '');
}

/** `<twin>-<contract>` of a workload's id. */
function deploymentOf(id: string): string {
  return id.split('-').slice(0, 2).join('-');
}
