/** An engine over the test host, for tests: small limits, acceptance without the chain, short looks into the journal. */
import { silentLog } from '../../modules/zbus/broker.ts';
import { deploymentHash } from '../../schemas/challenge.ts';
import {
  type Deployment,
  findWorkload,
  formatDeployment,
  formatWorkload,
  type Workload,
} from '../../schemas/deployment.ts';
import { Engine } from '../engine/engine.ts';
import { ENGINE_LIMITS, type EngineLimits } from '../engine/steps.ts';
import { NodeReader } from '../node.ts';
import { planDeployment } from '../plan/plan.ts';
import type { DeploymentRecord, Journal } from '../store/journal.ts';
import { nodeFeatures, requestOf, workloadDrivers } from '../workloads/index.ts';
import type { Daemons } from '../workloads/workload.ts';
import type { TestHost } from './host.ts';
import { diskWorkload, machineWorkload, networkWorkload, Tenant, volumeWorkload } from './tenant.ts';

const GIB = 1024 ** 3;

export const LIMITS: EngineLimits = {
  ...ENGINE_LIMITS,
  retry: { budgetMs: 20_000, firstDelayMs: 1, maxDelayMs: 5 },
  laterMs: [2, 10],
  dependencyWaitMs: 20_000,
  stopGraceMs: 20,
};

/** What is not done at once fails soon, also what would have come: for what never comes. */
export const IMPATIENT: EngineLimits = {
  ...LIMITS,
  retry: { ...LIMITS.retry, budgetMs: 100 },
  dependencyWaitMs: 100,
};

export const tenant = new Tenant(7);

/** Engines of one test, stopped together. */
export class Engines {
  readonly #engines: Engine[] = [];

  start(journal: Journal, daemons: Daemons, limits = LIMITS): Engine {
    const guest = { kernel: '/guest/vmlinuz', initrd: '/guest/initrd.img' };
    const engine = new Engine({ journal, daemons, guest, log: silentLog, limits });
    this.#engines.push(engine);
    return engine;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#engines.splice(0).map((engine) => engine.stop()));
  }
}

/** Plans and records a deployment as the acceptance does, without its checks of the chain. */
export async function acceptOn(
  host: TestHost,
  journal: Journal,
  deployment: Deployment,
  machine = { cpus: 8, memoryBytes: 64 * GIB },
): Promise<DeploymentRecord> {
  const node = new NodeReader({
    daemons: host.daemons,
    journal,
    cpuOvercommit: 4,
    host: machine,
  });
  const reading = await node.pools({ signal: new AbortController().signal });
  const plan = planDeployment(requestOf(deployment), node.snapshot(reading), {
    types: new Set(workloadDrivers.keys()),
    features: new Set(nodeFeatures),
    wireguardPorts: new Set(),
    contractPublicIps: 0,
  });
  if (!plan.fits) throw new Error(JSON.stringify(plan.refusals));
  const record = journal.accept({
    twin: deployment.twin_id,
    contract: deployment.contract_id,
    version: 0,
    document: formatDeployment(deployment),
    hash: deploymentHash(deployment),
    trace: 'trace-1',
    workloads: plan.steps.map((step) => ({
      ...step,
      version: 0,
      signed: formatWorkload(findWorkload(deployment, step.name) as Workload),
    })),
    reservation: plan.reservation,
  });
  await journal.synced();
  return record;
}

/** A network, a disk, a volume and a machine that uses them. */
export function full(contract = 1n): Deployment {
  return tenant.deployment(contract, [
    machineWorkload('vm1', { mounts: ['disk1', 'vol1'] }),
    networkWorkload('net1'),
    diskWorkload('disk1', GIB),
    volumeWorkload('vol1', GIB),
  ]);
}

export const allOk = { vm1: 'ok', net1: 'ok', disk1: 'ok', vol1: 'ok' };

export function states(journal: Journal, id = '7-1'): Record<string, string> {
  return Object.fromEntries(journal.deployment(id)?.workloads.map((one) => [one.name, one.state]) ?? []);
}

/** Names of the workloads whose history has an `ok`, once for each. */
export function oks(journal: Journal, id = '7-1'): string[] {
  return journal
    .changes(id)
    .filter((one) => one.state === 'ok')
    .map((one) => one.workload)
    .sort();
}
