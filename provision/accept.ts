/** From a verified document to a promise: plan, one journal transaction, and only then the answer. */
import type { BusLog } from '../modules/zbus/broker.ts';
import { isZbusError } from '../modules/zbus/errors.ts';
import { deploymentHash, type Formula } from '../schemas/challenge.ts';
import { type Deployment, formatDeployment } from '../schemas/deployment.ts';
import { GridError } from '../schemas/errors/index.ts';
import type { Operation } from '../schemas/upgrade.ts';
import type { Engine } from './engine/engine.ts';
import type { NodeReader, PoolReading } from './node.ts';
import type { NodeAbilities } from './plan/abilities.ts';
import { type Plan, planDeployment } from './plan/plan.ts';
import type { Refusal } from './plan/refusal.ts';
import { planUpdate } from './plan/update.ts';
import { type DeploymentRecord, deploymentId, type Journal } from './store/journal.ts';
import { tenantReason } from './tenant-reason.ts';
import { busyWith, operationsOf, revisionOf, signedPart, updatedDeployment, updatedRecord } from './update.ts';
import type { PaidDeployment, Verifier } from './verify.ts';
import { nodeFeatures, requestOf, workloadDrivers } from './workloads/index.ts';

export interface AcceptanceOptions {
  readonly journal: Journal;
  readonly engine: Engine;
  readonly node: NodeReader;
  readonly verifier: Verifier;
  readonly log: BusLog;
  /** Hears of every deployment after it was promised. */
  readonly onAccepted: (record: DeploymentRecord) => void;
  /** Milliseconds that an update waits for workloads that are not done with the one before. */
  readonly busyWaitMs?: number;
}

const READ_DEADLINE_MS = 10_000;
const BUSY_WAIT_MS = 8_000;
/** Readings of everything in the pools, one of a quiet moment or so many. */
const FULL_READINGS = 3;

/** The decision on a deployment, and for an update what it does to the present one. */
export interface Decision {
  readonly plan: Plan;
  readonly operations: readonly Operation[];
}

export class Acceptor {
  readonly #options: AcceptanceOptions;

  constructor(options: AcceptanceOptions) {
    this.#options = options;
  }

  /** Structure, sender and signatures; throws the first `GridError`. Returns the formula that was signed. */
  verify(deployment: Deployment, sender: number, signal: AbortSignal): Promise<Formula> {
    return this.#options.verifier.document(deployment, sender, signal);
  }

