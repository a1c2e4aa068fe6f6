/** From a deployment and its new version to what is to be done, in the words of the grid's nodes. */
import { deploymentHash, type Formula } from '../schemas/challenge.ts';
import { type Deployment, findWorkload, formatDeployment, formatWorkload, noResult } from '../schemas/deployment.ts';
import { GridError, isGridError } from '../schemas/errors/index.ts';
import { type Operation, planUpgrade } from '../schemas/upgrade.ts';
import { isLeaving } from './engine/record.ts';
import type { Plan } from './plan/plan.ts';
import {
  type DeploymentRecord,
  deploymentId,
  type Journal,
  type RevisedWorkload,
  type Revision,
} from './store/journal.ts';
import { standingDeployment } from './store/signed.ts';

/** Rules that nodes answer with a suffix; the others have it, or have none. */
const SUFFIXED = ['upgrade_identity', 'upgrade_version', 'upgrade_workload_version', 'upgrade_workload_type'] as const;

/** The deployment that is to be updated; throws `deployment_to_update_missing`. */
export function updatedRecord(journal: Journal, { twin_id: twin, contract_id }: Deployment): DeploymentRecord {
  const record = journal.deployment(deploymentId(twin, contract_id));
  if (record !== undefined && record.cancelled === undefined) return record;
  const isTwinKnown = journal.deployments().some((one) => one.twin === twin);
  throw new GridError('deployment_to_update_missing', { twin, contract: contract_id.toString(), isTwinKnown });
}

/** What the new version asks for; throws the `GridError` of the first rule broken. */
export function operationsOf(record: DeploymentRecord, deployment: Deployment): Operation[] {
  try {
    return planUpgrade(standingDeployment(record), deployment);
  } catch (error) {
    if (!SUFFIXED.some((code) => isGridError(error, code))) throw error;
    throw new GridError('upgrade_invalid', { reason: (error as GridError).message }, { cause: error });
  }
}

/** What the deployment has to be done with before it takes these operations; `undefined` when it takes them now. */
export function busyWith(record: DeploymentRecord, operations: readonly Operation[]): string | undefined {
  const changed = new Set(operations.filter((one) => one.kind === 'update').map((one) => one.workload));
  for (const workload of record.workloads) {
    const { name, next, state } = workload;
    if (!changed.has(name)) continue;
    if (isLeaving(workload)) return `still removing workload '${name}'`;
    if (state === 'init') return `still making workload '${name}'`;
    if (next !== undefined) return `still changing workload '${name}' to version ${next.version}`;
  }
  return undefined;
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
