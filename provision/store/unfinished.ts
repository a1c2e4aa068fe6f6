/** What a record of the journal asks of the engine. */
import type { DeploymentRecord, WorkloadRecord } from './journal.ts';

/** Its resources are to be removed: it is not wanted any more, or it failed. */
export function isLeaving(workload: WorkloadRecord): boolean {
  if (workload.removal !== undefined) return workload.state !== 'deleted' || workload.held !== undefined;
  return workload.state === 'error' && workload.held !== undefined;
}

/** It is to become something else, and may: what is paused does when it goes on. */
export function isChanging(workload: WorkloadRecord): boolean {
  return workload.next !== undefined && workload.state === 'ok' && workload.removal === undefined;
}

/** Something is to be made, changed or removed. */
export function isUnfinished(record: DeploymentRecord): boolean {
  if (record.cancelled !== undefined) return true;
  return record.workloads.some((one) => one.state === 'init' || isLeaving(one) || isChanging(one));
}

/** Something runs that is to stand still, or stands still that is to run. */
export function isPauseDue({ cancelled, paused, workloads }: DeploymentRecord): boolean {
  if (cancelled !== undefined) return false;
  return workloads.some((one) => one.removal === undefined && one.state === (paused ? 'ok' : 'paused'));
}