  /** Accepts a new deployment or throws the `GridError` that says why not; nothing changed then. */
  async create(deployment: Deployment, sender: number, trace: string, signal: AbortSignal): Promise<void> {
    const { journal, verifier } = this.#options;
    const { twin_id: twin, contract_id: contract, version } = deployment;
    const times = stopwatch();
    const signed = await this.verify(deployment, sender, signal);
    if (version !== 0) throw new GridError('deployment_version', { version });
    if (journal.deployment(deploymentId(twin, contract)) !== undefined) {
      throw new GridError('deployment_exists', { twin, contract: contract.toString() });
    }
    times.done('verifiedMs');
    const { facts, formula } = await verifier.contract(deployment, signal);
    times.done('contractMs');
    const record = await this.#promise(deployment, signal, (resources) => {
      const plan = this.plan(deployment, resources, paidFor(facts));
      if (!plan.fits) return plan.refusals;
      return journal.accept({
        twin,
        contract,
        version,
        document: formatDeployment(deployment),
        hash: deploymentHash(deployment, formula),
        trace,
        workloads: plan.steps.map((step) => ({ ...step, ...signedPart(deployment, step.name) })),
        reservation: plan.reservation,
      });
    });
    times.done('plannedMs');
    await this.#kept(record);
    times.done('keptMs');
    this.#accepted(record, { trace, version, signed, formula, ...times.all });
  }

  /** An answer waits for the disk; what does not reach it is taken back. */
  async #kept({ id }: DeploymentRecord): Promise<void> {
    const { journal, engine, log } = this.#options;
    try {
      await journal.synced();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      try {
        engine.cancel(id, `the node could not write its journal: ${reason}`);
      } catch (failure) {
        // The journal has it, as when the process dies before the answer: it runs rather than only holding its place.
        log.error({ err: failure, deployment: id }, 'what did not reach the disk can not be taken back either');
        engine.submit(id);
      }
      throw new GridError('journal_unwritable', { reason }, { cause: error });
    }
  }

  /**
   * Accepts the next version of a deployment or throws the `GridError` that says why not; then the
   * present version stays, all of it. Waits a moment for workloads that are not done with the version before.
   */
  async update(deployment: Deployment, sender: number, trace: string, signal: AbortSignal): Promise<void> {
    const { journal, verifier } = this.#options;
    const times = stopwatch();
    const signed = await this.verify(deployment, sender, signal);
    operationsOf(updatedRecord(journal, deployment), deployment);
    times.done('verifiedMs');
    await this.#untilDone(deployment, signal);
    times.done('waitedMs');
    const paid = await verifier.contract(deployment, signal, true);
    times.done('contractMs');
    const record = await this.#promise(deployment, signal, (resources) =>
      this.#revise(deployment, paid, resources, trace),
    );
    times.done('plannedMs');
    const { version } = deployment;
    this.#accepted(record, { trace, version, signed, formula: paid.formula, ...times.all });
  }

  /** Everything may have changed while the chain and the node were read: looks again, and writes at once. */
  #revise(
    deployment: Deployment,
    { facts, formula }: PaidDeployment,
    resources: NodeResources,
    trace: string,
  ): DeploymentRecord | readonly Refusal[] {
    const { journal } = this.#options;
    const record = updatedRecord(journal, deployment);
    const { plan, operations } = this.planOf(deployment, resources, paidFor(facts));
    refuseBusy(journal, record, operations);
    return plan.fits ? journal.revise(revisionOf(deployment, operations, plan, { formula, trace })) : plan.refusals;
  }

  async #untilDone(deployment: Deployment, signal: AbortSignal): Promise<void> {
    const { journal, engine, busyWaitMs = BUSY_WAIT_MS } = this.#options;
    let looked: { record: DeploymentRecord; operations: Operation[] } | undefined;
    const isDone = (): boolean => {
      const record = updatedRecord(journal, deployment);
      // Every change on the node ends here: documents are read again only where it was of this deployment.
      if (looked?.record !== record) looked = { record, operations: operationsOf(record, deployment) };
      return busyWith(journal, record, looked.operations) === undefined;
    };
    const patience = AbortSignal.any([signal, AbortSignal.timeout(busyWaitMs)]);
    try {
      await engine.until(patience, isDone);
    } catch (error) {
      signal.throwIfAborted();
      if (!patience.aborted) throw error;
      const record = updatedRecord(journal, deployment);
      refuseBusy(journal, record, operationsOf(record, deployment));
    }
  }

  /** Decides and writes; throws the refusal. */
  async #promise(
    deployment: Deployment,
    signal: AbortSignal,
    decide: (resources: NodeResources) => DeploymentRecord | readonly Refusal[],
  ): Promise<DeploymentRecord> {
    const decision = await this.consider(deployment, signal, decide, (one) => 'id' in one);
    if ('id' in decision) return decision;
    throw refusal(decision);
  }

  /**
   * Reads the node and decides: by the sums of its pools, which never show too much room, and where that
   * is not good enough and they are not exact, by a reading of all that is in them. From a reading's end
   * to the end of `decide` nothing is awaited: two deployments can not both have the last byte.
   */
  async consider<T>(
    deployment: Deployment,
    signal: AbortSignal,
    decide: (resources: NodeResources) => T,
    isGood: (decision: T) => boolean,
  ): Promise<T> {
    const { node } = this.#options;
    const calling = { deadlineMs: READ_DEADLINE_MS, signal };
    const needs = requestOf(deployment).workloads;
    const ports = needs.map((one) => one.network?.wireguardPort ?? 0).filter((port) => port !== 0);
    const asksForGpu = needs.some((one) => (one.gpus ?? []).length > 0);
    for (let reading = 0; ; reading++) {
      const [pools, wireguardPorts, gpus] = await Promise.all([
        (reading === 0 ? node.totals(calling) : node.pools(calling)).catch(unknown('storaged')),
        ports.length > 0 ? node.wireguardPorts(ports, calling).catch(unknown('networkd')) : NO_PORTS,
        asksForGpu ? node.gpus(calling).catch(unknown('noded')) : NO_GPUS,
      ]);
      signal.throwIfAborted();
      const decision = decide({ ...pools, wireguardPorts, gpus });
      if (pools.isExact || reading === FULL_READINGS || isGood(decision)) return decision;
    }
  }

  #accepted(record: DeploymentRecord, facts: object): void {
    const { engine, log, onAccepted } = this.#options;
    engine.submit(record.id);
    onAccepted(record);
    log.info({ deployment: record.id, ...facts }, 'accepted');
  }

  /** The decision on a new deployment, as it would be now. */
  plan(deployment: Deployment, resources: NodeResources, paid: PaidFor): Plan {
    return planDeployment(requestOf(deployment), this.#options.node.snapshot(resources), abilitiesOf(resources, paid));
  }

  /**
   * The decision on a deployment, as it would be now: an update where the contract has one on this
   * node, a new one elsewhere. Throws the `GridError` of the first rule of updates that is broken.
   */
  planOf(deployment: Deployment, resources: NodeResources, paid: PaidFor): Decision {
    const { journal, node } = this.#options;
    const record = journal.deployment(deploymentId(deployment.twin_id, deployment.contract_id));
    if (record === undefined) return { plan: this.plan(deployment, resources, paid), operations: [] };
    const operations = operationsOf(record, deployment);
    const named = (isOf: (kind: Operation['kind']) => boolean): ReadonlySet<string> =>
      new Set(operations.filter((one) => isOf(one.kind)).map((one) => one.workload));
    const request = requestOf(updatedDeployment(record, deployment, operations));
    const asked = { request, asked: named((kind) => kind !== 'remove'), leaving: named((kind) => kind === 'remove') };
    const plan = planUpdate(asked, node.snapshot(resources), abilitiesOf(resources, paid));
    return { plan, operations };
  }
}

