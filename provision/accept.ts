/** From a verified document to a promise: plan, one journal transaction, and only then the answer. */
import type { BusLog } from '../modules/zbus/broker.ts';
import { isZbusError } from '../modules/zbus/errors.ts';
import { deploymentHash, type Formula } from '../schemas/challenge.ts';
import { type Deployment, formatDeployment } from '../schemas/deployment.ts';
import { GridError } from '../schemas/errors/index.ts';
import type { Operation } from '../schemas/upgrade.ts';
import type { Engine } from './engine/engine.ts';
import type { NodeReader, PoolReading } from './node.ts';
import { type NodeAbilities, type Plan, planDeployment, type Refusal } from './plan/plan.ts';
import { planUpdate } from './plan/update.ts';
import { type DeploymentRecord, deploymentId, type Journal, ownedResources } from './store/journal.ts';
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
/** Readings of the node that a refusal may be put down to before it is believed. */
const READINGS = 3;

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
    const record = await this.#promise(signal, (resources) => {
      const plan = this.plan(deployment, resources, facts.PublicIPs);
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
    this.#accepted(record, { trace, version, signed, formula, ...times.all });
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
    const record = await this.#promise(signal, (resources) => this.#revise(deployment, paid, resources, trace));
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
    const { plan, operations } = this.planOf(deployment, resources, facts.PublicIPs);
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

  /**
   * Reads the node and decides; a refusal stands once nothing lost its owner while the node was
   * read: what did would count as the node's own.
   */
  async #promise(
    signal: AbortSignal,
    decide: (resources: NodeResources) => DeploymentRecord | readonly Refusal[],
  ): Promise<DeploymentRecord> {
    const { journal } = this.#options;
    for (let reading = 1; ; reading++) {
      const owned = ownedResources(journal);
      const resources = await this.resources(signal);
      signal.throwIfAborted();
      // From the plan to the journal's commit nothing is awaited: two deployments can not both have the last byte.
      const decision = decide(resources);
      if ('id' in decision) return decision;
      if (reading === READINGS || ownedResources(journal) === owned) throw refusal(decision);
    }
  }

  #accepted(record: DeploymentRecord, facts: object): void {
    const { engine, log, onAccepted } = this.#options;
    engine.submit(record.id);
    onAccepted(record);
    log.info({ deployment: record.id, ...facts }, 'accepted');
  }

  /** The decision on a new deployment, as it would be now. */
  plan(deployment: Deployment, resources: NodeResources, contractPublicIps: number): Plan {
    const { node } = this.#options;
    const request = requestOf(deployment);
    return planDeployment(request, node.snapshot(resources.pools), abilitiesOf(resources, contractPublicIps));
  }

  /**
   * The decision on a deployment, as it would be now: an update where the contract has one on this
   * node, a new one elsewhere. Throws the `GridError` of the first rule of updates that is broken.
   */
  planOf(deployment: Deployment, resources: NodeResources, contractPublicIps: number): Decision {
    const { journal, node } = this.#options;
    const record = journal.deployment(deploymentId(deployment.twin_id, deployment.contract_id));
    if (record === undefined) return { plan: this.plan(deployment, resources, contractPublicIps), operations: [] };
    const operations = operationsOf(record, deployment);
    const named = (isOf: (kind: Operation['kind']) => boolean): ReadonlySet<string> =>
      new Set(operations.filter((one) => isOf(one.kind)).map((one) => one.workload));
    const request = requestOf(updatedDeployment(record, deployment, operations));
    const asked = { request, asked: named((kind) => kind !== 'remove'), leaving: named((kind) => kind === 'remove') };
    const plan = planUpdate(asked, node.snapshot(resources.pools), abilitiesOf(resources, contractPublicIps));
    return { plan, operations };
  }

  /** Asks the daemons for what the plan needs; throws `capacity_unknown`. */
  async resources(signal: AbortSignal): Promise<NodeResources> {
    const { node } = this.#options;
    const calling = { deadlineMs: READ_DEADLINE_MS, signal };
    const [pools, wireguardPorts] = await Promise.all([
      node.pools(calling).catch(unknown('storaged')),
      node.wireguardPorts(calling).catch(unknown('networkd')),
    ]);
    return { pools, wireguardPorts };
  }
}

export interface NodeResources {
  readonly pools: PoolReading;
  readonly wireguardPorts: ReadonlySet<number>;
}

function abilitiesOf({ wireguardPorts }: NodeResources, contractPublicIps: number): NodeAbilities {
  const types = new Set(workloadDrivers.keys());
  return { types, features: new Set(nodeFeatures), wireguardPorts, contractPublicIps };
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
