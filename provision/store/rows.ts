/** What the rows of the SQLite journal mean. */
import type { ReservedWorkload } from '../plan/capacity.ts';
import type { Row } from './database.ts';
import type { DeploymentRecord, PendingChange, WorkloadRecord, WorkloadState } from './journal.ts';
import type { OperationRecord } from './operations.ts';

/** Rows of workloads with what was signed for their version and for the one to come. */
export const WORKLOAD_ROWS = `
SELECT w.*, s.text AS signed, n.text AS next_signed FROM workloads w
JOIN signed s ON s.deployment = w.deployment AND s.workload = w.name AND s.version = w.version
LEFT JOIN signed n ON n.deployment = w.deployment AND n.workload = w.name AND n.version = w.next_version
`;

/** A deployment from its row and the rows of its workloads. */
export function recordOf(row: Row, workloads: readonly Row[]): DeploymentRecord {
  return {
    id: String(row.id),
    twin: Number(row.twin),
    contract: BigInt(String(row.contract)),
    sequence: Number(row.sequence),
    version: Number(row.version),
    document: String(row.document),
    hash: String(row.hash),
    trace: String(row.trace),
    acceptedAt: Number(row.accepted_at),
    cancelled: optionalText(row.cancelled),
    paused: row.paused === 1,
    workloads: workloads.map(workloadOf),
  };
}

export function workloadOf(row: Row): WorkloadRecord {
  const awaitsNetwork = optionalText(row.awaits_network);
  const held = optionalText(row.held);
  return {
    name: String(row.name),
    type: String(row.type),
    version: Number(row.version),
    signed: String(row.signed),
    after: JSON.parse(String(row.after)) as string[],
    ...(awaitsNetwork === undefined ? {} : { awaitsNetwork }),
    state: String(row.state) as WorkloadState,
    message: String(row.message),
    data: String(row.data),
    created: Number(row.created),
    removal: optionalText(row.removal),
    held: held === undefined ? undefined : (JSON.parse(held) as ReservedWorkload),
    next: nextOf(row),
  };
}

type KeptNext = Pick<PendingChange, 'after' | 'awaitsNetwork' | 'held' | 'askedAt'>;

/** The column `next`; its version and what was signed are kept elsewhere. */
export function nextText({ after, awaitsNetwork, held, askedAt }: PendingChange): string {
  return JSON.stringify({ after, awaitsNetwork, held, askedAt } satisfies {
    [K in keyof KeptNext]: KeptNext[K] | undefined;
  });
}

function nextOf(row: Row): PendingChange | undefined {
  const next = optionalText(row.next);
  if (next === undefined) return undefined;
  return {
    name: String(row.name),
    type: String(row.type),
    version: Number(row.next_version),
    signed: String(row.next_signed),
    ...(JSON.parse(next) as KeptNext),
  };
}

export function operationOf(row: Row): OperationRecord {
  return {
    id: `op-${Number(row.sequence)}`,
    deployment: String(row.deployment),
    twin: Number(row.twin),
    contract: BigInt(String(row.contract)),
    kind: String(row.kind) as OperationRecord['kind'],
    workload: String(row.workload),
    version: Number(row.version),
    trace: String(row.trace),
    reason: String(row.reason),
    state: String(row.state) as OperationRecord['state'],
    askedAt: Number(row.asked_at),
    startedAt: Number(row.started_at),
    endedAt: Number(row.ended_at),
    attempts: Number(row.attempts),
    crashes: Number(row.crashes),
    error: String(row.error),
  };
}

function optionalText(value: unknown): string | undefined {
  return value === null || value === undefined ? undefined : String(value);
}
