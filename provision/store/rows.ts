/** Tables of the SQLite journal and what their rows mean. */
import type { ReservedWorkload } from '../plan/capacity.ts';
import type { Row } from './database.ts';
import type { DeploymentRecord, PendingChange, WorkloadRecord, WorkloadState } from './journal.ts';

export const SCHEMA_VERSION = 2;

/** Every workload as it was signed, by the version at which it was. */
const SIGNED = `
CREATE TABLE signed (
  deployment TEXT NOT NULL REFERENCES deployments(id) ON DELETE CASCADE,
  workload TEXT NOT NULL,
  version INTEGER NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (deployment, workload, version)
) STRICT;
`;

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
  next_version INTEGER,
  next TEXT,
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
${SIGNED}
PRAGMA user_version = ${SCHEMA_VERSION};
`;

/** From the schema that knew no updates; what was signed is then filled in from the documents. */
export const FROM_VERSION_1 = `
ALTER TABLE workloads ADD COLUMN next_version INTEGER;
ALTER TABLE workloads ADD COLUMN next TEXT;
${SIGNED}
PRAGMA user_version = 2;
`;

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

function optionalText(value: unknown): string | undefined {
  return value === null || value === undefined ? undefined : String(value);
}
