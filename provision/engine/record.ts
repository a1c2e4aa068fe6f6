/** What a record of the journal asks of the engine. */
import { type DeploymentRecord, REMOVED_BY_UPDATE, type WorkloadRecord } from '../store/journal.ts';
import { isLeaving } from '../store/unfinished.ts';

export { isChanging, isLeaving, isUnfinished } from '../store/unfinished.ts';

/** What an update adds or changes was planned without what it removes: that has to be gone before. */
export function isMakingRoom({ workloads }: DeploymentRecord): boolean {
  return workloads.some((one) => one.removal === REMOVED_BY_UPDATE && isLeaving(one));
}

/** Every workload after those it depends on. The plan has no circles: only machines depend on others. */
export function inOrder(workloads: readonly WorkloadRecord[]): WorkloadRecord[] {
  return [...workloads].sort((a, b) => a.after.length - b.after.length);
}
