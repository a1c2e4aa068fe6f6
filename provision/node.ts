/** Reads the node for the planner: processors, memory, and what in its pools is nobody's. */
import { availableParallelism, totalmem } from 'node:os';
import { basename } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { nodeMachine } from '../modules/noded/interface.ts';
import type { PoolMetrics } from '../modules/storaged/interface.ts';
import type { Client } from '../modules/zbus/definition.ts';
import type { Infer } from '../modules/zbus/wire.ts';
import type { Pool, Snapshot } from './plan/capacity.ts';
import type { Ledger } from './plan/ledger.ts';
import { unlessAborted } from './recent.ts';
import type { Journal } from './store/journal.ts';
import { type PortsAsked, TakenPorts } from './taken-ports.ts';
import type { Calling, Daemons } from './workloads/workload.ts';

const CONSISTENT_READS = 4;
/** Milliseconds that one reading of everything may take: those who share it have deadlines of their own. */
const FULL_READ_DEADLINE_MS = 10_000;

export interface NodeOptions {
  readonly daemons: Pick<Daemons, 'storage' | 'network'>;
  /** networkd's own object; without it all its ports are listed. */
  readonly ports?: PortsAsked;
  /** noded; without it the node has no GPUs. */
  readonly machine?: Client<typeof nodeMachine>;
  readonly journal: Pick<Journal, 'ledger'>;
  readonly cpuOvercommit: number;
  /** Logical CPUs and bytes of memory; the host's own when left out. */
  readonly host?: { readonly cpus: number; readonly memoryBytes: number };
}

/** What was read of storaged; the journal's part is added when it is used. */
export interface PoolReading {
  readonly pools: readonly Pool[];
  /** False where `foreignBytes` is only the most that it may be: a refusal by it is not to be believed. */
  readonly isExact: boolean;
}

/** Something in a pool, by storaged's name. */
interface Resident {
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
}

interface StorageReading {
  readonly metrics: readonly Infer<typeof PoolMetrics>[];
  readonly residents: readonly Resident[];
}

