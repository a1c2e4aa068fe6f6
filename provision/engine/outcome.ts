/** How an operation ended, once its deployment's lane has nothing left to do. */
import type { DeploymentRecord, Journal } from '../store/journal.ts';
import type { OperationRecord } from '../store/operations.ts';

export interface OperationOutcome {
  readonly state: 'done' | 'failed';
  /** Empty when it is done. */
  readonly error: string;
}

const DONE: OperationOutcome = { state: 'done', error: '' };

/** A deployment that was asked for failed where one of its workloads did, or did not become what was wanted. */
export function outcomeOf(
  { kind, version }: OperationRecord,
  record: DeploymentRecord,
  journal: Journal,
): OperationOutcome {
  if (kind !== 'create' && kind !== 'update') return DONE;
  const failed = record.workloads.find((one) => one.state === 'error' && one.removal === undefined);
  if (failed !== undefined) return { state: 'failed', error: `workload '${failed.name}': ${failed.message}` };
  if (kind === 'create') return DONE;
  const refused = journal.changes(record.id).findLast((one) => one.state === 'unchanged' && one.version === version);
  if (refused === undefined) return DONE;
  return { state: 'failed', error: `workload '${refused.workload}': ${refused.message}` };
}
