/**
 * The node's capacity, counted once. Pure: the same numbers answer statistics,
 * the dry run and the decision to accept, so they can not differ.
 *
 * total = system + committed + pending + free, in every unit. Where more is
 * promised than there is (memory or a pool was taken out), free is 0 and the
 * rest is `deficit`.
 */
import type { AddressClaim, Holdings, NetworkClaim } from './holdings.ts';

export type Media = 'ssd' | 'hdd';

/** Space that one workload takes in one pool under a name storaged knows. */
export interface Allocation {
  /** storaged's name: a disk, or a volume. */
  readonly resource: string;
  readonly kind: 'disk' | 'volume';
  readonly media: Media;
  readonly bytes: number;
}

export interface PlacedAllocation extends Allocation {
  readonly pool: string;
}

/** What one accepted workload holds. `committed` once it runs, `pending` until then. */
export interface ReservedWorkload {
  readonly name: string;
  readonly type: string;
  readonly state: 'pending' | 'committed';
  readonly vcpus: number;
  readonly memoryBytes: number;
  readonly publicIps: number;
  readonly allocations: readonly PlacedAllocation[];
  readonly network?: NetworkClaim;
  readonly address?: AddressClaim;
  /** GPUs passed to a machine, by id. */
  readonly gpus?: readonly string[];
}

/** Everything one accepted deployment holds until its resources are confirmed gone. */
export interface Reservation {
  readonly twin: number;
  readonly contract: bigint;
  readonly workloads: readonly ReservedWorkload[];
}

/** One pool as storaged reports it, bytes; its size is what may be promised of the device. */
export interface Pool {
  readonly name: string;
  readonly media: Media;
  readonly sizeBytes: number;
  /** What fills it without an accepted workload behind it: the node's own, and what lost its owner. */
  readonly foreignBytes: number;
}

export interface CapacityPolicy {
  /** vCPUs sold for each logical CPU. */
  readonly cpuOvercommit: number;
}

/** What the planner knows of the node at one moment. */
export interface Snapshot {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly pools: readonly Pool[];
  /** The books of this very moment. */
  readonly holdings: Holdings;
  readonly policy: CapacityPolicy;
}

export interface Account {
  readonly total: number;
  readonly system: number;
  readonly committed: number;
  readonly pending: number;
  readonly free: number;
  /**
   * How much more is promised than there is. 0 on a healthy node, except for the moment in which an
   * update waits for what it removes before it makes what takes its place.
   */
  readonly deficit: number;
}

export interface PoolAccount extends Account {
  readonly name: string;
  readonly media: Media;
}

export interface Capacity {
  /** vCPUs: logical CPUs times the over-commit factor. */
  readonly vcpus: Account;
  readonly memory: Account;
  readonly ssd: Account;
  readonly hdd: Account;
  readonly publicIps: { readonly committed: number; readonly pending: number };
  readonly pools: readonly PoolAccount[];
  /** Largest single disk that still fits, bytes. */
  readonly largestDiskBytes: number;
}

const GIB = 1024 ** 3;
const MINIMUM_RESERVED_MEMORY_BYTES = 2 * GIB;

/**
 * The node's own memory: the larger of a tenth and 2 GiB, never more than there is. What the host
 * uses at this moment is left out on purpose: declared memory counts in full from acceptance on, so
 * machines can not take more than is counted, the node's daemons stay within the reserve, and one
 * request has one answer. Memory that other programs of the host take is not seen.
 */
export function reservedMemoryBytes(totalBytes: number): number {
  return Math.min(totalBytes, Math.max(Math.floor(totalBytes / 10), MINIMUM_RESERVED_MEMORY_BYTES));
}

/** What a workload will hold beyond what it holds now, once it has become `target`. */
export function growthOf(held: ReservedWorkload, target: ReservedWorkload): ReservedWorkload {
  const more = (to: number, from: number): number => Math.max(0, to - from);
  const before = new Map(held.allocations.map((one) => [one.resource, one.bytes]));
  return {
    ...target,
    state: 'pending',
    vcpus: more(target.vcpus, held.vcpus),
    memoryBytes: more(target.memoryBytes, held.memoryBytes),
    publicIps: more(target.publicIps, held.publicIps),
    allocations: target.allocations
      .map((one) => ({ ...one, bytes: more(one.bytes, before.get(one.resource) ?? 0) }))
      .filter((one) => one.bytes > 0),
  };
}

function account(total: number, system: number, committed: number, pending: number): Account {
  const left = total - system - committed - pending;
  return { total, system, committed, pending, free: Math.max(0, left), deficit: Math.max(0, -left) };
}

function add(accounts: readonly Account[]): Account {
  const sum = { total: 0, system: 0, committed: 0, pending: 0, free: 0, deficit: 0 };
  for (const one of accounts) {
    sum.total += one.total;
    sum.system += one.system;
    sum.committed += one.committed;
    sum.pending += one.pending;
    sum.free += one.free;
    sum.deficit += one.deficit;
  }
  return sum;
}

function poolAccount({ name, media, sizeBytes, foreignBytes }: Pool, holdings: Holdings): PoolAccount {
  const { committed, pending } = holdings.pool(name);
  const system = Math.min(foreignBytes, Math.max(0, sizeBytes - committed - pending));
  return { name, media, ...account(sizeBytes, system, committed, pending) };
}

/** The largest free space of one pool, and that pool's name; `''` when there is no pool. */
export function roomiest(
  pools: readonly PoolAccount[],
  media: Media,
): { readonly name: string; readonly free: number } {
  let best = { name: '', free: 0 };
  for (const pool of pools) {
    if (pool.media !== media) continue;
    if (best.name === '' || pool.free > best.free || (pool.free === best.free && pool.name < best.name)) {
      best = { name: pool.name, free: pool.free };
    }
  }
  return best;
}

/** Counts the node. Costs the same however much is held. */
export function countCapacity({ cpus, memoryBytes, pools: read, holdings, policy }: Snapshot): Capacity {
  const { committed, pending } = holdings;
  const pools = read.map((pool) => poolAccount(pool, holdings));
  const reserve = reservedMemoryBytes(memoryBytes);
  return {
    vcpus: account(Math.floor(cpus * policy.cpuOvercommit), 0, committed.vcpus, pending.vcpus),
    memory: account(memoryBytes, reserve, committed.memoryBytes, pending.memoryBytes),
    ssd: add(pools.filter((pool) => pool.media === 'ssd')),
    hdd: add(pools.filter((pool) => pool.media === 'hdd')),
    publicIps: { committed: committed.publicIps, pending: pending.publicIps },
    pools,
    largestDiskBytes: roomiest(pools, 'ssd').free,
  };
}
