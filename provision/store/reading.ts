/**
 * Records as they are read from the file. What was signed stays there until it is asked for: a node with
 * ten thousand deployments keeps no document of any in memory.
 */
import type { Database, Row } from './database.ts';
import { type DeploymentId, type DeploymentRecord, REMOVED_BY_UPDATE, type WorkloadRecord } from './journal.ts';
import {
  DamagedRow,
  DEPLOYMENT_COLUMNS,
  recordOf,
  type StoredChange,
  type StoredRecord,
  type StoredWorkload,
  type Values,
  WORKLOAD_COLUMNS,
  workloadOf,
} from './rows.ts';
import { OVER_VERSION } from './writes.ts';

/** A row that can not be read, and whose it is. */
export interface Damage {
  readonly table: string;
  readonly key: string;
  readonly deployment: DeploymentId | '';
  readonly reason: string;
}

/** The document of one version, shared by all records of it. */
interface Document {
  readonly version: number;
  /** Kept once the file has another. */
  text?: string;
}

type TextOf = (sql: string, ...key: (string | number)[]) => unknown;

const DOCUMENT = Symbol('document');
const OWNER = Symbol('deployment');
type Documented = DeploymentRecord & { readonly [DOCUMENT]: Document };
type Owned = (StoredWorkload | StoredChange) & { readonly [OWNER]: DeploymentId };

export class Reading {
  readonly #database: Database;
  readonly #document: PropertyDescriptor;
  readonly #signed: PropertyDescriptor;

