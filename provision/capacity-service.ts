/** The node's numbers on the bus: what existing clients know, and the planner's own view. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { nodeMachine } from '../modules/noded/interface.ts';
import type { Client, Service } from '../modules/zbus/definition.ts';
import type { Infer } from '../modules/zbus/wire.ts';
import { GridError } from '../schemas/errors/index.ts';
import { validateDeployment } from '../schemas/validate.ts';
import type { Acceptor } from './accept.ts';
import { refusal } from './accept.ts';
import type { planner, StepEvent, statistics } from './interface.ts';
import type { NodeReader, PoolReading } from './node.ts';
import type { Snapshot } from './plan/capacity.ts';
import { capacityReport, countersOf, openConnections, runningWorkloads, stepEvent, totalOf, usedOf } from './report.ts';
import { deploymentId, type Journal, ownedResources } from './store/journal.ts';
import { deploymentFromStruct } from './wire.ts';
import { nodeFeatures } from './workloads/index.ts';

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

export interface PlannerServiceOptions {
  readonly latest: LatestSnapshot;
  readonly journal: Journal;
  readonly acceptor: Acceptor;
  readonly steps: (signal: AbortSignal) => AsyncIterable<Infer<typeof StepEvent>>;
  readonly types: readonly string[];
}

export function plannerService({
  latest,
  journal,
  acceptor,
  steps,
  types,
}: PlannerServiceOptions): Service<typeof planner> {
  return {
    Capacity: async (_, { signal }) => capacityReport(await latest.read(signal)),
    Features: () => [...nodeFeatures],
    Plan: async ({ deployment: struct }, { signal }) => {
      const deployment = deploymentFromStruct(struct, { results: 'drop' });
      validateDeployment(deployment, { runs: types });
      const resources = await acceptor.resources(signal);
      const capacity = capacityReport(await latest.read(signal));
      const plan = acceptor.plan(deployment, resources, Number.MAX_SAFE_INTEGER);
      const refusals = plan.fits ? [] : plan.refusals.map((one) => refusal([one]));
      return {
        Fits: plan.fits,
        Refusals: refusals.map(({ code, message, details }) => ({
          Code: code,
          Message: message,
          Details: Buffer.from(JSON.stringify(details)),
        })),
        Capacity: capacity,
      };
    },
    Steps: ({ twin, contractID }) => {
      const record = journal.deployment(deploymentId(twin, contractID));
      if (record === undefined) {
        throw new GridError('deployment_not_found', { twin, contract: contractID.toString() });
      }
      return journal.steps(record.id).map((entry) => stepEvent(record, entry));
    },
    Steps$: steps,
  };
}
