/** Rows that several of the journal's transactions write; each is called inside of one. */
import type { ReservedWorkload } from '../plan/capacity.ts';
import type { Database } from './database.ts';
import {
  type AcceptedWorkload,
  type Change,
  type DeploymentId,
  givenUp,
  heldOfAll,
  type RevisedWorkload,
  supersededBy,
  type WorkloadRecord,
} from './journal.ts';
import { nextText } from './rows.ts';

/** A workload that is to be made; one of its name that failed gives it its place. */
export function beginWorkload(
  database: Database,
  id: DeploymentId,
  workload: AcceptedWorkload,
  held: ReservedWorkload | undefined,
  created: number,
): void {
  const { name, type, version, after, awaitsNetwork } = workload;
  signWorkload(database, id, workload);
  database.run(
    `INSERT INTO workloads (deployment, position, name, type, version, after, awaits_network, state, message, data, created, held)
     VALUES (?1, (SELECT count(*) + coalesce(max(position), 0) FROM workloads WHERE deployment = ?1), ?2, ?3, ?4, ?5, ?6, 'init', '', '', ?7, ?8)
     ON CONFLICT (deployment, name) DO UPDATE SET version = ?4, after = ?5, awaits_network = ?6, state = 'init',
       message = '', data = '', created = ?7, held = ?8, removal = NULL`,
    id,
    name,
    type,
    version,
    JSON.stringify(after),
    awaitsNetwork ?? null,
    created,
    held === undefined ? null : JSON.stringify(held),
  );
  logChange(database, id, { ...versionOf(workload), state: 'init', message: '', data: '', created });
}

/** What a running workload is to become, in the place of what it was to become until now. */
export function wantWorkload(
  database: Database,
  id: DeploymentId,
  { next, data }: WorkloadRecord,
  workload: RevisedWorkload,
  askedAt: number,
): void {
  signWorkload(database, id, workload);
  const over = next?.over ?? next;
  if (next?.over !== undefined) {
    const message = supersededBy(workload.version);
    logChange(database, id, { ...versionOf(next), state: 'unchanged', message, data, created: askedAt });
  }
  database.run(
    'UPDATE workloads SET next_version = ?, next = ? WHERE deployment = ? AND name = ?',
    workload.version,
    nextText({ ...workload, askedAt, ...(over === undefined ? {} : { over }) }),
    id,
    workload.name,
  );
}

/** The change under way is over: the one that took its place comes next, if any. */
export function endChange(database: Database, id: DeploymentId, { name, next }: WorkloadRecord): void {
  if (next?.over === undefined) {
    database.run('UPDATE workloads SET next_version = NULL, next = NULL WHERE deployment = ? AND name = ?', id, name);
    return;
  }
  const { over: _, ...left } = next;
  database.run('UPDATE workloads SET next = ? WHERE deployment = ? AND name = ?', nextText(left), id, name);
}

/** What is to go away becomes nothing else before. */
export function giveUpChange(
  database: Database,
  id: DeploymentId,
  workload: WorkloadRecord,
  reason: string,
  created: number,
): void {
  if (workload.next === undefined) return;
  for (const change of givenUp(workload, reason, created)) logChange(database, id, change);
  const held = heldOfAll(workload);
  database.run(
    'UPDATE workloads SET next_version = NULL, next = NULL, held = ? WHERE deployment = ? AND name = ?',
    held === undefined ? null : JSON.stringify(held),
    id,
    workload.name,
  );
}

export function signWorkload(
  database: Database,
  id: DeploymentId,
  { name, version, signed }: Pick<AcceptedWorkload, 'name' | 'version' | 'signed'>,
): void {
  const sql = 'INSERT OR REPLACE INTO signed (deployment, workload, version, text) VALUES (?,?,?,?)';
  database.run(sql, id, name, version, signed);
}

/** Logs a change; an `ok` that this version already had is not logged again. */
export function logChange(
  database: Database,
  id: DeploymentId,
  { workload, version, state, message, data, created }: Omit<Change, 'signed'>,
): void {
  database.run(
    'INSERT OR IGNORE INTO changes (deployment, workload, version, state, message, data, created) VALUES (?,?,?,?,?,?,?)',
    id,
    workload,
    version,
    state,
    message,
    data,
    created,
  );
}

/** The version of the change whose place a workload's next one takes. */
export const OVER_VERSION = "iif(json_valid(w.next), json_extract(w.next, '$.over.version'), NULL)";

/** Drops the history of versions before `oldest`, except of those in force or still to come. */
export function forgetVersions(database: Database, id: DeploymentId, oldest: number): void {
  for (const table of ['changes', 'signed']) {
    database.run(
      `DELETE FROM ${table} WHERE deployment = ? AND version < ? AND NOT EXISTS (SELECT 1 FROM workloads w
       WHERE w.deployment = ${table}.deployment AND w.name = ${table}.workload
         AND ${table}.version IN (w.version, w.next_version, ${OVER_VERSION}))`,
      id,
      oldest,
    );
  }
}

/** Which version of which workload a change tells of. */
export function versionOf({
  name,
  version,
}: Pick<AcceptedWorkload, 'name' | 'version'>): Pick<Change, 'workload' | 'version'> {
  return { workload: name, version };
}
