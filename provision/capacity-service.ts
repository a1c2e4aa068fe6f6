/** The node's numbers on the bus: what existing clients know, and the reading they come from. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { nodeMachine } from '../modules/noded/interface.ts';
import type { Client, Service } from '../modules/zbus/definition.ts';
import type { statistics } from './interface.ts';
import type { NodeReader, PoolReading } from './node.ts';
import type { Snapshot } from './plan/capacity.ts';
import { countersOf, openConnections, runningWorkloads, totalOf, usedOf } from './report.ts';
import { type Journal, ownedResources } from './store/journal.ts';

const READ_DEADLINE_MS = 3_000;
/** A reading of the pools serves so many milliseconds. */
const READING_VALID_MS = 500;
const RESERVED_PERIOD_MS = 120_000;
const CONSISTENT_READS = 3;

/** The node as last read; an older reading serves while storaged does not answer. */
export class LatestSnapshot {
  readonly #node: NodeReader;
  readonly #journal: Journal;
  #latest: { readonly reading: PoolReading; readonly at: number; readonly owned: string } | undefined;

  constructor(node: NodeReader, journal: Journal) {
    this.#node = node;
    this.#journal = journal;
  }

  /** Throws `ZbusError` only when there never was a reading. */
  async read(signal: AbortSignal): Promise<Snapshot> {
    // What lost its owner since the reading would count as the system's own until the next one.
    for (let read = 0; read < CONSISTENT_READS && !this.#isCurrent(); read++) {
      const owned = ownedResources(this.#journal);
      try {
        const reading = await this.#node.pools({ deadlineMs: READ_DEADLINE_MS, signal });
        this.#latest = { reading, at: performance.now(), owned };
      } catch (error) {
        if (this.#latest === undefined) throw error;
        break;
      }
    }
    return this.#node.snapshot(this.#latest?.reading ?? { pools: [], residents: [] });
  }

  #isCurrent(): boolean {
    const latest = this.#latest;
    return (
      latest !== undefined &&
      performance.now() - latest.at <= READING_VALID_MS &&
      latest.owned === ownedResources(this.#journal)
    );
  }
}

/** Milliseconds that noded may take. */
const GPUS_DEADLINE_MS = 10_000;

export function statisticsService(
  latest: LatestSnapshot,
  journal: Journal,
  machine: Client<typeof nodeMachine>,
): Service<typeof statistics> {
  return {
    Current: async (_, { signal }) => usedOf(await latest.read(signal)),
    Total: async (_, { signal }) => totalOf(await latest.read(signal)),
    Workloads: () => journal.deployments().flatMap(runningWorkloads).length,
    GetCounters: async (_, { signal }) =>
      countersOf(await latest.read(signal), journal.deployments(), await openConnections()),
    // No workload of this node takes one yet, so none has a contract.
    ListGPUs: async (_, { signal }) =>
      (await machine.Gpus({}, { deadlineMs: GPUS_DEADLINE_MS, signal })).map((gpu) => ({ ...gpu, Contract: 0n })),
    ReservedStream$: async function* (signal) {
      while (!signal.aborted) {
        const snapshot = await latest.read(signal).catch(() => undefined);
        if (snapshot !== undefined) yield usedOf(snapshot);
        await sleep(RESERVED_PERIOD_MS, undefined, { signal }).catch(() => undefined);
      }
    },
  };
}
