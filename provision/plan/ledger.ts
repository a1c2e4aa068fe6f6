/**
 * The books of what accepted deployments hold: running sums and indexes that change with each
 * deployment, so that no decision walks through all of them. Pure, and kept by the journal in the
 * one place where it replaces a record.
 */
import type { PlacedAllocation, ReservedWorkload } from './capacity.ts';
import type { AddressHolder, Holder, Holdings, Left, NetworkHolder, PoolSums, Sums } from './holdings.ts';
import { SpaceBook } from './space.ts';

/** One line of the books: what one workload holds, or what a change of it will add. */
export interface LedgerLine {
  readonly holds: ReservedWorkload;
  /** It runs and is to stay, so that storaged surely has what it holds. */
  readonly stands: boolean;
  /** It is to go away. */
  readonly isLeaving: boolean;
}

/** What one accepted deployment holds until it is confirmed gone. */
export interface LedgerEntry {
  readonly twin: number;
  readonly contract: bigint;
  readonly lines: readonly LedgerLine[];
}

interface Tally {
  vcpus: number;
  memoryBytes: number;
  publicIps: number;
}

const nothing = (): Tally => ({ vcpus: 0, memoryBytes: 0, publicIps: 0 });

export class Ledger implements Holdings {
  readonly committed: Sums = nothing();
  readonly pending: Sums = nothing();
  /** Bytes by pool and by storaged's name. */
  readonly space = new SpaceBook();
  readonly #entries = new Map<string, LedgerEntry>();
  readonly #networks = new Index<NetworkHolder>();
  readonly #machines = new Index<AddressHolder>();
  readonly #addresses = new Index<AddressHolder>();
  readonly #ports = new Index<Holder>();
  readonly #gpus = new Index<Holder>();

  /** From now on the deployment `<twin>-<contract>` holds this; nothing when left out. Costs as much as it holds. */
  replace(id: string, entry: LedgerEntry | undefined): void {
    const before = this.#entries.get(id);
    // What stays is never seen as gone in between.
    if (entry !== undefined) this.#count(entry, 1);
    if (before !== undefined) this.#count(before, -1);
    this.space.settle();
    if (entry === undefined || entry.lines.length === 0) this.#entries.delete(id);
    else this.#entries.set(id, entry);
  }

  /** What the deployment holds, line by line; of what is being changed, first what it holds now. */
  linesOf({ twin, contract }: { readonly twin: number; readonly contract: bigint }): readonly LedgerLine[] {
    return this.#entries.get(`${twin}-${contract}`)?.lines ?? [];
  }

  pool(name: string): PoolSums {
    return this.space.pool(name);
  }

  /** The pool in which something that is held counts. */
  placeOf({ resource, pool }: PlacedAllocation): string {
    return this.space.placeOf(resource) ?? pool;
  }

  networks(twin: number, name: string): readonly NetworkHolder[] {
    return this.#networks.get(`${twin} ${name}`);
  }

  machines(twin: number, network: string): readonly AddressHolder[] {
    return this.#machines.get(`${twin} ${network}`);
  }

  address(twin: number, network: string, ip: string): AddressHolder | undefined {
    return this.#addresses.get(`${twin} ${network} ${ip}`).at(-1);
  }

  ports(port: number): readonly Holder[] {
    return this.#ports.get(String(port));
  }

  gpus(id: string): readonly Holder[] {
    return this.#gpus.get(id);
  }

  /** The same books without some workloads of one deployment. Costs as much as that deployment holds. */
  without(left: Left): Holdings {
    return new Remaining(this, left);
  }

