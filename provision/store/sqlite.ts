/** The journal as an SQLite file. */
import type { SQLInputValue } from 'node:sqlite';
import { GridError } from '../../schemas/errors/index.ts';
import type { Reservation } from '../plan/capacity.ts';
import { Database, type Row } from './database.ts';
import {
  type Acceptance,
  type Change,
  type ChangeOutcome,
  checkRevision,
  type DeploymentId,
  type DeploymentRecord,
  deploymentId,
  HISTORY_LIMIT,
  heldAfter,
  type Journal,
  type Outcome,
  type Quarantined,
  REMOVED_BY_UPDATE,
  type Revision,
  STEP_LIMIT,
  type StepEntry,
  type Tombstone,
  VERSIONS_KEPT,
  type WorkloadRecord,
} from './journal.ts';
import type { AskedOperation, OperationEnd, OperationRecord } from './operations.ts';
import { Records } from './records.ts';
import { recordOf, WORKLOAD_ROWS, workloadOf } from './rows.ts';
import { migrate } from './schema.ts';
import { SqliteOperations } from './sqlite-operations.ts';
import { beginWorkload, forgetVersions, giveUpChange, logChange, versionOf, wantWorkload } from './writes.ts';

/** Opens or makes the journal at `path`; `now` gives milliseconds since 1970. Throws when the file is newer. */
export class SqliteJournal implements Journal {
  readonly #database: Database;
  readonly #operations: SqliteOperations;
  readonly #clock: () => number;
  readonly #records = new Records();

