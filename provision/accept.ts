/** From a verified document to a promise: plan, one journal transaction, and only then the answer. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isZbusError } from '../modules/zbus/errors.ts';
import { deploymentHash } from '../schemas/challenge.ts';
import { type Deployment, formatDeployment } from '../schemas/deployment.ts';
import { GridError } from '../schemas/errors/index.ts';
import type { Engine } from './engine/engine.ts';
import type { NodeReader, PoolReading } from './node.ts';
import { type NodeAbilities, type Plan, planDeployment, type Refusal } from './plan/plan.ts';
import { deploymentId, type Journal } from './store/journal.ts';
import type { Verifier } from './verify.ts';
import { nodeFeatures, requestOf, workloadDrivers } from './workloads/index.ts';

export interface AcceptanceOptions {
  readonly journal: Journal;
  readonly engine: Engine;
  readonly node: NodeReader;
  readonly verifier: Verifier;
  /** Milliseconds to wait for a network that a twin may be deploying at this moment. */
  readonly networkWaitMs: number;
}

const READ_DEADLINE_MS = 10_000;
const NETWORK_POLL_MS = 100;

export class Acceptor {
  readonly #options: AcceptanceOptions;

  constructor(options: AcceptanceOptions) {
    this.#options = options;
  }

  /** Accepts a new deployment or throws the `GridError` that says why not; nothing changed then. */
  async create(deployment: Deployment, sender: number, trace: string, signal: AbortSignal): Promise<void> {
    const { journal, verifier, engine } = this.#options;
    const { twin_id: twin, contract_id: contract, version } = deployment;
    await verifier.document(deployment, sender, signal);
    if (version !== 0) throw new GridError('deployment_version', { version });
    if (journal.deployment(deploymentId(twin, contract)) !== undefined) {
      throw new GridError('deployment_exists', { twin, contract: contract.toString() });
    }
    const facts = await verifier.contract(deployment, signal);
    const resources = await this.resources(signal);
    await this.#awaitNetworks(deployment, signal);

    // From the plan to the journal's commit nothing is awaited: two deployments can not both have the last byte.
    signal.throwIfAborted();
    const plan = this.plan(deployment, resources, facts.PublicIPs);
    if (!plan.fits) throw refusal(plan.refusals);
    const versions = new Map(deployment.workloads.map((workload) => [workload.name, workload.version]));
    const record = journal.accept({
      twin,
      contract,
      version,
      document: formatDeployment(deployment),
      hash: deploymentHash(deployment),
      trace,
      workloads: plan.steps.map((step) => ({ ...step, version: versions.get(step.name) ?? 0 })),
      reservation: plan.reservation,
    });
    engine.submit(record.id);
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

  /** Clients may send a machine while the answer for its network is on its way. */
  async #awaitNetworks(deployment: Deployment, signal: AbortSignal): Promise<void> {
    const request = requestOf(deployment);
    const isKnown = (name: string): boolean =>
      request.workloads.some((one) => one.network?.name === name) ||
      this.#options.journal
        .reservations()
        .some((held) => held.twin === request.twin && held.workloads.some((one) => one.network?.name === name));
    const giveUpAt = performance.now() + this.#options.networkWaitMs;
    for (const { address } of request.workloads) {
      while (address !== undefined && !isKnown(address.network) && performance.now() < giveUpAt) {
        await sleep(NETWORK_POLL_MS, undefined, { signal });
      }
    }
  }
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
    const reason = error instanceof Error ? error.message : String(error);
    throw new GridError('capacity_unknown', { daemon, kind, reason }, { cause: error });
  };
}
