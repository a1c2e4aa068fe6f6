/** What deploying or updating would come to now, by the code that decides; nothing is changed. */
import type { Infer } from '../modules/zbus/wire.ts';
import type { Deployment } from '../schemas/deployment.ts';
import { errorTable, GridError } from '../schemas/errors/index.ts';
import type { ErrorEntry } from '../schemas/errors/table.ts';
import type { Operation } from '../schemas/upgrade.ts';
import type { Acceptor, Decision, NodeResources } from './accept.ts';
import type { Capacity, PlannedWorkload, PlanReport, Refusal as RefusalWire } from './interface.ts';
import type { NodeReader } from './node.ts';
import type { Snapshot } from './plan/capacity.ts';
import type { WorkloadRequest } from './plan/request.ts';
import { capacityReport } from './report.ts';
import { type DeploymentRecord, deploymentId, type Journal } from './store/journal.ts';
import { busyWith, operationsOf, updatedRecord } from './update.ts';
import { requestOf } from './workloads/index.ts';

export interface DryRunOptions {
  readonly journal: Journal;
  readonly acceptor: Acceptor;
  readonly node: NodeReader;
}

/** What the contract reserves and who rents the node is on the chain, which is not asked. */
const ANY_PUBLIC_IPS = Number.MAX_SAFE_INTEGER;

type Needs = Infer<typeof Capacity>;
type Held = Pick<WorkloadRequest, 'vcpus' | 'memoryBytes' | 'publicIps' | 'allocations'>;

/** Throws as deploying and updating do where no decision can be made. */
export async function dryRun(
  deployment: Deployment,
  { journal, acceptor, node }: DryRunOptions,
  signal: AbortSignal,
): Promise<Infer<typeof PlanReport>> {
  const record = presentRecord(journal, deployment);
  const busy = record === undefined ? undefined : busyReason(journal, record, operationsOf(record, deployment));
  const decide = (resources: NodeResources): Considered => ({
    resources,
    decision: acceptor.planOf(deployment, resources, { publicIps: ANY_PUBLIC_IPS, rentedBy: deployment.twin_id }),
  });
  // One moment for the decision and the numbers beside it.
  const { resources, decision } = await acceptor.consider(deployment, signal, decide, () => false);
  return report(deployment, decision, busy, node.snapshot(resources), journal);
}

interface Considered {
  readonly resources: NodeResources;
  readonly decision: Decision;
}

/** The deployment that would be updated, none for a new one. */
function presentRecord(journal: Journal, deployment: Deployment): DeploymentRecord | undefined {
  const { twin_id: twin, contract_id: contract, version } = deployment;
  if (version > 0) return updatedRecord(journal, deployment);
  if (journal.deployment(deploymentId(twin, contract)) === undefined) return undefined;
  throw new GridError('deployment_exists', { twin, contract: contract.toString() });
}

function busyReason(
  journal: Journal,
  record: DeploymentRecord,
  operations: readonly Operation[],
): GridError | undefined {
  const phase = busyWith(journal, record, operations);
  if (phase === undefined) return undefined;
  return new GridError('deployment_busy', { twin: record.twin, contract: record.contract.toString(), phase });
}

function report(
  deployment: Deployment,
  { plan, operations }: Decision,
  busy: GridError | undefined,
  snapshot: Snapshot,
  journal: Journal,
): Infer<typeof PlanReport> {
  const record = journal.deployment(deploymentId(deployment.twin_id, deployment.contract_id));
  const workloads = plannedWorkloads(deployment, plan, operations, record);
  const refusals = plan.fits ? [] : plan.refusals.map(({ code, details }) => new GridError(code, details));
  const reasons = busy === undefined ? refusals : [busy, ...refusals];
  return {
    Fits: reasons.length === 0,
    Version: deployment.version,
    Needs: workloads.map((one) => one.Needs).reduce(sum, NOTHING),
    Workloads: workloads,
    Refusals: reasons.map(reasonOf),
    Capacity: capacityReport(snapshot, journal.census),
  };
}

/** What goes away first, then what is made or changed, then what stays. */
function plannedWorkloads(
  deployment: Deployment,
  plan: Decision['plan'],
  operations: readonly Operation[],
  record: DeploymentRecord | undefined,
): Infer<typeof PlannedWorkload>[] {
  const kinds = new Map(operations.map(({ kind, workload }) => [workload, kind]));
  const present = new Map(record?.workloads.map((one) => [one.name, one]));
  const reserved = new Map(plan.fits ? plan.reservation.workloads.map((one) => [one.name, one]) : []);
  const turns = new Map(plan.fits ? plan.steps.map(({ name, after }) => [name, after.length]) : []);
  const requests = requestOf(deployment).workloads;
  const leaving = operations
    .filter(({ kind }) => kind === 'remove')
    .map(({ workload }) => planned({ name: workload, type: present.get(workload)?.type ?? '' }, 'remove', undefined));
  const asked = requests
    .filter(({ name }) => record === undefined || kinds.has(name))
    .sort((a, b) => (turns.get(a.name) ?? 0) - (turns.get(b.name) ?? 0))
    .map((one) => planned(one, kinds.get(one.name) ?? 'add', reserved.get(one.name) ?? one));
  const kept = requests
    .filter(({ name }) => record !== undefined && !kinds.has(name))
    .map((one) => planned(one, 'keep', present.get(one.name)?.held));
  return [...leaving, ...asked, ...kept];
}

function planned(
  { name, type }: { readonly name: string; readonly type: string },
  action: 'add' | 'update' | 'remove' | 'keep',
  held: Held | undefined,
): Infer<typeof PlannedWorkload> {
  const [allocation] = held?.allocations ?? [];
  const pool = allocation !== undefined && 'pool' in allocation ? String(allocation.pool) : '';
  return { Name: name, Type: type, Action: action, Needs: held === undefined ? NOTHING : needsOf(held), Pool: pool };
}

const NOTHING: Needs = { CRU: 0, SRU: 0, HRU: 0, MRU: 0, IPV4U: 0 };

function needsOf({ vcpus, memoryBytes, publicIps, allocations }: Held): Needs {
  const bytes = (media: string): number =>
    allocations.reduce((total, one) => (one.media === media ? total + one.bytes : total), 0);
  return { CRU: vcpus, SRU: bytes('ssd'), HRU: bytes('hdd'), MRU: memoryBytes, IPV4U: publicIps };
}

function sum(left: Needs, right: Needs): Needs {
  return {
    CRU: left.CRU + right.CRU,
    SRU: left.SRU + right.SRU,
    HRU: left.HRU + right.HRU,
    MRU: left.MRU + right.MRU,
    IPV4U: left.IPV4U + right.IPV4U,
  };
}

function reasonOf({ code, details, retryable }: GridError): Infer<typeof RefusalWire> {
  const entry = errorTable[code] as ErrorEntry;
  const { workload } = details as { readonly workload?: unknown };
  return {
    Code: code,
    Workload: typeof workload === 'string' ? workload : '',
    Message: entry.message(details),
    Remedy: entry.remedy ?? '',
    Retryable: retryable,
    Details: Buffer.from(JSON.stringify(details)),
  };
}
