/** From a verified document to a promise: plan, one journal transaction, and only then the answer. */
import type { BusLog } from '../modules/zbus/broker.ts';
import { isZbusError } from '../modules/zbus/errors.ts';
import { deploymentHash } from '../schemas/challenge.ts';
import { type Deployment, formatDeployment } from '../schemas/deployment.ts';
import { GridError } from '../schemas/errors/index.ts';
import type { Engine } from './engine/engine.ts';
import type { NodeReader, PoolReading } from './node.ts';
import { type NodeAbilities, type Plan, planDeployment, type Refusal } from './plan/plan.ts';
import { type DeploymentRecord, deploymentId, type Journal, ownedResources } from './store/journal.ts';
import { tenantReason } from './tenant-reason.ts';
import type { Verifier } from './verify.ts';
import { nodeFeatures, requestOf, workloadDrivers } from './workloads/index.ts';

export interface AcceptanceOptions {
  readonly journal: Journal;
  readonly engine: Engine;
  readonly node: NodeReader;
  readonly verifier: Verifier;
  readonly log: BusLog;
  /** Hears of every deployment after it was promised. */
  readonly onAccepted: (record: DeploymentRecord) => void;
}

const READ_DEADLINE_MS = 10_000;
/** Readings of the node that a refusal may be put down to before it is believed. */
const READINGS = 3;

export class Acceptor {
  readonly #options: AcceptanceOptions;

  constructor(options: AcceptanceOptions) {
    this.#options = options;
  }

  /** Structure, sender and signatures; throws the first `GridError`. */
  verify(deployment: Deployment, sender: number, signal: AbortSignal): Promise<void> {
    return this.#options.verifier.document(deployment, sender, signal);
  }

  /** Accepts a new deployment or throws the `GridError` that says why not; nothing changed then. */
  async create(deployment: Deployment, sender: number, trace: string, signal: AbortSignal): Promise<void> {
    const { journal, verifier, engine, log, onAccepted } = this.#options;
    const { twin_id: twin, contract_id: contract, version } = deployment;
    const began = performance.now();
    await this.verify(deployment, sender, signal);
    if (version !== 0) throw new GridError('deployment_version', { version });
    if (journal.deployment(deploymentId(twin, contract)) !== undefined) {
      throw new GridError('deployment_exists', { twin, contract: contract.toString() });
    }
    const verifiedMs = performance.now() - began;
    const { PublicIPs } = await verifier.contract(deployment, signal);
    const contractMs = performance.now() - began - verifiedMs;
    const record = await this.#planAndPromise(deployment, PublicIPs, trace, signal);
    engine.submit(record.id);
    onAccepted(record);
    const tookMs = performance.now() - began;
    log.info(
      {
        deployment: record.id,
        trace,
        verifiedMs: Math.round(verifiedMs),
        contractMs: Math.round(contractMs),
        plannedMs: Math.round(tookMs - verifiedMs - contractMs),
      },
      'accepted',
    );
  }

  /** A refusal stands once nothing lost its owner while the node was read: what did would count as the node's own. */
  async #planAndPromise(
    deployment: Deployment,
    publicIps: number,
    trace: string,
    signal: AbortSignal,
  ): Promise<DeploymentRecord> {
    const { journal } = this.#options;
    for (let reading = 1; ; reading++) {
      const owned = ownedResources(journal);
      const resources = await this.resources(signal);
      signal.throwIfAborted();
      // From the plan to the journal's commit nothing is awaited: two deployments can not both have the last byte.
      const plan = this.plan(deployment, resources, publicIps);
      if (plan.fits) return promise(journal, deployment, plan, trace);
      if (reading === READINGS || ownedResources(journal) === owned) throw refusal(plan.refusals);
    }
  }

  /** The decision, as it would be now. */
  plan(deployment: Deployment, resources: NodeResources, contractPublicIps: number): Plan {
    const abilities: NodeAbilities = {
      types: new Set(workloadDrivers.keys()),
      features: new Set(nodeFeatures),
      wireguardPorts: resources.wireguardPorts,
      contractPublicIps,
    };
    return planDeployment(requestOf(deployment), this.#options.node.snapshot(resources.pools), abilities);
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

function promise(
  journal: Journal,
  deployment: Deployment,
  { steps, reservation }: Extract<Plan, { fits: true }>,
  trace: string,
): DeploymentRecord {
  const versions = new Map(deployment.workloads.map((workload) => [workload.name, workload.version]));
  return journal.accept({
    twin: deployment.twin_id,
    contract: deployment.contract_id,
    version: deployment.version,
    document: formatDeployment(deployment),
    hash: deploymentHash(deployment),
    trace,
    workloads: steps.map((step) => ({ ...step, version: versions.get(step.name) ?? 0 })),
    reservation,
  });
}

export interface NodeResources {
  readonly pools: PoolReading;
  readonly wireguardPorts: ReadonlySet<number>;
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