/** What was read of the daemons. */
export interface NodeResources extends PoolReading {
  readonly wireguardPorts: ReadonlySet<number>;
  readonly gpus: ReadonlySet<string>;
}

/** What the chain says of the contract and the node. */
export interface PaidFor {
  readonly publicIps: number;
  /** The twin that rents the whole node, 0 for none. */
  readonly rentedBy: number;
}

const NO_PORTS: ReadonlySet<number> = new Set();
const NO_GPUS: ReadonlySet<string> = new Set();

function paidFor({ PublicIPs, RentedBy }: PaidDeployment['facts']): PaidFor {
  return { publicIps: PublicIPs, rentedBy: RentedBy };
}

function abilitiesOf({ wireguardPorts, gpus }: NodeResources, { publicIps, rentedBy }: PaidFor): NodeAbilities {
  const types = new Set(workloadDrivers.keys());
  const features = new Set(nodeFeatures);
  return { types, features, wireguardPorts, gpus, rentedBy, contractPublicIps: publicIps };
}

function refuseBusy(journal: Journal, record: DeploymentRecord, operations: readonly Operation[]): void {
  const { twin, contract } = record;
  const phase = busyWith(journal, record, operations);
  if (phase !== undefined) throw new GridError('deployment_busy', { twin, contract: contract.toString(), phase });
}

/** Milliseconds of each part of a work, by name. */
function stopwatch(): { done(part: string): void; readonly all: Readonly<Record<string, number>> } {
  const all: Record<string, number> = {};
  let last = performance.now();
  return {
    all,
    done: (part) => {
      const now = performance.now();
      all[part] = Math.round(now - last);
      last = now;
    },
  };
}

/** One reason as itself, several as a list. */
export function refusal(refusals: readonly Refusal[]): GridError {
  const errors = refusals.map(({ code, details }) => new GridError(code, details));
  const [only] = errors;
  if (only !== undefined && errors.length === 1) return only;
  return new GridError('capacity_refused', {
    refusals: errors.map(({ code, details, message }) => ({ code, details, message })),
  });
}

function unknown(daemon: string): (error: unknown) => never {
  return (error) => {
    const kind = isZbusError(error) ? error.kind : 'failed';
    const reason = error instanceof Error ? tenantReason(error) : String(error);
    throw new GridError('capacity_unknown', { daemon, kind, reason }, { cause: error });
  };
}
