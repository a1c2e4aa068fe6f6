/** The signed texts that the journal keeps, read back. */
import {
  type Deployment,
  decodeOrRefuse,
  MAX_DEPLOYMENT_BYTES,
  noResult,
  parseDeployment,
  Workload,
} from '../../schemas/deployment.ts';
import type { DeploymentRecord, WorkloadRecord } from './journal.ts';

/** A workload as it was signed, without a result. */
export function signedWorkload({ signed }: { readonly signed: string }): Workload {
  return decodeOrRefuse(Workload, signed, 'Workload', MAX_DEPLOYMENT_BYTES);
}

/** A workload as it is: what is in force, with its state. */
export function standingWorkload(workload: WorkloadRecord): Workload {
  const { state, message, data, created } = workload;
  return { ...signedWorkload(workload), result: { ...noResult(), state, message, data, created } };
}

/**
 * A deployment as it stands: the newest signed document, with every workload as it is in force. What
 * the document lists comes in its order, what still is to be removed after it; what is gone is left out.
 */
export function standingDeployment(record: DeploymentRecord): Deployment {
  const document = parseDeployment(record.document);
  const left = new Map(record.workloads.filter((one) => one.state !== 'deleted').map((one) => [one.name, one]));
  const workloads: Workload[] = [];
  for (const { name } of document.workloads) {
    const found = left.get(name);
    if (found === undefined) continue;
    left.delete(name);
    workloads.push(standingWorkload(found));
  }
  return { ...document, workloads: [...workloads, ...[...left.values()].map(standingWorkload)] };
}
