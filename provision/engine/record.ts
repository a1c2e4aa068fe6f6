/** What a record of the journal asks of the engine. */
import { type DeploymentRecord, REMOVED_BY_UPDATE, type WorkloadRecord } from '../store/journal.ts';

/** Its resources are to be removed: it is not wanted any more, or it failed. */
export function isLeaving(workload: WorkloadRecord): boolean {
  if (workload.removal !== undefined) return workload.state !== 'deleted' || workload.held !== undefined;
  return workload.state === 'error' && workload.held !== undefined;
}

/** It is to become something else, and may: what is paused does when it goes on. */
export function isChanging(workload: WorkloadRecord): boolean {
  return workload.next !== undefined && workload.state === 'ok' && workload.removal === undefined;
}

export function isUnfinished(record: DeploymentRecord): boolean {
  if (record.cancelled !== undefined) return true;
  return record.workloads.some((one) => one.state === 'init' || isLeaving(one) || isChanging(one));
}

/** What an update adds or changes was planned without what it removes: that has to be gone before. */
export function isMakingRoom({ workloads }: DeploymentRecord): boolean {
  return workloads.some((one) => one.removal === REMOVED_BY_UPDATE && isLeaving(one));
}

/** Every workload after those it depends on. The plan has no circles: only machines depend on others. */
export function inOrder(workloads: readonly WorkloadRecord[]): WorkloadRecord[] {
  return [...workloads].sort((a, b) => a.after.length - b.after.length);
}