  /**
   * `textOf` gives the column `text` of a row at any later time; `onDamage` hears of texts that can not be
   * read when they are asked for, which throws, too.
   */
  constructor(database: Database, textOf: TextOf, onDamage: (damage: Damage) => void) {
    this.#database = database;
    const read = (damage: Omit<Damage, 'reason'>, sql: string, ...key: (string | number)[]): string => {
      const value = textOf(sql, ...key);
      const reason = textFault(value);
      if (reason === undefined) return value as string;
      onDamage({ ...damage, reason });
      throw new DamagedRow(`${damage.table} ${damage.key}: ${reason}`);
    };
    const accessor = { enumerable: true, configurable: true };
    this.#document = {
      ...accessor,
      get(this: Documented): string {
        const { id, version } = this;
        const damage = { table: 'deployments', key: id, deployment: id };
        const sql = 'SELECT document AS text FROM deployments WHERE id = ? AND version = ?';
        return this[DOCUMENT].text ?? read(damage, sql, id, version);
      },
    };
    this.#signed = {
      ...accessor,
      get(this: Owned): string {
        const { [OWNER]: id, name, version } = this;
        const damage = { table: 'signed', key: `${id} ${name} ${version}`, deployment: id };
        const sql = 'SELECT text FROM signed WHERE deployment = ? AND workload = ? AND version = ?';
        return read(damage, sql, id, name, version);
      },
    };
  }

  /** Every record that can be read, in the order of acceptance, and every row that can not. */
  all(): { readonly records: DeploymentRecord[]; readonly damages: readonly Damage[] } {
    const damages: Damage[] = [];
    const broken = new Set<DeploymentId>();
    const damaged = (damage: Damage): void => {
      damages.push(damage);
      broken.add(damage.deployment);
    };
    for (const { deployment, name, version } of this.#database.all(UNSIGNED)) {
      const reason = 'the workload as it was signed is missing';
      const id = String(deployment);
      damaged({ table: 'signed', key: `${id} ${String(name)} ${String(version)}`, deployment: id, reason });
    }
    for (const { deployment, name } of this.#database.all(UNASKED, REMOVED_BY_UPDATE)) {
      const id = String(deployment);
      const reason = 'it is to go away, and nobody asked for that';
      damaged({ table: 'workloads', key: `${id} ${String(name)}`, deployment: id, reason });
    }
    const workloads = new Map<DeploymentId, WorkloadRecord[]>();
    for (const row of this.#database.arrays(
      `SELECT ${WORKLOAD_COLUMNS} FROM workloads ORDER BY deployment, position`,
    )) {
      const id = String(row[0]);
      try {
        const workload = this.#workload(id, row);
        const known = workloads.get(id);
        if (known === undefined) workloads.set(id, [workload]);
        else known.push(workload);
      } catch (error) {
        damaged({ table: 'workloads', key: `${id} ${String(row[1])}`, deployment: id, reason: reasonOf(error) });
      }
    }
    const records: DeploymentRecord[] = [];
    const there = new Set<DeploymentId>();
    for (const row of this.#database.each(`SELECT ${DEPLOYMENT_COLUMNS} FROM deployments ORDER BY sequence`)) {
      const id = String(row[1]);
      there.add(id);
      try {
        const record = this.#record(row, workloads.get(id) ?? []);
        if (!broken.has(id)) records.push(record);
      } catch (error) {
        damaged({ table: 'deployments', key: id, deployment: id, reason: reasonOf(error) });
      }
    }
    const lost = [...workloads.keys()].filter((id) => !there.has(id));
    for (const id of lost) {
      damaged({ table: 'workloads', key: id, deployment: id, reason: 'it belongs to no deployment' });
    }
    // Each of them is missing somewhere: what its document lists tells where.
    if (lost.length > 0) for (const damage of this.#unlisted(workloads)) damaged(damage);
    return { records: records.filter((one) => !broken.has(one.id)), damages };
  }

  /** Workloads that a document lists and that have no row. */
  #unlisted(workloads: ReadonlyMap<DeploymentId, readonly WorkloadRecord[]>): Damage[] {
    return this.#database.all('SELECT id, document FROM deployments').flatMap(({ id, document }) => {
      const deployment = String(id);
      const known = new Set(workloads.get(deployment)?.map((one) => one.name));
      const missing = namesIn(document).filter((name) => !known.has(name));
      return missing.map((name) => {
        return { table: 'workloads', key: `${deployment} ${name}`, deployment, reason: 'its row is lost' };
      });
    });
  }

  /** The deployment as the file has it now; `before` is its record until now. */
  one(id: DeploymentId, before: DeploymentRecord | undefined): DeploymentRecord | undefined {
    const [row] = this.#database.arrays(`SELECT ${DEPLOYMENT_COLUMNS} FROM deployments WHERE id = ?`, id);
    if (row === undefined) return undefined;
    const sql = `SELECT ${WORKLOAD_COLUMNS} FROM workloads WHERE deployment = ? ORDER BY position`;
    const workloads = this.#database.arrays(sql, id).map((one) => this.#workload(id, one));
    return this.#record(row, workloads, before as Documented | undefined);
  }

  /** The same where only one of its workloads changed. */
  withWorkload(before: DeploymentRecord, name: string): DeploymentRecord {
    const { id, twin, contract, sequence, version, hash, trace, acceptedAt, cancelled, paused } = before;
    const now = this.workload(id, name);
    const workloads = before.workloads.map((one) => (one.name === name && now !== undefined ? now : one));
    const stored = { id, twin, contract, sequence, version, hash, trace, acceptedAt, cancelled, paused };
    return this.#documented(stored, workloads, before as Documented);
  }

  workload(id: DeploymentId, name: string): WorkloadRecord | undefined {
    const sql = `SELECT ${WORKLOAD_COLUMNS} FROM workloads WHERE deployment = ? AND name = ?`;
    const [row] = this.#database.arrays(sql, id, name);
    return row === undefined ? undefined : this.#workload(id, row);
  }

  /** The file is about to have another document: who still has a record of the present one may read it on. */
  keepDocument(record: DeploymentRecord): void {
    const { [DOCUMENT]: document } = record as Documented;
    document.text ??= record.document;
  }

  #record(row: Values, workloads: readonly WorkloadRecord[], before?: Documented): DeploymentRecord {
    return this.#documented(recordOf(row), workloads, before);
  }

  #documented(
    stored: StoredRecord,
    workloads: readonly WorkloadRecord[],
    before: Documented | undefined,
  ): DeploymentRecord {
    const record = { ...stored, workloads };
    const known = before?.[DOCUMENT];
    const document = known?.version === record.version ? known : { version: record.version };
    Object.defineProperty(record, DOCUMENT, { value: document });
    return Object.defineProperty(record, 'document', this.#document) as Documented;
  }

  #workload(id: DeploymentId, row: Values): WorkloadRecord {
    const stored = workloadOf(row);
    for (const change of [stored.next, stored.next?.over]) if (change !== undefined) this.#lazily(id, change);
    return this.#lazily(id, stored) as WorkloadRecord;
  }

  /** Gives it what was signed, to be read when it is asked for. */
  #lazily(id: DeploymentId, stored: StoredWorkload | StoredChange): StoredWorkload | StoredChange {
    Object.defineProperty(stored, OWNER, { value: id });
    return Object.defineProperty(stored, 'signed', this.#signed);
  }
}

