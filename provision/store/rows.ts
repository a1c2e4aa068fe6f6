/** What the rows of the SQLite journal mean; a row that means nothing is told by what is wrong with it. */
import type { ReservedWorkload } from '../plan/capacity.ts';
import type { Row } from './database.ts';
import {
  type Change,
  type DeploymentRecord,
  deploymentId,
  type PendingChange,
  type StepEntry,
  type Tombstone,
  type WorkloadRecord,
} from './journal.ts';
import type { OperationRecord } from './operations.ts';

/** The values of a row, in the order of the columns asked for. */
export type Values = readonly unknown[];

export class DamagedRow extends Error {
  override readonly name = 'DamagedRow';
}

/** A number that is none of ours is read as none: JavaScript has no room for all that SQLite does. */
const counted = (column: string): string => `iif(${column} BETWEEN 0 AND ${Number.MAX_SAFE_INTEGER}, ${column}, NULL)`;

export const DEPLOYMENT_COLUMNS = `${counted('sequence')}, id, ${counted('twin')}, contract, ${counted('version')}, hash, trace,
  ${counted('accepted_at')}, cancelled, ${counted('paused')}`;
export const WORKLOAD_COLUMNS = `deployment, name, type, ${counted('version')}, after, awaits_network, state, message, data,
  ${counted('created')}, removal, held, ${counted('next_version')}, next`;

/** A record without the texts that were signed. */
export type StoredRecord = Omit<DeploymentRecord, 'document' | 'workloads'>;
export type StoredWorkload = Omit<WorkloadRecord, 'signed' | 'next'> & { readonly next: StoredChange | undefined };
export type StoredChange = Omit<PendingChange, 'signed' | 'over'> & { readonly over?: StoredChange };

export function recordOf(row: Values): StoredRecord {
  const [sequence, id, twin, contract, version, hash, trace, acceptedAt, cancelled, paused] = row;
  const record: StoredRecord = {
    id: text(id, 'id'),
    twin: count(twin, 'twin'),
    contract: contractOf(contract),
    sequence: count(sequence, 'sequence'),
    version: count(version, 'version'),
    hash: text(hash, 'hash'),
    trace: text(trace, 'trace'),
    acceptedAt: count(acceptedAt, 'accepted_at'),
    cancelled: optional(cancelled, 'cancelled'),
    paused: count(paused, 'paused') === 1,
  };
  if (record.id !== deploymentId(record.twin, record.contract))
    throw new DamagedRow(`its id '${record.id}' is another`);
  return record;
}

export function workloadOf(row: Values): StoredWorkload {
  const [, name, type, version, after, awaits, state, message, data, created, removal, held, nextVersion, next] = row;
  const awaitsNetwork = optional(awaits, 'awaits_network');
  const heldText = optional(held, 'held');
  // What runs holds something: without that its disk would look as if nobody owned it.
  if (heldText === undefined && (state === 'ok' || state === 'paused'))
    throw new DamagedRow('it runs and holds nothing');
  const named = { name: text(name, 'name'), type: text(type, 'type') };
  return {
    ...named,
    version: count(version, 'version'),
    after: after === '[]' ? [] : names(json(after, 'after'), 'after'),
    ...(awaitsNetwork === undefined ? {} : { awaitsNetwork }),
    state: oneOf(state, STATES, 'state'),
    message: text(message, 'message'),
    data: text(data, 'data'),
    created: count(created, 'created'),
    removal: optional(removal, 'removal'),
    held: heldText === undefined ? undefined : reservedOf(json(heldText, 'held')),
    next: next === null ? undefined : changeOf(named, nextVersion, next),
  };
}

const STATES: ReadonlySet<WorkloadRecord['state']> = new Set(['init', 'ok', 'error', 'paused', 'deleted']);
const CHANGE_STATES: ReadonlySet<Change['state']> = new Set([...STATES, 'unchanged']);

/** The column `next`; its version and what was signed are kept elsewhere. */
export function nextText({ after, awaitsNetwork, held, askedAt, over }: PendingChange): string {
  return JSON.stringify({ after, awaitsNetwork, held, askedAt, over: over && keptChange(over) });
}

function keptChange({ version, after, awaitsNetwork, held, askedAt }: PendingChange): object {
  return { version, after, awaitsNetwork, held, askedAt };
}

function changeOf(named: Pick<PendingChange, 'name' | 'type'>, version: unknown, next: unknown): StoredChange {
  const kept = object(json(next, 'next'), 'next');
  const change = keptChangeOf(named, version, kept);
  if (kept.over === undefined) return change;
  const over = object(kept.over, 'next');
  return { ...change, over: keptChangeOf(named, over.version, over) };
}

function keptChangeOf(
  named: Pick<PendingChange, 'name' | 'type'>,
  version: unknown,
  { after, awaitsNetwork, held, askedAt }: Record<string, unknown>,
): StoredChange {
  return {
    ...named,
    version: count(version, 'next_version'),
    after: names(after, 'next'),
    ...(awaitsNetwork === undefined ? {} : { awaitsNetwork: text(awaitsNetwork, 'next') }),
    held: reservedOf(held),
    askedAt: count(askedAt, 'next'),
  };
}

