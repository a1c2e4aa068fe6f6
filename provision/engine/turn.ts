/** What a lane does in one look at the journal. */
import type { DeploymentRecord, Journal } from '../store/journal.ts';
import type { OperationRecord } from '../store/operations.ts';
import { isPauseDue } from '../store/unfinished.ts';
import { type Hands, jobOf } from './job.ts';
import type { Lane, Urgency } from './lane.ts';
import { TryLater } from './later.ts';
import type { Provisioning } from './provisioning.ts';
import { isChanging, isLeaving, isMakingRoom, isUnfinished } from './record.ts';
import type { Removal } from './removal.ts';
import type { Settled } from './settled.ts';

export interface Parts {
  readonly journal: Journal;
  readonly provisioning: Provisioning;
  readonly removal: Removal;
  readonly settled: Settled;
}

/** A pause or its end was asked and did not end: what the journal says of the machines may not be so. */
function isDoubtful(operations: readonly OperationRecord[]): boolean {
  return operations.some(({ kind }) => kind === 'pause' || kind === 'resume');
}

export function hasWork(record: DeploymentRecord, lane: Lane, operations: readonly OperationRecord[]): boolean {
  return isUnfinished(record) || lane.unverified || isPauseDue(record) || isDoubtful(operations);
}

export function urgencyOf(record: DeploymentRecord | undefined): Urgency {
  if (record === undefined || record.cancelled !== undefined || isPauseDue(record)) return 'urgent';
  if (record.workloads.some(isLeaving)) return 'urgent';
  return isUnfinished(record) ? 'work' : 'verify';
}

/** One look's worth of work. Throws `TryLater`, or what nobody foresaw, when something is left that can not be done now. */
export async function takeTurn(
  { journal, provisioning, removal, settled }: Parts,
  found: DeploymentRecord,
  operations: readonly OperationRecord[],
  lane: Lane,
  hands: Hands,
): Promise<void> {
  const { id, twin } = found;
  const leaving = found.workloads.filter(isLeaving);
  const isClear = leaving.length === 0 || (await removal.run(jobOf(found, hands), leaving));
  const record = journal.deployment(id) ?? found;
  const blocked = isClear ? undefined : new TryLater('a resource could not be removed yet, its step says why');
  if (record.cancelled !== undefined) {
    if (blocked !== undefined) throw blocked;
    journal.tombstone(id);
    settled.tell(id, twin);
    return;
  }
  // What stays neither lies still nor runs on unpaid because something else can not be done yet.
  let trouble: unknown = blocked;
  const doubtful = isDoubtful(operations);
  if (doubtful || isPauseDue(record)) {
    trouble = (await troubleOf(hands, () => provisioning.restoring.pause(jobOf(record, hands), doubtful))) ?? trouble;
  }
  const now = journal.deployment(id) ?? record;
  if (doubtful && trouble === undefined && !isPauseDue(now)) endPauses(journal, operations);
  const isToBeMade = now.workloads.some(
    (one) => (one.state === 'init' && one.removal === undefined) || isChanging(one),
  );
  if (isToBeMade && !isMakingRoom(now)) {
    await provisioning.run(jobOf(now, hands), lane.unverified);
  } else if (lane.unverified) {
    const missing = await troubleOf(hands, () => provisioning.restoring.verify(jobOf(now, hands)));
    if (missing === undefined) lane.unverified = false;
    trouble = missing ?? trouble;
  }
  if (trouble !== undefined) throw trouble;
}

function endPauses(journal: Journal, operations: readonly OperationRecord[]): void {
  for (const { kind, deployment, id } of operations) {
    if (kind === 'pause' || kind === 'resume') journal.end(deployment, 'done', '', id);
  }
}

/** What went wrong, nothing when nothing did; throws when the turn is over. */
async function troubleOf({ signal, ending }: Hands, work: () => Promise<void>): Promise<unknown> {
  try {
    await work();
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    ending.throwIfAborted();
    return error;
  }
}
