/** Tables of the SQLite journal, and how older files become such. */
import { DatabaseSync } from 'node:sqlite';
import { formatWorkload, parseDeployment } from '../../schemas/deployment.ts';
import type { Database } from './database.ts';
import { REMOVED_BY_UPDATE } from './journal.ts';
import { signWorkload } from './writes.ts';

export const SCHEMA_VERSION = 3;

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

/** What was asked of the engine, unfinished while `ended_at` is 0; it outlives its deployment. */
const OPERATIONS = `
CREATE TABLE operations (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  deployment TEXT NOT NULL,
  twin INTEGER NOT NULL,
  contract TEXT NOT NULL,
  kind TEXT NOT NULL,
  workload TEXT NOT NULL,
  version INTEGER NOT NULL,
  trace TEXT NOT NULL,
  reason TEXT NOT NULL,
  state TEXT NOT NULL,
  asked_at INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  crashes INTEGER NOT NULL,
  error TEXT NOT NULL
) STRICT;
CREATE INDEX operations_unfinished ON operations (deployment, sequence) WHERE ended_at = 0;
CREATE INDEX operations_ended ON operations (sequence) WHERE ended_at <> 0;
`;

/** What can not be read, with all of it that can; `reservation` is what a deployment set aside holds. */
const QUARANTINE = `
CREATE TABLE quarantine (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  source TEXT NOT NULL,
  key TEXT NOT NULL,
  deployment TEXT NOT NULL,
  reason TEXT NOT NULL,
  at INTEGER NOT NULL,
  salvage TEXT NOT NULL,
  reservation TEXT
) STRICT;
`;

const SCHEMA = `
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
  cancelled TEXT,
  paused INTEGER NOT NULL DEFAULT 0
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
${OPERATIONS}
${QUARANTINE}
PRAGMA user_version = ${SCHEMA_VERSION};
`;

/** The schema that knew no updates; what was signed is then filled in from the documents. */
const TO_VERSION_2 = `
ALTER TABLE workloads ADD COLUMN next_version INTEGER;
ALTER TABLE workloads ADD COLUMN next TEXT;
${SIGNED}
PRAGMA user_version = 2;
`;

/** The schema that knew no operations, and pauses only by their effect. */
const TO_VERSION_3 = `
ALTER TABLE deployments ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
${OPERATIONS}
${QUARANTINE}
PRAGMA user_version = 3;
`;

/** Tables that older schemas did not have, by the first that has them. */
export const TABLE_SINCE: ReadonlyMap<string, number> = new Map([
  ['signed', 2],
  ['operations', 3],
  ['quarantine', 3],
]);

/** Brings the file at `path` to this schema; throws when it was written by a newer one. */
export function migrate(database: Database, path: string): void {
  const version = Number(database.get('PRAGMA user_version')?.user_version);
  if (version > SCHEMA_VERSION) {
    throw new Error(`${path} was written by a newer version (schema ${version}, this one knows ${SCHEMA_VERSION})`);
  }
  if (version === SCHEMA_VERSION) return;
  database.transaction(() => {
    if (version === 0) return database.execute(SCHEMA);
    if (version === 1) fromOneDocument(database);
    database.execute(TO_VERSION_3);
    askAgain(database);
  });
}

/**
 * What a journal that knew no operations had under way: pauses are told by their effect, everything else goes on
 * as if it had been asked again. Inside of a transaction.
 */
export function askAgain(database: Database): void {
  database.execute(PAUSED);
  database.run(
    `INSERT INTO operations (deployment, twin, contract, kind, workload, version, trace, reason, state, asked_at, started_at, ended_at, attempts, crashes, error)
     SELECT id, twin, contract,
       CASE WHEN cancelled IS NOT NULL THEN 'cancel' WHEN version > 0 THEN 'update' ELSE 'create' END, '', version, trace,
       coalesce(cancelled, ''), 'queued', accepted_at * 1000, 0, 0, 0, 0, ''
     FROM deployments d WHERE cancelled IS NOT NULL OR EXISTS
       (SELECT 1 FROM workloads w WHERE w.deployment = d.id AND (w.state = 'init' OR w.next IS NOT NULL)) ORDER BY sequence`,
  );
  database.run(
    `INSERT INTO operations (deployment, twin, contract, kind, workload, version, trace, reason, state, asked_at, started_at, ended_at, attempts, crashes, error)
     SELECT d.id, d.twin, d.contract, 'decommission', w.name, d.version, d.trace, w.removal, 'queued', d.accepted_at * 1000, 0, 0, 0, 0, ''
     FROM workloads w JOIN deployments d ON d.id = w.deployment
     WHERE d.cancelled IS NULL AND w.removal <> ? AND w.held IS NOT NULL ORDER BY d.sequence, w.position`,
    REMOVED_BY_UPDATE,
  );
}

const PAUSED = `
UPDATE deployments SET paused = 1
WHERE cancelled IS NULL AND id IN (SELECT deployment FROM workloads WHERE state = 'paused' AND removal IS NULL)`;

/** In the first schema each workload was signed once, in its deployment's document. */
function fromOneDocument(database: Database): void {
  database.execute(TO_VERSION_2);
  for (const { id, document } of database.all('SELECT id, document FROM deployments')) {
    for (const workload of parseDeployment(String(document)).workloads) {
      signWorkload(database, String(id), { ...workload, signed: formatWorkload(workload) });
    }
  }
}

/** Where tables and indexes are not those of this schema: a name in the file may be damaged, too. */
export function schemaFaults(database: Database): string[] {
  const wanted = new DatabaseSync(':memory:');
  try {
    wanted.exec(SCHEMA);
    const found = new Set(database.all(NAMES).map((row) => String(row.name)));
    const names = wanted
      .prepare(NAMES)
      .all()
      .map((row) => String(row.name));
    return names.filter((name) => !found.has(name)).map((name) => `${name} is missing`);
  } finally {
    wanted.close();
  }
}

/** Every column, with its table and type; every reference; every index, as it was made. */
const NAMES = `
SELECT 'column ' || t.name || '.' || c.name || ' ' || c.type || ' ' || c."notnull" || ' ' || c.pk AS name
FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'
UNION ALL SELECT 'reference of ' || t.name || '.' || f."from" || ' to ' || f."table" || ' ' || f.on_delete AS name
FROM sqlite_schema t JOIN pragma_foreign_key_list(t.name) f WHERE t.type = 'table'
UNION ALL SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL
`;
