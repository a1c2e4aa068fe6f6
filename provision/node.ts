/** Reads the node for the planner: processors, memory, pools and what accepted deployments have in them. */
import { availableParallelism, totalmem } from 'node:os';
import { basename } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Pool, Reservation, Snapshot } from './plan/capacity.ts';
import type { Journal } from './store/journal.ts';
import type { Calling, Daemons } from './workloads/workload.ts';

const CONSISTENT_READS = 4;

export interface NodeOptions {
  readonly daemons: Pick<Daemons, 'storage' | 'network'>;
  readonly journal: Journal;
  readonly cpuOvercommit: number;
  /** Logical CPUs and bytes of memory; the host's own when left out. */
  readonly host?: { readonly cpus: number; readonly memoryBytes: number };
}

/** Something in a pool, by storaged's name. */
interface Resident {
  readonly name: string;
  readonly pool: string;
  readonly bytes: number;
}

/** What was read of storaged; the journal's part is added when it is used. */
export interface PoolReading {
  readonly pools: ReadonlyArray<Omit<Pool, 'existing'>>;
  readonly residents: readonly Resident[];
}

interface StorageReading {
  readonly pools: PoolReading['pools'];
  readonly residents: ReadonlyArray<{ readonly name: string; readonly path: string; readonly bytes: number }>;
}

export class NodeReader {
  readonly #options: NodeOptions;
  readonly #host: { readonly cpus: number; readonly memoryBytes: number };

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#host = options.host ?? { cpus: availableParallelism(), memoryBytes: totalmem() };
  }

  /** Asks storaged; the lists and the sums belong to the same moment. Throws `ZbusError`. */
  async pools(calling: Calling): Promise<PoolReading> {
    let before = await this.#readStorage(calling);
    for (let read = 1; ; read++) {
      const after = await this.#readStorage(calling);
      if (read < CONSISTENT_READS && !isDeepStrictEqual(before, after)) {
        before = after;
        continue;
      }
      // Without a quiet moment only what was there all the time counts as somebody's: never too much is free.
      const lasting = after.residents.filter((one) => before.residents.some((other) => isDeepStrictEqual(one, other)));
      const { pools } = after;
      return { pools, residents: lasting.map(({ name, path, bytes }) => ({ name, bytes, pool: poolOf(path, pools) })) };
    }
  }

  /** The node now: a reading of its pools and the reservations of this very moment. */
  snapshot(reading: PoolReading): Snapshot {
    const places = new Map(reading.residents.map((resident) => [resident.name, resident.pool]));
    return {
      ...this.#host,
      policy: { cpuOvercommit: this.#options.cpuOvercommit },
      pools: reading.pools.map((pool) => ({
        ...pool,
        existing: new Map(
          reading.residents.filter((one) => one.pool === pool.name).map(({ name, bytes }) => [name, bytes]),
        ),
      })),
      reservations: this.#options.journal.reservations().map((one) => whereItIs(one, places)),
    };
  }

  /** WireGuard ports that are taken on the host. */
  async wireguardPorts(calling: Calling): Promise<ReadonlySet<number>> {
    return new Set(await this.#options.daemons.network.WireguardPorts({}, calling));
  }

  async #readStorage(calling: Calling): Promise<StorageReading> {
    const { storage } = this.#options.daemons;
    const [metrics, volumes, disks] = await Promise.all([
      storage.Metrics({}, calling),
      storage.VolumeList({}, calling),
      storage.DiskList({}, calling),
    ]);
    return {
      pools: metrics.map(({ Name, Type, Size, Used }) => ({
        name: Name,
        media: Type === 'hdd' ? ('hdd' as const) : ('ssd' as const),
        sizeBytes: Size,
        usedBytes: Used,
      })),
      residents: [
        ...volumes.map(({ Name, Path, Usage }) => ({ name: Name, path: Path, bytes: Usage.Size })),
        ...disks.map(({ Path, Size }) => ({ name: basename(Path), path: Path, bytes: Size })),
      ].sort((a, b) => (a.path < b.path ? -1 : 1)),
    };
  }
}

/** A pool's name is a folder on the way to everything in it. */
function poolOf(path: string, pools: readonly { readonly name: string }[]): string {
  const folders = new Set(path.split('/').slice(0, -1));
  return pools.find((pool) => folders.has(pool.name))?.name ?? (pools.length === 1 ? (pools[0]?.name ?? '') : '');
}

/** storaged chose the pool in the end; what exists counts where it is. */
function whereItIs(reservation: Reservation, places: ReadonlyMap<string, string>): Reservation {
  return {
    ...reservation,
    workloads: reservation.workloads.map((workload) => ({
      ...workload,
      allocations: workload.allocations.map((one) => ({ ...one, pool: places.get(one.resource) || one.pool })),
    })),
  };
}