export class NodeReader {
  readonly #options: NodeOptions;
  readonly #host: { readonly cpus: number; readonly memoryBytes: number };
  readonly #ports: TakenPorts;
  #reading: Promise<PoolReading> | undefined;
  #next: Promise<PoolReading> | undefined;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#ports = new TakenPorts(options.daemons.network, options.ports);
    this.#host = options.host ?? { cpus: availableParallelism(), memoryBytes: totalmem() };
  }

  /**
   * Asks storaged for the sums of its pools alone. Of what is used, the node's own is at most what does
   * not surely belong to accepted workloads: what is being made or removed may count twice, nothing
   * counts too little. Exact where nothing is being made or removed. Throws `ZbusError`.
   */
  async totals(calling: Calling): Promise<PoolReading> {
    const { space } = this.#options.journal.ledger;
    const mark = space.mark();
    const metrics = await this.#options.daemons.storage.Metrics({}, calling);
    const pools = metrics.map((one) => poolOf(one, one.Used - space.stoodSince(mark, one.Name)));
    const isOnlyPlace = (media: Pool['media']): boolean => pools.filter((one) => one.media === media).length <= 1;
    const isCertain = ({ Name, Used }: Infer<typeof PoolMetrics>): boolean =>
      space.isSettled(mark, Name) && space.pool(Name).committed <= Used;
    // What was only signed for is in no pool until it is seen in one.
    const { committed, pending } = space.pool('');
    const isEvident = committed + pending === 0 && isOnlyPlace('ssd') && isOnlyPlace('hdd');
    return { pools, isExact: metrics.every(isCertain) && (space.isPlaced || isEvident) };
  }

  /**
   * Asks storaged for everything in its pools, a reading that begins after the call. Whoever asks
   * meanwhile shares the next one. Throws `ZbusError`.
   */
  pools({ signal }: Pick<Calling, 'signal'>): Promise<PoolReading> {
    return unlessAborted(this.#reading === undefined ? this.#begin() : this.#afterwards(this.#reading), signal);
  }

  /** The node now: a reading of its pools and the books of this very moment. */
  snapshot({ pools }: PoolReading): Snapshot & { readonly holdings: Ledger } {
    const { cpuOvercommit, journal } = this.#options;
    return { ...this.#host, policy: { cpuOvercommit }, pools, holdings: journal.ledger };
  }

  /** Those of `asked` that are taken on the host, maybe with others. Throws `ZbusError`. */
  wireguardPorts(asked: readonly number[], calling: Calling): Promise<ReadonlySet<number>> {
    return this.#ports.among(asked, calling);
  }

  /** Ids of the host's GPUs. */
  async gpus(calling: Calling): Promise<ReadonlySet<string>> {
    const found = await this.#options.machine?.Gpus({}, calling);
    return new Set(found?.map((gpu) => gpu.ID));
  }

  #begin(): Promise<PoolReading> {
    const reading = this.#readAll().finally(() => {
      if (this.#reading === reading) this.#reading = undefined;
    });
    this.#reading = reading;
    return reading;
  }

  #afterwards(running: Promise<unknown>): Promise<PoolReading> {
    this.#next ??= running
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        return this.#begin();
      });
    return this.#next;
  }

  async #readAll(): Promise<PoolReading> {
    const { space } = this.#options.journal.ledger;
    // What had an owner at any moment of the reading is not the node's own: it may have lost it since.
    const watch = space.watch();
    try {
      const { metrics, residents, isQuiet } = await this.#readQuietly();
      const owned = new Map<string, number>();
      for (const { name, path, bytes } of residents) {
        const pool = poolOn(path, metrics);
        space.place(name, pool);
        // More than it is held for is the node's own, too: somebody has to have it on the books.
        owned.set(pool, (owned.get(pool) ?? 0) + Math.min(bytes, watch.bytesOf(name)));
      }
      return { pools: metrics.map((one) => poolOf(one, one.Used - (owned.get(one.Name) ?? 0))), isExact: isQuiet };
    } finally {
      watch.stop();
    }
  }

  /** Lists and sums of the same moment. */
  async #readQuietly(): Promise<StorageReading & { readonly isQuiet: boolean }> {
    const signal = AbortSignal.timeout(FULL_READ_DEADLINE_MS);
    let before = await this.#readStorage(signal);
    for (let read = 1; ; read++) {
      const after = await this.#readStorage(signal);
      const known = new Map(before.residents.map(({ path, bytes }) => [path, bytes]));
      const lasting = after.residents.filter(({ path, bytes }) => known.get(path) === bytes);
      const isQuiet =
        lasting.length === after.residents.length &&
        known.size === lasting.length &&
        isDeepStrictEqual(before.metrics, after.metrics);
      if (isQuiet) return { ...after, isQuiet };
      // Without a quiet moment only what was there all the time counts as somebody's: never too much is free.
      if (read === CONSISTENT_READS) return { metrics: after.metrics, residents: lasting, isQuiet };
      before = after;
    }
  }

  async #readStorage(signal: AbortSignal): Promise<StorageReading> {
    const { storage } = this.#options.daemons;
    const calling = { deadlineMs: FULL_READ_DEADLINE_MS, signal };
    const [metrics, volumes, disks] = await Promise.all([
      storage.Metrics({}, calling),
      storage.VolumeList({}, calling),
      storage.DiskList({}, calling),
    ]);
    return {
      metrics,
      residents: [
        ...volumes.map(({ Name, Path, Usage }) => ({ name: Name, path: Path, bytes: Usage.Size })),
        ...disks.map(({ Path, Size }) => ({ name: basename(Path), path: Path, bytes: Size })),
      ],
    };
  }
}

function poolOf({ Name, Type, Size }: Infer<typeof PoolMetrics>, foreignBytes: number): Pool {
  const media = Type === 'hdd' ? 'hdd' : 'ssd';
  return { name: Name, media, sizeBytes: Size, foreignBytes: Math.max(0, foreignBytes) };
}

/** A pool's name is a folder on the way to everything in it. */
function poolOn(path: string, pools: readonly Infer<typeof PoolMetrics>[]): string {
  const folders = path.split('/').slice(0, -1);
  return pools.find((pool) => folders.includes(pool.Name))?.Name ?? (pools.length === 1 ? (pools[0]?.Name ?? '') : '');
}
