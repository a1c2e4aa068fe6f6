/** Reads a damaged journal row by row into a new file, and names what is lost. */
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { formatWorkload, parseDeployment } from '../../schemas/deployment.ts';
import { Database, removeDatabase } from './database.ts';
import { headFaults, openWithHead, openWithHeader } from './first-page.ts';
import type { DeploymentId } from './journal.ts';
import { ownerOf, Quarantine } from './quarantine.ts';
import { type Damage, namesIn } from './reading.ts';
import { askAgain, migrate, SCHEMA_VERSION, TABLE_SINCE } from './schema.ts';
import { signWorkload } from './writes.ts';

const TABLES = ['deployments', 'workloads', 'signed', 'changes', 'steps', 'history', 'operations', 'quarantine'];
/** Rows that are looked for one by one behind one that can not be read. */
const PROBES = 50_000;
const ALL: readonly string[] = ['all of it'];
/** Places that are named of one table; a file may have any number. */
const NAMED = 100;

export interface RescueOptions {
  readonly from: string;
  /** Where nothing is yet. */
  readonly to: string;
  /** The name under which the damaged file is kept. */
  readonly aside: string;
  readonly faults: readonly string[];
  readonly now: () => number;
}

/** On disk and closed when this returns. Gives the deployments that are set aside, of which something is lost. */
export function rescue({ from, to, aside, faults, now }: RescueOptions): DeploymentId[] {
  const target = new Database(to);
  const [head, schema] = [`${to}-head`, `${to}-schema`];
  const asItSays = headFaults(from).length === 0 ? openToRead(from) : openWithHeader(from, head);
  const source = asItSays ?? openWithHead(from, head);
  const named: DeploymentId[] = [];
  // Where the file does not say what a table is made of, that of a new one does.
  let withSchema: DatabaseSync | undefined | null = null;
  const copied = (table: string): readonly string[] => {
    const lost = source === undefined ? ALL : copyTable(source, target, table);
    if (lost !== ALL) return lost;
    if (withSchema === null) withSchema = openWithHead(from, schema);
    return withSchema === undefined ? ALL : copyTable(withSchema, target, table);
  };
  try {
    migrate(target, to);
    const quarantine = new Quarantine(target, now);
    // What belongs to a row that is lost is set aside with it.
    target.execute('PRAGMA foreign_keys = OFF');
    target.transaction(() => {
      quarantine.tell({ table: 'journal', key: aside, deployment: '', reason: faults.join('; ') });
      const version = versionOf(source);
      for (const table of TABLES) {
        if ((TABLE_SINCE.get(table) ?? 0) > version) continue;
        for (const key of copied(table).slice(0, NAMED)) {
          quarantine.tell({ table, key, deployment: '', reason: 'it can not be read' });
        }
      }
      signAgain(target);
      for (const [id, damages] of unwhole(source, target)) {
        named.push(id);
        quarantine.setAside(id, damages);
      }
      if (version < SCHEMA_VERSION) askAgain(target);
      tellStatesAgain(target);
    });
  } finally {
    source?.close();
    (withSchema as DatabaseSync | null | undefined)?.close();
    target.close();
    for (const copy of [head, schema]) removeDatabase(copy);
  }
  return named;
}

/** The schema of the damaged file; this one's where it does not say. */
function versionOf(source: DatabaseSync | undefined): number {
  try {
    const version = Number(source?.prepare('PRAGMA user_version').get()?.user_version);
    return version >= 1 && version <= SCHEMA_VERSION ? version : SCHEMA_VERSION;
  } catch {
    return SCHEMA_VERSION;
  }
}

function openToRead(path: string): DatabaseSync | undefined {
  try {
    const source = new DatabaseSync(path, { readOnly: true, defensive: false });
    // What can not be understood of the schema costs its own tables alone.
    source.exec('PRAGMA writable_schema = ON');
    source.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get();
    return source;
  } catch {
    return undefined;
  }
}

/** Copies what can be read; returns where something could not. */
function copyTable(source: DatabaseSync, target: Database, table: string): readonly string[] {
  const columns = sharedColumns(source, target, table);
  if (columns === undefined) return ALL;
  const list = (names: readonly string[]): string => ['rowid', ...names.map((name) => `"${name}"`)].join(', ');
  const select = `SELECT ${list(columns.map(([from]) => from))} FROM ${table} WHERE rowid > ? ORDER BY rowid`;
  // A name may be one that cannot be asked for.
  if (!isAsked(source, select)) return ALL;
  const insert = `INSERT INTO ${table} (${list(columns.map(([, to]) => to))}) VALUES (?${', ?'.repeat(columns.length)})`;
  const lost: string[] = [];
  let last = Number.MIN_SAFE_INTEGER;
  for (;;) {
    try {
      const statement = source.prepare(select);
      statement.setReturnArrays(true);
      for (const row of statement.iterate(last) as unknown as Iterable<SQLInputValue[]>) {
        const rowid = Number(row[0]);
        // Damaged rows stand in any order: who goes back meets the same damage for ever.
        last = Math.max(last, rowid);
        try {
          target.run(insert, ...row);
        } catch (error) {
          lost.push(`row ${rowid} (${(error as Error).message})`);
        }
      }
      return lost;
    } catch {
      const next = nextReadable(source, select, last);
      lost.push(next === undefined ? `what follows row ${shown(last)}` : `rows between ${shown(last)} and ${next}`);
      if (next === undefined) return lost;
      last = next - 1;
    }
  }
}

