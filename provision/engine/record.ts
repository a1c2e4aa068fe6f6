/** What a record of the journal asks of the engine. */
import type { DeploymentRecord, WorkloadRecord } from '../store/journal.ts';

/** Its resources are to be removed: it is not wanted any more, or it failed. */
export function isLeaving(workload: WorkloadRecord): boolean {
  if (workload.removal !== undefined) return workload.state !== 'deleted' || workload.held !== undefined;
  return workload.state === 'error' && workload.held !== undefined;
}

export function isUnfinished(record: DeploymentRecord): boolean {
  return record.cancelled !== undefined || record.workloads.some((one) => one.state === 'init' || isLeaving(one));
}

/** Every workload after those it depends on. The plan has no circles: only machines depend on others. */
export function inOrder(workloads: readonly WorkloadRecord[]): WorkloadRecord[] {
  return [...workloads].sort((a, b) => a.after.length - b.after.length);
}
