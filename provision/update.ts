/** From a deployment and its new version to what is to be done, in the words of the grid's nodes. */
import { changedPiece, deploymentHash, type Formula } from '../schemas/challenge.ts';
import {
  type Deployment,
  findWorkload,
  formatDeployment,
  formatWorkload,
  noResult,
  parseDeployment,
} from '../schemas/deployment.ts';
import { GridError, isGridError } from '../schemas/errors/index.ts';
import { type Operation, planUpgrade } from '../schemas/upgrade.ts';
import { network } from '../schemas/workloads/network.ts';
import { zmount } from '../schemas/workloads/zmount.ts';
import { isLeaving } from './engine/record.ts';
import type { Plan } from './plan/plan.ts';
import {
  type DeploymentRecord,
  deploymentId,
  type Journal,
  type RevisedWorkload,
  type Revision,
  type WorkloadRecord,
} from './store/journal.ts';
import { signedWorkload, standingDeployment } from './store/signed.ts';

/** Rules that nodes answer with a suffix; the others have it, or have none. */
const SUFFIXED = ['upgrade_identity', 'upgrade_version', 'upgrade_workload_version', 'upgrade_workload_type'] as const;

/** The deployment that is to be updated; throws `deployment_to_update_missing`. */
export function updatedRecord(journal: Journal, { twin_id: twin, contract_id }: Deployment): DeploymentRecord {
  const record = journal.deployment(deploymentId(twin, contract_id));
  if (record !== undefined && record.cancelled === undefined) return record;
  const isTwinKnown = journal.deploymentsOf(twin).length > 0;
  throw new GridError('deployment_to_update_missing', { twin, contract: contract_id.toString(), isTwinKnown });
}

/**
 * What the new version asks for; throws the `GridError` of the first rule broken. A name that is on its
 * way out is one to add: nodes do one thing after the other, and would have removed it by then.
 */
export function operationsOf(record: DeploymentRecord, deployment: Deployment): Operation[] {
  const wanted = new Set(deployment.workloads.map((one) => one.name));
  const leaving = new Set(record.workloads.filter((one) => one.removal !== undefined).map((one) => one.name));
  const standing = standingDeployment(record);
  const workloads = standing.workloads.filter(({ name }) => !leaving.has(name) || !wanted.has(name));
  const operations = plannedUpgrade({ ...standing, workloads }, deployment);
  refuseSilentChanges(record, deployment, operations);
  return operations;
}

function plannedUpgrade(from: Deployment, to: Deployment): Operation[] {
  try {
    return planUpgrade(from, to);
  } catch (error) {
    if (!SUFFIXED.some((code) => isGridError(error, code))) throw error;
    throw new GridError('upgrade_invalid', { reason: (error as GridError).message }, { cause: error });
  }
}

/**
 * What was signed for and paid is what runs, is on its way, or could not be had: nodes pass over what changes
 * under its old version.
 */
function refuseSilentChanges(
  { workloads, document }: DeploymentRecord,
  { workloads: wanted }: Deployment,
  operations: Operation[],
) {
  const asked = new Set(operations.map(({ workload }) => workload));
  const known = new Map(workloads.map((one) => [one.name, one]));
  const signed = parseDeployment(document);
  for (const workload of wanted) {
    const found = asked.has(workload.name) ? undefined : known.get(workload.name);
    if (found === undefined) continue;
    const before = signedWorkload(found.next ?? found);
    const last = findWorkload(signed, workload.name) ?? before;
    const [field, ...others] = [before, last].map((one) => changedPiece(one, workload));
    if (field === undefined || others.includes(undefined)) continue;
    throw new GridError('upgrade_unversioned', { workload: workload.name, version: workload.version, field });
  }
}

/**
 * The deployment as it is once it is updated: what is asked for as the new version has it, all else as
 * it is in force or on its way to be, as what the new version says of it is not looked at.
 */
export function updatedDeployment(
  record: DeploymentRecord,
  deployment: Deployment,
  operations: readonly Operation[],
): Deployment {
  const asked = new Set(operations.map((one) => one.workload));
  const kept = new Map(record.workloads.filter(({ name }) => !asked.has(name)).map((one) => [one.name, one]));
  const workloads = deployment.workloads.map((workload) => {
    const found = kept.get(workload.name);
    return found === undefined ? workload : signedWorkload(found.next ?? found);
  });
  return { ...deployment, workloads };
}

/** What the node has to be done with before it takes these operations; `undefined` when it takes them now. */
export function busyWith(
  journal: Journal,
  record: DeploymentRecord,
  operations: readonly Operation[],
): string | undefined {
  const kinds = new Map(operations.map(({ workload, kind }) => [workload, kind]));
  for (const workload of record.workloads) {
    const { name, state, type } = workload;
    const kind = kinds.get(name);
    if (kind === 'remove') {
      const user = networkUser(journal, record, workload);
      if (user !== undefined) return `still needed: ${user} is on network '${name}'`;
    }
    if (kind === undefined || kind === 'remove') continue;
    if (isLeaving(workload)) return `still removing workload '${name}'`;
    if (state === 'init') return `still making workload '${name}'`;
    const machine = type === zmount.name ? machineBeingMade(record, name) : undefined;
    if (machine !== undefined) return `still making workload '${machine}', which mounts '${name}'`;
  }
  return undefined;
}

/** A machine of another deployment of the twin that is to stay on the network. */
function networkUser(journal: Journal, { id, twin }: DeploymentRecord, { type, name }: WorkloadRecord) {
  if (type !== network.name) return undefined;
  for (const other of journal.deploymentsOf(twin)) {
    if (other.id === id) continue;
    const user = other.workloads.find(
      (one) => one.held?.address?.network === name && one.removal === undefined && one.state !== 'error',
    );
    if (user !== undefined) return `workload '${user.name}' of contract ${other.contract}`;
  }
  return undefined;
}

/** It may have the disk open before its own record says that it runs. */
function machineBeingMade({ workloads }: DeploymentRecord, disk: string): string | undefined {
  return workloads.find((one) => one.state === 'init' && one.removal === undefined && one.after.includes(disk))?.name;
}

/** The update for the journal. */
export function revisionOf(
  deployment: Deployment,
  operations: readonly Operation[],
  { steps, reservation }: Extract<Plan, { fits: true }>,
  { formula, trace }: { readonly formula: Formula; readonly trace: string },
): Revision {
  return {
    twin: deployment.twin_id,
    contract: deployment.contract_id,
    version: deployment.version,
    document: formatDeployment(deployment),
    hash: deploymentHash(deployment, formula),
    trace,
    removed: operations.filter((one) => one.kind === 'remove').map((one) => one.workload),
    workloads: steps.map((step): RevisedWorkload => {
      const held = reservation.workloads.find((one) => one.name === step.name);
      if (held === undefined) throw new Error(`the plan reserves nothing for workload '${step.name}'`);
      return { ...step, ...signedPart(deployment, step.name), held };
    }),
  };
}

/** Version and signed text of one workload. */
export function signedPart(
  deployment: Deployment,
  name: string,
): { readonly version: number; readonly signed: string } {
  const workload = findWorkload(deployment, name);
  if (workload === undefined) throw new Error(`the deployment has no workload '${name}'`);
  return { version: workload.version, signed: formatWorkload({ ...workload, result: noResult() }) };
}