function isAsked(source: DatabaseSync, sql: string): boolean {
  try {
    source.prepare(sql);
    return true;
  } catch {
    return false;
  }
}

function shown(rowid: number): string {
  return rowid === Number.MIN_SAFE_INTEGER ? 'the first' : String(rowid);
}

/**
 * Columns that both have, by their names in either; a name may be damaged where there are as many as should be.
 * Without the sequence, which is the row's own number. Undefined where the damaged file can not tell.
 */
function sharedColumns(
  source: DatabaseSync,
  target: Database,
  table: string,
): [from: string, to: string][] | undefined {
  try {
    const sql = `SELECT name FROM pragma_table_info('${table}')`;
    const theirs = source
      .prepare(sql)
      .all()
      .map((row) => String(row.name));
    const ours = target.all(sql).map((row) => String(row.name));
    if (theirs.length === 0) return undefined;
    const pairs = ours.map((name, index): [string, string] => {
      return [theirs.includes(name) || theirs.length !== ours.length ? name : (theirs[index] ?? name), name];
    });
    return pairs.filter(([from, to]) => theirs.includes(from) && to !== 'sequence');
  } catch {
    return undefined;
  }
}

/** The first row behind the unreadable ones, always a later one; undefined when none is found. */
function nextReadable(source: DatabaseSync, select: string, last: number): number | undefined {
  const statement = source.prepare(`${select} LIMIT 1`);
  statement.setReturnArrays(true);
  const first = Math.max(last, 0);
  for (let after = first + 1; after <= first + PROBES; after++) {
    try {
      const row = statement.get(after) as unknown as SQLInputValue[] | undefined;
      if (row === undefined) return undefined;
      const rowid = Number(row[0]);
      if (rowid > after) return rowid;
    } catch {
      // That one can not be read either.
    }
  }
  return undefined;
}

/** What was signed of a workload stands in the document in force, too. */
function signAgain(target: Database): void {
  const unsigned = Map.groupBy(
    target.all(`SELECT w.deployment, w.name, w.version, d.document FROM workloads w JOIN deployments d ON d.id = w.deployment
      WHERE NOT EXISTS (SELECT 1 FROM signed s WHERE s.deployment = w.deployment AND s.workload = w.name AND s.version = w.version)`),
    (row) => String(row.deployment),
  );
  for (const [id, rows] of unsigned) {
    try {
      const { workloads } = parseDeployment(String(rows[0]?.document));
      for (const { name, version } of rows) {
        const found = workloads.find((one) => one.name === name && one.version === version);
        if (found !== undefined) signWorkload(target, id, { ...found, signed: formatWorkload(found) });
      }
    } catch {
      // Then it is set aside when it is read.
    }
  }
}

/** Deployments of which something is lost, and what. */
function unwhole(source: DatabaseSync | undefined, target: Database): Map<DeploymentId, Damage[]> {
  const found = new Map<DeploymentId, Damage[]>();
  const add = (deployment: DeploymentId, table: string, key: string, reason: string): void => {
    const known = found.get(deployment) ?? [];
    found.set(deployment, [...known, { table, key, deployment, reason }]);
  };
  const named = new Map<DeploymentId, Set<string>>();
  for (const { deployment, name } of target.all('SELECT deployment, name FROM workloads')) {
    const names = named.get(String(deployment)) ?? new Set();
    named.set(String(deployment), names.add(String(name)));
  }
  const there = new Set<DeploymentId>();
  for (const { id, document } of target.all('SELECT id, document FROM deployments')) {
    there.add(String(id));
    for (const name of namesIn(document)) {
      if (named.get(String(id))?.has(name) !== true) add(String(id), 'workloads', `${id} ${name}`, 'its row is lost');
    }
  }
  for (const id of mentioned(source, target)) {
    if (!there.has(id)) add(id, 'deployments', id, 'its row is lost');
  }
  return found;
}

/** Deployments that anything tells of: rows of theirs, what was asked, and the damaged file's own index of ids. */
function mentioned(source: DatabaseSync | undefined, target: Database): Set<DeploymentId> {
  const found = new Set<DeploymentId>();
  for (const table of ['workloads', 'signed', 'changes', 'steps', 'operations']) {
    const sql = `SELECT DISTINCT deployment FROM ${table}${table === 'operations' ? ' WHERE ended_at = 0' : ''}`;
    for (const { deployment } of target.all(sql)) found.add(String(deployment));
  }
  try {
    const rows =
      source?.prepare('SELECT id FROM deployments INDEXED BY sqlite_autoindex_deployments_1').iterate() ?? [];
    for (const { id } of rows) if (ownerOf(String(id)) !== undefined) found.add(String(id));
  } catch {
    // As many as could be read of it.
  }
  return found;
}

/** Who waits looks for the states in the log: what is so is told there once, if that line was lost. */
function tellStatesAgain(target: Database): void {
  target.execute(
    `INSERT OR IGNORE INTO changes (deployment, workload, version, state, message, data, created)
     SELECT deployment, name, version, state, message, data, created FROM workloads w WHERE NOT EXISTS
       (SELECT 1 FROM changes c WHERE c.deployment = w.deployment AND c.workload = w.name AND c.version = w.version AND c.state = w.state)
     ORDER BY w.deployment, w.position`,
  );
}
