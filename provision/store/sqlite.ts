/** The journal as an SQLite file: write-ahead log, synced at every commit, readable by the node's owner only. */
import { chmodSync, closeSync, existsSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { GridError } from '../../schemas/errors/index.ts';
import type { Reservation } from '../plan/capacity.ts';
import {
  type Acceptance,
  type Change,
  type DeploymentId,
  type DeploymentRecord,
  deploymentId,
  HISTORY_LIMIT,
  heldAfter,
  type Journal,
  type Outcome,
  reservationsOf,
  STEP_LIMIT,
  type StepEntry,
  type Tombstone,
  type WorkloadRecord,
} from './journal.ts';
import { type Row, recordOf, SCHEMA, SCHEMA_VERSION, workloadOf } from './rows.ts';

/** Opens or makes the journal at `path`; `now` gives Unix seconds. Throws when the file is newer or damaged. */
export class SqliteJournal implements Journal {
  readonly #database: DatabaseSync;
  readonly #now: () => number;
  readonly #statements = new Map<string, StatementSync>();
  /** By id, in the order of acceptance. */
  readonly #records: Map<DeploymentId, DeploymentRecord>;

  constructor(path: string, now: () => number = () => Math.floor(Date.now() / 1000)) {
    this.#now = now;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    // Made first, so that SQLite's file and its log are never readable by others.
    if (!existsSync(path)) closeSync(openSync(path, 'ax', 0o600));
    chmodSync(path, 0o600);
    this.#database = new DatabaseSync(path, { enableForeignKeyConstraints: true });
    this.#database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 2000;');
    const version = Number(this.#get('PRAGMA user_version')?.user_version);
    if (version > SCHEMA_VERSION) {
      this.#database.close();
      throw new Error(`${path} was written by a newer version (schema ${version}, this one knows ${SCHEMA_VERSION})`);
    }
    if (version === 0) this.#database.exec(`BEGIN IMMEDIATE;${SCHEMA}COMMIT;`);
    this.#records = new Map(this.#readAll().map((record) => [record.id, record]));
  }

  accept(acceptance: Acceptance): DeploymentRecord {
    const { twin, contract } = acceptance;
    const id = deploymentId(twin, contract);
    const created = this.#now();
    return this.#transaction(id, () => {
      if (this.#get('SELECT id FROM deployments WHERE id = ?', id) !== undefined) {
        throw new GridError('deployment_exists', { twin, contract: contract.toString() });
      }
      this.#run(
        'INSERT INTO deployments (id, twin, contract, version, document, hash, trace, accepted_at) VALUES (?,?,?,?,?,?,?,?)',
        id,
        twin,
        contract.toString(),
        acceptance.version,
        acceptance.document,
        acceptance.hash,
        acceptance.trace,
        created,
      );
      for (const [position, workload] of acceptance.workloads.entries()) {
        const { name, type, version, after, awaitsNetwork } = workload;
        const held = acceptance.reservation.workloads.find((one) => one.name === name);
        this.#run(
          "INSERT INTO workloads (deployment, position, name, type, version, after, awaits_network, state, message, data, created, held) VALUES (?,?,?,?,?,?,?,'init','','',?,?)",
          id,
          position,
          name,
          type,
          version,
          JSON.stringify(after),
          awaitsNetwork ?? null,
          created,
          held === undefined ? null : JSON.stringify(held),
        );
        this.#log(id, { workload: name, version, state: 'init', message: '', data: '', created });
      }
      return this.#read(id) as DeploymentRecord;
    });
  }

  recordStep(id: DeploymentId, entry: StepEntry): void {
    // A log for people: it outlives this process, and does not wait for the disk.
    this.#database.exec('PRAGMA synchronous = NORMAL');
    try {
      this.#writeStep(id, entry);
    } finally {
      this.#database.exec('PRAGMA synchronous = FULL');
    }
  }

  #writeStep(id: DeploymentId, entry: StepEntry): void {
    this.#transaction(undefined, () => {
      this.#run(
        'INSERT INTO steps (deployment, workload, step, state, message, at, trace) SELECT id,?,?,?,?,?,? FROM deployments WHERE id = ?',
        entry.workload,
        entry.step,
        entry.state,
        entry.message,
        entry.at,
        entry.trace,
        id,
      );
      this.#run(
        'DELETE FROM steps WHERE deployment = ?1 AND sequence <= (SELECT sequence FROM steps WHERE deployment = ?1 ORDER BY sequence DESC LIMIT 1 OFFSET ?2)',
        id,
        STEP_LIMIT,
      );
    });
  }

  finish(id: DeploymentId, name: string, outcome: Outcome): boolean {
    return this.#transaction(id, () => {
      const workload = this.#workload(id, name);
      if (workload === undefined || workload.state === 'deleted' || workload.state === outcome.state) return false;
      const { state } = outcome;
      const message = outcome.state === 'error' ? outcome.message : outcome.state === 'paused' ? 'paused' : '';
      const data = outcome.state === 'ok' ? outcome.data : workload.data;
      const created = this.#now();
      const held = heldAfter(workload.held, state);
      this.#run(
        'UPDATE workloads SET state = ?, message = ?, data = ?, created = ?, held = ? WHERE deployment = ? AND name = ?',
        state,
        message,
        data,
        created,
        held === undefined ? null : JSON.stringify(held),
        id,
        name,
      );
      this.#log(id, { workload: name, version: workload.version, state, message, data, created });
      return true;
    });
  }

  decommission(id: DeploymentId, name: string, reason: string): boolean {
    return this.#transaction(id, () => {
      const done = this.#run(
        "UPDATE workloads SET removal = ? WHERE deployment = ? AND name = ? AND removal IS NULL AND state NOT IN ('error','deleted')",
        reason,
        id,
        name,
      );
      return done > 0;
    });
  }

  cancel(id: DeploymentId, reason: string): boolean {
    return this.#transaction(id, () => {
      const done = this.#run('UPDATE deployments SET cancelled = ? WHERE id = ? AND cancelled IS NULL', reason, id);
      if (done === 0) return false;
      this.#run('UPDATE workloads SET removal = coalesce(removal, ?) WHERE deployment = ?', reason, id);
      return true;
    });
  }

  release(id: DeploymentId, name: string): void {
    this.#transaction(id, () => {
      const workload = this.#workload(id, name);
      if (workload === undefined) return;
      this.#run('UPDATE workloads SET held = NULL WHERE deployment = ? AND name = ?', id, name);
      if (workload.removal === undefined || workload.state === 'deleted') return;
      const { version, data, removal: message } = workload;
      const created = this.#now();
      this.#run(
        "UPDATE workloads SET state = 'deleted', message = ?, created = ? WHERE deployment = ? AND name = ?",
        message,
        created,
        id,
        name,
      );
      this.#log(id, { workload: name, version, state: 'deleted', message, data, created });
    });
  }

  tombstone(id: DeploymentId): void {
    this.#transaction(id, () => {
      const record = this.deployment(id);
      if (record === undefined) return;
      const { twin, contract, hash, trace, acceptedAt, cancelled, workloads } = record;
      if (cancelled === undefined || workloads.some((one) => one.held !== undefined)) {
        throw new Error(`deployment ${id} is not released`);
      }
      this.#run(
        'INSERT INTO history (twin, contract, hash, trace, reason, accepted_at, gone_at) VALUES (?,?,?,?,?,?,?)',
        twin,
        contract.toString(),
        hash,
        trace,
        cancelled,
        acceptedAt,
        this.#now(),
      );
      this.#run('DELETE FROM deployments WHERE id = ?', id);
      this.#run(
        'DELETE FROM history WHERE sequence <= (SELECT sequence FROM history ORDER BY sequence DESC LIMIT 1 OFFSET ?)',
        HISTORY_LIMIT,
      );
    });
  }

  deployment(id: DeploymentId): DeploymentRecord | undefined {
    return this.#records.get(id);
  }

  deployments(): readonly DeploymentRecord[] {
    return [...this.#records.values()];
  }

  reservations(): readonly Reservation[] {
    return reservationsOf(this.deployments());
  }

  changes(id: DeploymentId): readonly Change[] {
    const rows = this.#all(
      'SELECT workload, version, state, message, data, created FROM changes WHERE deployment = ? ORDER BY sequence',
      id,
    );
    return rows.map((row) => ({ ...row }) as unknown as Change);
  }

  steps(id: DeploymentId): readonly StepEntry[] {
    const rows = this.#all(
      'SELECT workload, step, state, message, at, trace FROM steps WHERE deployment = ? ORDER BY sequence',
      id,
    );
    return rows.map((row) => ({ ...row }) as unknown as StepEntry);
  }

  history(limit = HISTORY_LIMIT): readonly Tombstone[] {
    const rows = this.#all('SELECT * FROM history ORDER BY sequence DESC LIMIT ?', limit);
    return rows.map((row) => ({
      twin: Number(row.twin),
      contract: BigInt(String(row.contract)),
      hash: String(row.hash),
      trace: String(row.trace),
      reason: String(row.reason),
      acceptedAt: Number(row.accepted_at),
      goneAt: Number(row.gone_at),
    }));
  }

  knows(twin: number, contract: bigint): boolean {
    if (this.#records.has(deploymentId(twin, contract))) return true;
    const row = this.#get('SELECT 1 FROM history WHERE twin = ? AND contract = ?', twin, contract.toString());
    return row !== undefined;
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }

  #readAll(): DeploymentRecord[] {
    const workloads = Map.groupBy(this.#all('SELECT * FROM workloads ORDER BY deployment, position'), (row) =>
      String(row.deployment),
    );
    return this.#all('SELECT * FROM deployments ORDER BY sequence').map((row) => {
      const id = String(row.id);
      return recordOf(row, workloads.get(id) ?? []);
    });
  }

  #read(id: DeploymentId): DeploymentRecord | undefined {
    const row = this.#get('SELECT * FROM deployments WHERE id = ?', id);
    if (row === undefined) return undefined;
    return recordOf(row, this.#all('SELECT * FROM workloads WHERE deployment = ? ORDER BY position', id));
  }

  #workload(id: DeploymentId, name: string): WorkloadRecord | undefined {
    const row = this.#get('SELECT * FROM workloads WHERE deployment = ? AND name = ?', id, name);
    return row === undefined ? undefined : workloadOf(row);
  }

  /** Logs a change; an `ok` that this version already had is not logged again. */
  #log(id: DeploymentId, { workload, version, state, message, data, created }: Change): void {
    this.#run(
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

  /** One transaction; `changed` names the deployment whose record it changes. */
  #transaction<T>(changed: DeploymentId | undefined, work: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE');
    let result: T;
    let record: DeploymentRecord | undefined;
    try {
      result = work();
      if (changed !== undefined) record = this.#read(changed);
      this.#database.exec('COMMIT');
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
    if (changed !== undefined && record === undefined) this.#records.delete(changed);
    else if (changed !== undefined && record !== undefined) this.#records.set(changed, record);
    return result;
  }

  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }

  #run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#prepare(sql).run(...values).changes);
  }

  #get(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#prepare(sql).get(...values);
  }

  #all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#prepare(sql).all(...values);
  }
}