/** What a workload holds; numbers that are none would make every sum of the node none. */
export function reservedOf(value: unknown): ReservedWorkload {
  const held = object(value, 'held');
  text(held.name, 'held');
  text(held.type, 'held');
  if (held.state !== 'pending' && held.state !== 'committed') throw new DamagedRow("column 'held' has no state");
  for (const unit of ['vcpus', 'memoryBytes', 'publicIps']) count(held[unit], 'held');
  if (!Array.isArray(held.allocations)) throw new DamagedRow("column 'held' lists no allocations");
  for (const one of held.allocations as unknown[]) {
    const { resource, kind, media, bytes, pool } = object(one, 'held');
    for (const name of [resource, kind, media, pool]) text(name, 'held');
    count(bytes, 'held');
  }
  for (const claim of [held.network, held.address]) {
    if (claim === undefined) continue;
    for (const part of Object.values(object(claim, 'held'))) {
      if (typeof part !== 'string') count(part, 'held');
    }
  }
  return held as unknown as ReservedWorkload;
}

export function changeEntryOf(row: Row): Change {
  return {
    workload: text(row.workload, 'workload'),
    version: count(row.version, 'version'),
    signed: text(row.signed, 'signed'),
    state: oneOf(row.state, CHANGE_STATES, 'state'),
    message: text(row.message, 'message'),
    data: text(row.data, 'data'),
    created: count(row.created, 'created'),
  };
}

const STEP_STATES: ReadonlySet<StepEntry['state']> = new Set(['started', 'done', 'failed', 'undone']);

export function stepOf(row: Row): StepEntry {
  return {
    workload: text(row.workload, 'workload'),
    step: text(row.step, 'step'),
    state: oneOf(row.state, STEP_STATES, 'state'),
    message: text(row.message, 'message'),
    at: count(row.at, 'at'),
    trace: text(row.trace, 'trace'),
  };
}

export function tombstoneOf(row: Row): Tombstone {
  return {
    twin: count(row.twin, 'twin'),
    contract: contractOf(row.contract),
    hash: text(row.hash, 'hash'),
    trace: text(row.trace, 'trace'),
    reason: text(row.reason, 'reason'),
    acceptedAt: count(row.accepted_at, 'accepted_at'),
    goneAt: count(row.gone_at, 'gone_at'),
  };
}

const KINDS: ReadonlySet<OperationRecord['kind']> = new Set([
  ...(['create', 'update', 'cancel', 'pause', 'resume', 'decommission', 'restore'] as const),
]);
const OPERATION_STATES: ReadonlySet<OperationRecord['state']> = new Set([
  ...(['queued', 'running', 'parked', 'done', 'failed', 'superseded'] as const),
]);

export function operationOf(row: Row): OperationRecord {
  return {
    id: `op-${count(row.sequence, 'sequence')}`,
    deployment: text(row.deployment, 'deployment'),
    twin: count(row.twin, 'twin'),
    contract: contractOf(row.contract),
    kind: oneOf(row.kind, KINDS, 'kind'),
    workload: text(row.workload, 'workload'),
    version: count(row.version, 'version'),
    trace: text(row.trace, 'trace'),
    reason: text(row.reason, 'reason'),
    state: oneOf(row.state, OPERATION_STATES, 'state'),
    askedAt: count(row.asked_at, 'asked_at'),
    startedAt: count(row.started_at, 'started_at'),
    endedAt: count(row.ended_at, 'ended_at'),
    attempts: count(row.attempts, 'attempts'),
    crashes: count(row.crashes, 'crashes'),
    error: text(row.error, 'error'),
  };
}

function text(value: unknown, column: string): string {
  if (typeof value !== 'string') throw new DamagedRow(`column '${column}' has no text`);
  return value;
}

function optional(value: unknown, column: string): string | undefined {
  return value === null ? undefined : text(value, column);
}

function count(value: unknown, column: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw new DamagedRow(`column '${column}' has no number that counts`);
  }
  return value;
}

function contractOf(value: unknown): bigint {
  const digits = text(value, 'contract');
  if (!/^\d{1,20}$/.test(digits)) throw new DamagedRow("column 'contract' has no number");
  return BigInt(digits);
}

function oneOf<T extends string>(value: unknown, known: ReadonlySet<T>, column: string): T {
  if (!known.has(value as T)) throw new DamagedRow(`column '${column}' has no state that is known`);
  return value as T;
}

function json(value: unknown, column: string): unknown {
  try {
    return JSON.parse(text(value, column));
  } catch (error) {
    if (error instanceof DamagedRow) throw error;
    throw new DamagedRow(`column '${column}' is no JSON`, { cause: error });
  }
}

function object(value: unknown, column: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new DamagedRow(`column '${column}' has no object`);
  }
  return value as Record<string, unknown>;
}

function names(value: unknown, column: string): string[] {
  if (!Array.isArray(value)) throw new DamagedRow(`column '${column}' has no list`);
  return value.map((one) => text(one, column));
}