/** The lines of a log that can be read; the others are told by their sequence. */
export function readable<T>(
  table: string,
  rows: readonly Row[],
  read: (row: Row) => T,
  onDamage: (sequence: number, damage: Damage) => void,
): T[] {
  return rows.flatMap((row) => {
    try {
      return read(row);
    } catch (error) {
      const reason = reasonOf(error);
      const deployment = typeof row.deployment === 'string' ? row.deployment : '';
      const sequence = Number(row.sequence);
      onDamage(sequence, { table, key: String(sequence), deployment, reason });
      return [];
    }
  });
}

/** Workloads of which what was signed is not there, for what they are or for what they are to become. */
const UNSIGNED = `
SELECT w.deployment, w.name, w.version FROM workloads w WHERE NOT EXISTS
  (SELECT 1 FROM signed s WHERE s.deployment = w.deployment AND s.workload = w.name AND s.version = w.version)
UNION ALL
SELECT w.deployment, w.name, w.next_version FROM workloads w WHERE w.next IS NOT NULL AND NOT EXISTS
  (SELECT 1 FROM signed s WHERE s.deployment = w.deployment AND s.workload = w.name AND s.version = w.next_version)
UNION ALL
SELECT w.deployment, w.name, ${OVER_VERSION} FROM workloads w WHERE ${OVER_VERSION} IS NOT NULL AND NOT EXISTS
  (SELECT 1 FROM signed s WHERE s.deployment = w.deployment AND s.workload = w.name AND s.version = ${OVER_VERSION})
`;

/** Workloads that are to go away with something of theirs, for no reason that was recorded. */
const UNASKED = `
SELECT w.deployment, w.name FROM workloads w JOIN deployments d ON d.id = w.deployment
WHERE w.removal IS NOT NULL AND w.held IS NOT NULL AND w.removal <> ? AND d.cancelled IS NULL AND NOT EXISTS
  (SELECT 1 FROM operations o WHERE o.deployment = w.deployment AND o.kind = 'decommission' AND o.workload = w.name AND o.reason = w.removal)
`;

/** Names of the workloads in a document; none where it can not be read, which is found when it is asked for. */
export function namesIn(document: unknown): string[] {
  try {
    const { workloads } = JSON.parse(String(document)) as { workloads: { name: unknown }[] };
    return workloads.map((one) => String(one.name));
  } catch {
    return [];
  }
}

/** What is wrong with a text that was signed. */
function textFault(value: unknown): string | undefined {
  if (value === undefined) return 'it is missing';
  if (typeof value !== 'string') return 'it is no text';
  try {
    JSON.parse(value);
    return undefined;
  } catch {
    return 'it is no JSON';
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof DamagedRow)) throw error;
  return error.message;
}