  constructor(path: string, now: () => number = Date.now) {
    this.#clock = now;
    this.#database = new Database(path);
    this.#operations = new SqliteOperations(this.#database, now);
    try {
      migrate(this.#database, path);
      this.#operations.cutShort();
      for (const record of this.#readAll()) this.#records.replace(record.id, record);
      for (const [id, unfinished] of this.#operations.allUnfinished()) this.#records.replaceOperations(id, unfinished);
    } catch (error) {
      this.#database.close();
      throw error;
    }
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
      for (const workload of acceptance.workloads) {
        const held = acceptance.reservation.workloads.find((one) => one.name === workload.name);
        beginWorkload(this.#database, id, workload, held, created);
      }
      return this.#ask(id, { kind: 'create' });
    });
  }

  revise(revision: Revision): DeploymentRecord {
    const { twin, contract, version, removed, workloads } = revision;
    const id = deploymentId(twin, contract);
    return this.#transaction(id, () => {
      const record = this.#read(id);
      checkRevision(record, revision);
      const created = this.#now();
      this.#run(
        'UPDATE deployments SET version = ?, document = ?, hash = ?, trace = ? WHERE id = ?',
        version,
        revision.document,
        revision.hash,
        revision.trace,
        id,
      );
      this.#run("DELETE FROM workloads WHERE deployment = ? AND state = 'deleted' AND held IS NULL", id);
      for (const name of removed) {
        const found = record?.workloads.find((one) => one.name === name);
        if (found !== undefined) giveUpChange(this.#database, id, found, REMOVED_BY_UPDATE, created);
        this.#run('UPDATE workloads SET removal = ? WHERE deployment = ? AND name = ?', REMOVED_BY_UPDATE, id, name);
      }
      for (const workload of workloads) {
        const found = record?.workloads.find((one) => one.name === workload.name);
        if (found?.state === 'ok' || found?.state === 'paused') wantWorkload(this.#database, id, workload, created);
        else beginWorkload(this.#database, id, workload, workload.held, created);
      }
      forgetVersions(this.#database, id, version - VERSIONS_KEPT);
      return this.#ask(id, { kind: 'update' });
    });
  }

  recordStep(id: DeploymentId, entry: StepEntry): void {
    // A log for people: it outlives this process, and does not wait for the disk.
    this.#database.unsynced(() => this.#writeStep(id, entry));
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
      logChange(this.#database, id, { ...versionOf(workload), state, message, data, created });
      return true;
    });
  }

  settle(id: DeploymentId, name: string, outcome: ChangeOutcome): boolean {
    return this.#transaction(id, () => {
      const workload = this.#workload(id, name);
      const next = workload?.next;
      if (workload?.state !== 'ok' || next === undefined) return false;
      const created = this.#now();
      this.#run('UPDATE workloads SET next_version = NULL, next = NULL WHERE deployment = ? AND name = ?', id, name);
      if (outcome.state === 'unchanged') {
        const { message } = outcome;
        logChange(this.#database, id, {
          ...versionOf(next),
          state: 'unchanged',
          message,
          data: workload.data,
          created,
        });
        return true;
      }
      const { data } = outcome;
      this.#run(
        "UPDATE workloads SET version = ?, after = ?, awaits_network = ?, held = ?, message = '', data = ?, created = ? WHERE deployment = ? AND name = ?",
        next.version,
        JSON.stringify(next.after),
        next.awaitsNetwork ?? null,
        JSON.stringify({ ...next.held, state: 'committed' }),
        data,
        created,
        id,
        name,
      );
      logChange(this.#database, id, { ...versionOf(next), state: 'ok', message: '', data, created });
      return true;
    });
  }

  decommission(id: DeploymentId, name: string, reason: string): boolean {
    return this.#transaction(id, () => {
      const workload = this.#workload(id, name);
      if (workload !== undefined && workload.removal === undefined) {
        giveUpChange(this.#database, id, workload, reason, this.#now());
      }
      const done = this.#run(
        "UPDATE workloads SET removal = ? WHERE deployment = ? AND name = ? AND removal IS NULL AND state NOT IN ('error','deleted')",
        reason,
        id,
        name,
      );
      if (done > 0) this.#ask(id, { kind: 'decommission', workload: name, reason });
      return done > 0;
    });
  }

  cancel(id: DeploymentId, reason: string): boolean {
    return this.#transaction(id, () => {
      const done = this.#run('UPDATE deployments SET cancelled = ? WHERE id = ? AND cancelled IS NULL', reason, id);
      if (done === 0) return false;
      const created = this.#now();
      for (const one of this.#read(id)?.workloads ?? []) giveUpChange(this.#database, id, one, reason, created);
      this.#run('UPDATE workloads SET removal = coalesce(removal, ?) WHERE deployment = ?', reason, id);
      this.#ask(id, { kind: 'cancel', reason });
      return true;
    });
  }

  pause(id: DeploymentId, paused: boolean, reason: string): boolean {
    const known = this.#records.get(id);
    if (known === undefined || known.cancelled !== undefined || known.paused === paused) return false;
    return this.#transaction(id, () => {
      this.#run('UPDATE deployments SET paused = ? WHERE id = ?', paused ? 1 : 0, id);
      this.#ask(id, { kind: paused ? 'pause' : 'resume', reason });
      return true;
    });
  }

  release(id: DeploymentId, name: string): void {
    this.#transaction(id, () => {
      const workload = this.#workload(id, name);
      if (workload === undefined) return;
      this.#run('UPDATE workloads SET held = NULL WHERE deployment = ? AND name = ?', id, name);
      if (workload.removal === undefined || workload.state === 'deleted') return;
      const { data, removal: message } = workload;
      const created = this.#now();
      this.#run(
        "UPDATE workloads SET state = 'deleted', message = ?, created = ? WHERE deployment = ? AND name = ?",
        message,
        created,
        id,
        name,
      );
      logChange(this.#database, id, { ...versionOf(workload), state: 'deleted', message, data, created });
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
      this.#operations.close(id);
    });
  }

  restoring(id: DeploymentId, trace: string): boolean {
    const record = this.#records.get(id);
    if (record === undefined || record.cancelled !== undefined) return false;
    if (this.#records.pending(id).some((one) => one.kind === 'restore')) return false;
    this.#database.unsynced(() => this.#transaction(id, () => this.#ask(id, { kind: 'restore', trace })));
    return true;
  }

  begin(id: DeploymentId): readonly OperationRecord[] {
    if (this.#records.pending(id).some((one) => one.state !== 'running')) {
      this.#database.unsynced(() => this.#transaction(id, () => this.#operations.begin(id)));
    }
    return this.#records.pending(id);
  }

  end(id: DeploymentId, state: OperationEnd, error: string, operation?: string): boolean {
    if (!this.#records.pending(id).some((one) => one.state === 'running')) return false;
    return this.#database.unsynced(() =>
      this.#transaction(id, () => this.#operations.end(id, state, error, operation)),
    );
  }

  deployment(id: DeploymentId): DeploymentRecord | undefined {
    return this.#records.get(id);
  }

  deployments(): readonly DeploymentRecord[] {
    return this.#records.all();
  }

  deploymentsOf(twin: number): readonly DeploymentRecord[] {
    return this.#records.of(twin);
  }

  holder(contract: bigint): DeploymentRecord | undefined {
    return this.#records.holder(contract);
  }

  unfinished(): readonly DeploymentRecord[] {
    return this.#records.unfinished();
  }

  operations(id?: DeploymentId): readonly OperationRecord[] {
    return this.#operations.all(id);
  }

  pending(id?: DeploymentId): readonly OperationRecord[] {
    return this.#records.pending(id);
  }

  quarantined(): readonly Quarantined[] {
    return [];
  }

  reservations(): readonly Reservation[] {
    return this.#records.reservations();
  }

  changes(id: DeploymentId): readonly Change[] {
    const rows = this.#all(
      'SELECT c.workload, c.version, s.text AS signed, c.state, c.message, c.data, c.created FROM changes c JOIN signed s USING (deployment, workload, version) WHERE c.deployment = ? ORDER BY c.sequence',
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
    if (this.#records.get(deploymentId(twin, contract)) !== undefined) return true;
    const row = this.#get('SELECT 1 FROM history WHERE twin = ? AND contract = ?', twin, contract.toString());
    return row !== undefined;
  }

  close(): void {
    this.#database.close();
  }

  #readAll(): DeploymentRecord[] {
    const workloads = Map.groupBy(this.#all(`${WORKLOAD_ROWS} ORDER BY w.deployment, w.position`), (row) =>
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
    return recordOf(row, this.#all(`${WORKLOAD_ROWS} WHERE w.deployment = ? ORDER BY w.position`, id));
  }

  #workload(id: DeploymentId, name: string): WorkloadRecord | undefined {
    const row = this.#get(`${WORKLOAD_ROWS} WHERE w.deployment = ? AND w.name = ?`, id, name);
    return row === undefined ? undefined : workloadOf(row);
  }

  /** Inside of a transaction: what is asked of a deployment, with its record as it is now. */
  #ask(id: DeploymentId, asked: AskedOperation): DeploymentRecord {
    const record = this.#read(id) as DeploymentRecord;
    this.#operations.ask(record, asked);
    return record;
  }

  /** One transaction; `changed` names the deployment whose record or operations it changes. */
  #transaction<T>(changed: DeploymentId | undefined, work: () => T): T {
    const [result, record, unfinished] = this.#database.transaction(() => {
      const done = work();
      if (changed === undefined) return [done, undefined, []] as const;
      return [done, this.#read(changed), this.#operations.unfinished(changed)] as const;
    });
    if (changed === undefined) return result;
    this.#records.replace(changed, record);
    this.#records.replaceOperations(changed, unfinished);
    return result;
  }

  /** Unix seconds, and never 0: that means never. */
  #now(): number {
    return Math.max(1, Math.floor(this.#clock() / 1000));
  }

  #run(sql: string, ...values: SQLInputValue[]): number {
    return this.#database.run(sql, ...values);
  }

  #get(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#database.get(sql, ...values);
  }

  #all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#database.all(sql, ...values);
  }
}
