/** Operations as the bus tells them: what was asked, how far it got, who is ahead of it. */
import type { Infer } from '../modules/zbus/wire.ts';
import type { Operation } from './interface.ts';
import { openSteps } from './progress.ts';
import { stepEvent } from './report.ts';
import { type DeploymentId, deploymentId, type Journal } from './store/journal.ts';
import { isEnded, type OperationRecord } from './store/operations.ts';

/** Operations one answer holds: the newest, and of these those that did not end first of all. */
export const OPERATIONS_TOLD = 500;

/** What tells where a deployment stands among those that wait. */
export interface Queue {
  positions(): ReadonlyMap<DeploymentId, number>;
}

/** Oldest first. `twin` 0 stands for all twins, `contract` 0 for all contracts. */
export function operationsOf(
  journal: Journal,
  queue: Queue,
  { twin, contract }: { readonly twin: number; readonly contract: bigint },
): Infer<typeof Operation>[] {
  const isOne = twin !== 0 && contract !== 0n;
  const found = isOne
    ? journal.operations(deploymentId(twin, contract))
    : twin === 0
      ? journal.operations()
      : journal.operationsOf(twin);
  const asked = found.filter((one) => contract === 0n || one.contract === contract);
  const positions = queue.positions();
  return newest(asked).map((one) => told(journal, one, positions.get(one.deployment) ?? 0));
}

function newest(asked: readonly OperationRecord[]): readonly OperationRecord[] {
  if (asked.length <= OPERATIONS_TOLD) return asked;
  const unfinished = asked.filter((one) => !isEnded(one)).slice(-OPERATIONS_TOLD);
  const room = OPERATIONS_TOLD - unfinished.length;
  const ended = room === 0 ? [] : asked.filter(isEnded).slice(-room);
  const chosen = new Set([...unfinished, ...ended]);
  return asked.filter((one) => chosen.has(one));
}

function told(journal: Journal, one: OperationRecord, position: number): Infer<typeof Operation> {
  const record = one.state === 'running' ? journal.deployment(one.deployment) : undefined;
  return {
    ID: one.id,
    Kind: one.kind,
    State: one.state,
    TwinID: one.twin,
    ContractID: one.contract,
    Workload: one.workload,
    Version: one.version,
    AskedAt: one.askedAt,
    StartedAt: one.startedAt,
    EndedAt: one.endedAt,
    Attempts: one.attempts,
    Crashes: one.crashes,
    LastError: one.error,
    Reason: one.reason,
    Trace: one.trace,
    QueuePosition: one.state === 'queued' ? position : 0,
    Steps: record === undefined ? [] : openSteps(journal.steps(record.id)).map((entry) => stepEvent(record, entry)),
  };
}