  #count({ twin, contract, lines }: LedgerEntry, sign: 1 | -1): void {
    for (const { holds, stands, isLeaving } of lines) {
      tally(this[holds.state] as Tally, holds, sign);
      for (const allocation of holds.allocations) this.space.count(allocation, holds.state, stands, sign);
      const { network, address, gpus = [] } = holds;
      const holder = { twin, contract, workload: holds.name };
      if (network !== undefined) {
        this.#networks.change(`${twin} ${network.name}`, { ...holder, network, isLeaving }, sign);
        if (network.wireguardPort !== 0) this.#ports.change(String(network.wireguardPort), holder, sign);
      }
      if (address !== undefined) {
        this.#machines.change(`${twin} ${address.network}`, { ...holder, address }, sign);
        this.#addresses.change(`${twin} ${address.network} ${address.ip}`, { ...holder, address }, sign);
      }
      for (const gpu of gpus) this.#gpus.change(gpu, holder, sign);
    }
  }
}

/** Who holds a thing, by the thing. */
class Index<T extends Holder> {
  readonly #holders = new Map<string, T[]>();

  get(key: string): readonly T[] {
    return this.#holders.get(key) ?? [];
  }

  change(key: string, holder: T, sign: 1 | -1): void {
    const holders = this.#holders.get(key);
    if (sign === 1) {
      if (holders === undefined) this.#holders.set(key, [holder]);
      else holders.push(holder);
      return;
    }
    // The oldest of one workload's lines goes: what takes its place was put in before.
    const at = holders?.findIndex((one) => isSame(one, holder)) ?? -1;
    if (holders === undefined || at < 0) throw new Error(`the ledger does not know the holder of '${key}'`);
    holders.splice(at, 1);
    if (holders.length === 0) this.#holders.delete(key);
  }
}

function isSame(one: Holder, other: Holder): boolean {
  return one.contract === other.contract && one.workload === other.workload && one.twin === other.twin;
}

function tally(sums: Tally, { vcpus, memoryBytes, publicIps }: Sums, sign: 1 | -1): void {
  sums.vcpus += sign * vcpus;
  sums.memoryBytes += sign * memoryBytes;
  sums.publicIps += sign * publicIps;
}

/** A ledger seen without some workloads of one deployment. */
class Remaining implements Holdings {
  readonly committed: Sums;
  readonly pending: Sums;
  readonly #ledger: Ledger;
  readonly #left: Left;
  readonly #gone: readonly ReservedWorkload[];

  constructor(ledger: Ledger, left: Left) {
    this.#ledger = ledger;
    this.#left = left;
    const own = ledger.linesOf(left).map((one) => one.holds);
    const adds = (one: ReservedWorkload, at: number): boolean => own.findIndex(({ name }) => name === one.name) < at;
    this.#gone = own.filter(
      (one, at) => left.workloads.has(one.name) || (left.unchanged?.has(one.name) === true && adds(one, at)),
    );
    const sums = { committed: { ...ledger.committed }, pending: { ...ledger.pending } };
    for (const workload of this.#gone) tally(sums[workload.state], workload, -1);
    this.committed = sums.committed;
    this.pending = sums.pending;
  }

  pool(name: string): PoolSums {
    const sums = { ...this.#ledger.pool(name) };
    for (const { state, allocations } of this.#gone) {
      for (const one of allocations) if (this.#ledger.placeOf(one) === name) sums[state] -= one.bytes;
    }
    return sums;
  }

  networks(twin: number, name: string): readonly NetworkHolder[] {
    return this.#ledger.networks(twin, name).filter((one) => !this.#isLeft(one));
  }

  machines(twin: number, network: string): readonly AddressHolder[] {
    return this.#ledger.machines(twin, network).filter((one) => !this.#isLeft(one));
  }

  address(twin: number, network: string, ip: string): AddressHolder | undefined {
    const last = this.#ledger.address(twin, network, ip);
    if (last === undefined || !this.#isLeft(last)) return last;
    return this.machines(twin, network).findLast((one) => one.address.ip === ip);
  }

  ports(port: number): readonly Holder[] {
    return this.#ledger.ports(port).filter((one) => !this.#isLeft(one));
  }

  gpus(id: string): readonly Holder[] {
    return this.#ledger.gpus(id).filter((one) => !this.#isLeft(one));
  }

  #isLeft({ twin, contract, workload }: Holder): boolean {
    return twin === this.#left.twin && contract === this.#left.contract && this.#left.workloads.has(workload);
  }
}
