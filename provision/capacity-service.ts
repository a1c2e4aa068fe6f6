/** The node's numbers on the bus: what existing clients know, and the reading they come from. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { nodeMachine } from '../modules/noded/interface.ts';
import type { Client, Service } from '../modules/zbus/definition.ts';
import type { statistics } from './interface.ts';
import type { NodeReader, PoolReading } from './node.ts';
import type { Snapshot } from './plan/capacity.ts';
import { Recent } from './recent.ts';
import { countersOf, openConnections, totalOf, usedOf } from './report.ts';
import type { Journal } from './store/journal.ts';

const READ_DEADLINE_MS = 3_000;
/** Milliseconds that a reading of the pools serves, and that it does while a new one is made. */
const READING_VALID_MS = 500;
const READING_STALE_MS = 10_000;
const RESERVED_PERIOD_MS = 120_000;
/** Readings of everything take one part in so many of the time at most. */
const FULL_READING_SHARE = 20;

/** The node as last read; an older reading serves while storaged does not answer. */
export class LatestSnapshot {
  readonly #node: NodeReader;
  readonly #readings: Recent<PoolReading>;
  #nextFullAt = 0;

  constructor(node: NodeReader) {
    this.#node = node;
    this.#readings = new Recent({
      read: () => this.#read(),
      validMs: READING_VALID_MS,
      staleMs: READING_STALE_MS,
    });
  }

  /** Throws `ZbusError` only when there never was a reading. */
  async read(signal: AbortSignal): Promise<Snapshot> {
    return this.#node.snapshot(await this.#readings.get(signal));
  }

  async #read(): Promise<PoolReading> {
    const signal = AbortSignal.timeout(READ_DEADLINE_MS);
    const totals = await this.#node.totals({ deadlineMs: READ_DEADLINE_MS, signal });
    if (totals.isExact) return totals;
    const began = performance.now();
    if (began >= this.#nextFullAt) {
      const all = await this.#node.pools({ signal });
      const now = performance.now();
      this.#nextFullAt = now + FULL_READING_SHARE * (now - began);
      return all;
    }
    // What is the node's own changes seldom; by the sums it is no more than `foreignBytes`.
    const known = new Map(this.#readings.latest?.pools.map((pool) => [pool.name, pool.foreignBytes]));
    const pools = totals.pools.map((pool) => ({
      ...pool,
      foreignBytes: Math.min(pool.foreignBytes, known.get(pool.name) ?? pool.foreignBytes),
    }));
    return { pools, isExact: false };
  }
}

/** Milliseconds that noded may take. */
const GPUS_DEADLINE_MS = 10_000;
const CONNECTIONS_VALID_MS = 2_000;
const CONNECTIONS_STALE_MS = 60_000;

export function statisticsService(
  latest: LatestSnapshot,
  { census, ledger }: Pick<Journal, 'census' | 'ledger'>,
  machine: Client<typeof nodeMachine>,
): Service<typeof statistics> {
  const connections = new Recent({
    read: openConnections,
    validMs: CONNECTIONS_VALID_MS,
    staleMs: CONNECTIONS_STALE_MS,
  });
  return {
    Current: async (_, { signal }) => usedOf(await latest.read(signal)),
    Total: async (_, { signal }) => totalOf(await latest.read(signal)),
    Workloads: () => census.runningWorkloads,
    GetCounters: async (_, { signal }) => countersOf(await latest.read(signal), census, await connections.get(signal)),
    ListGPUs: async (_, { signal }) =>
      (await machine.Gpus({}, { deadlineMs: GPUS_DEADLINE_MS, signal })).map((gpu) => ({
        ...gpu,
        Contract: ledger.gpus(gpu.ID).at(-1)?.contract ?? 0n,
      })),
    ReservedStream$: async function* (signal) {
      while (!signal.aborted) {
        const snapshot = await latest.read(signal).catch(() => undefined);
        if (snapshot !== undefined) yield usedOf(snapshot);
        await sleep(RESERVED_PERIOD_MS, undefined, { signal }).catch(() => undefined);
      }
    },
  };
}
