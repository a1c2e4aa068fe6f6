/** Tables of the SQLite journal and what their rows mean. */
import type { ReservedWorkload } from '../plan/capacity.ts';
import type { DeploymentRecord, WorkloadRecord, WorkloadState } from './journal.ts';

export const SCHEMA_VERSION = 1;

export const SCHEMA = `
CREATE TABLE deployments (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  twin INTEGER NOT NULL,
  contract TEXT NOT NULL,
  version INTEGER NOT NULL,
  document TEXT NOT NULL,
  hash TEXT NOT NULL,
  trace TEXT NOT NULL,
  accepted_at INTEGER NOT NULL,
  cancelled TEXT
) STRICT;
CREATE TABLE workloads (
  deployment TEXT NOT NULL REFERENCES deployments(id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  name TEXT NOT NULL,
  type TEXT NOT NULL,
  version INTEGER NOT NULL,
  after TEXT NOT NULL,
  awaits_network TEXT,
  state TEXT NOT NULL,
  message TEXT NOT NULL,
  data TEXT NOT NULL,
  created INTEGER NOT NULL,
  removal TEXT,
  held TEXT,
  PRIMARY KEY (deployment, name)
) STRICT;
CREATE TABLE changes (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  deployment TEXT NOT NULL REFERENCES deployments(id) ON DELETE CASCADE,
  workload TEXT NOT NULL,
  version INTEGER NOT NULL,
  state TEXT NOT NULL,
  message TEXT NOT NULL,
  data TEXT NOT NULL,
  created INTEGER NOT NULL
) STRICT;
CREATE INDEX changes_of ON changes (deployment, sequence);
CREATE UNIQUE INDEX one_ok ON changes (deployment, workload, version) WHERE state = 'ok';
CREATE TABLE steps (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  deployment TEXT NOT NULL REFERENCES deployments(id) ON DELETE CASCADE,
  workload TEXT NOT NULL,
  step TEXT NOT NULL,
  state TEXT NOT NULL,
  message TEXT NOT NULL,
  at INTEGER NOT NULL,
  trace TEXT NOT NULL
) STRICT;
CREATE INDEX steps_of ON steps (deployment, sequence);
CREATE TABLE history (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  twin INTEGER NOT NULL,
  contract TEXT NOT NULL,
  hash TEXT NOT NULL,
  trace TEXT NOT NULL,
  reason TEXT NOT NULL,
  accepted_at INTEGER NOT NULL,
  gone_at INTEGER NOT NULL
) STRICT;
PRAGMA user_version = ${SCHEMA_VERSION};
`;

export type Row = Record<string, unknown>;

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
    after: JSON.parse(String(row.after)) as string[],
    ...(awaitsNetwork === undefined ? {} : { awaitsNetwork }),
    state: String(row.state) as WorkloadState,
    message: String(row.message),
    data: String(row.data),
    created: Number(row.created),
    removal: optionalText(row.removal),
    held: held === undefined ? undefined : (JSON.parse(held) as ReservedWorkload),
  };
}

function optionalText(value: unknown): string | undefined {
  return value === null || value === undefined ? undefined : String(value);
}
