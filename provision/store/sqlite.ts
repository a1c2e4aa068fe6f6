/** The journal as an SQLite file. */
import { GridError, isGridError } from '../../schemas/errors/index.ts';
import type { Reservation } from '../plan/capacity.ts';
import type { Ledger } from '../plan/ledger.ts';
import type { Census } from './census.ts';
import { type Database, isDamage, isUnwritable } from './database.ts';
import {
  type Acceptance,
  type Change,
  type ChangeOutcome,
  changeUnderWay,
  checkRevision,
  type DeploymentId,
  type DeploymentRecord,
  deploymentId,
  HISTORY_LIMIT,
  heldAfter,
  isReleasable,
  type Journal,
  type Outcome,
  type Quarantined,
  REMOVED_BY_UPDATE,
  type Revision,
  type StepEntry,
  type Tombstone,
  VERSIONS_KEPT,
  type WorkloadRecord,
} from './journal.ts';
import { type Durability, JournalFile, type Opened } from './journal-file.ts';
import type { JournalLog } from './opening.ts';
import type { AskedOperation, OperationEnd, OperationRecord } from './operations.ts';
import { ownerOf } from './quarantine.ts';
import {
  beginWorkload,
  endChange,
  forgetVersions,
  giveUpChange,
  logChange,
  versionOf,
  wantWorkload,
} from './writes.ts';

export interface SqliteJournalOptions {
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** Hears of everything that is damaged. */
  readonly log?: JournalLog;
}

/**
 * Opens or makes the journal at `path`. What of it is damaged is set aside and told; throws when the file is newer.
 * What somebody asks for and can not be written is refused with `journal_unwritable`; the engine's own writes throw
 * what SQLite says. Either way nothing of it has happened.
 */
export class SqliteJournal implements Journal {
  readonly #file: JournalFile;
  readonly #clock: () => number;

  constructor(path: string, { now = Date.now, log = { error: () => undefined } }: SqliteJournalOptions = {}) {
    this.#clock = now;
    this.#file = new JournalFile(path, now, log);
  }

  accept(acceptance: Acceptance): DeploymentRecord {
    const { twin, contract } = acceptance;
    const id = deploymentId(twin, contract);
    const created = this.#now();
    const write = (open: Opened): AskedOperation => {
      const { database, records } = open;
      if (records.get(id) !== undefined) {
        throw new GridError('deployment_exists', { twin, contract: contract.toString() });
      }
      if (records.isSetAside(id)) {
        throw new GridError('deployment_quarantined', { twin, contract: contract.toString() });
      }
      database.run(
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
        beginWorkload(database, id, workload, held, created);
      }
      return { kind: 'create' };
    };
    return this.#asked(id, write, 'soon');
  }

  revise(revision: Revision): DeploymentRecord {
    const { twin, contract, version, removed, workloads } = revision;
    const id = deploymentId(twin, contract);
    const record = this.#file.records.get(id);
    checkRevision(record, revision);
    if (record !== undefined) this.#file.read(({ reading }) => reading.keepDocument(record));
    return this.#asked(id, ({ database }) => {
      const created = this.#now();
      database.run(
        'UPDATE deployments SET version = ?, document = ?, hash = ?, trace = ? WHERE id = ?',
        version,
        revision.document,
        revision.hash,
        revision.trace,
        id,
      );
      database.run("DELETE FROM workloads WHERE deployment = ? AND state = 'deleted' AND held IS NULL", id);
      for (const name of removed) {
        const found = record?.workloads.find((one) => one.name === name);
        if (found !== undefined) giveUpChange(database, id, found, REMOVED_BY_UPDATE, created);
        database.run('UPDATE workloads SET removal = ? WHERE deployment = ? AND name = ?', REMOVED_BY_UPDATE, id, name);
      }
      for (const workload of workloads) {
        const found = record?.workloads.find((one) => one.name === workload.name);
        if (found?.state === 'ok' || found?.state === 'paused') wantWorkload(database, id, found, workload, created);
        else beginWorkload(database, id, workload, workload.held, created);
      }
      forgetVersions(database, id, version - VERSIONS_KEPT);
      return { kind: 'update' };
    });
  }

  recordStep(id: DeploymentId, entry: StepEntry): void {
    this.#file.note(id, entry);
  }

  finish(id: DeploymentId, name: string, outcome: Outcome): boolean {
    return this.#change(id, name, (database, workload) => {
      if (workload.state === 'deleted' || workload.state === outcome.state) return false;
      // What was released does not run, whatever comes late.
      if (outcome.state !== 'error' && workload.held === undefined) return false;
      const { state } = outcome;
      const message = outcome.state === 'error' ? outcome.message : outcome.state === 'paused' ? 'paused' : '';
      const data = outcome.state === 'ok' ? outcome.data : workload.data;
      const created = this.#now();
      const held = heldAfter(workload.held, state);
      database.run(
        'UPDATE workloads SET state = ?, message = ?, data = ?, created = ?, held = ? WHERE deployment = ? AND name = ?',
        state,
        message,
        data,
        created,
        held === undefined ? null : JSON.stringify(held),
        id,
        name,
      );
      logChange(database, id, { ...versionOf(workload), state, message, data, created });
      return true;
    });
  }

  settle(id: DeploymentId, name: string, outcome: ChangeOutcome): boolean {
    const known = this.#file.records.get(id)?.workloads.find((one) => one.name === name);
    // What follows begins where this one ended: a loss of power must not leave that in doubt.
    const durability = known?.next?.over === undefined ? 'soon' : 'power';
    const act = (database: Database, workload: WorkloadRecord): boolean => {
      const change = changeUnderWay(workload);
      if (workload.state !== 'ok' || change === undefined) return false;
      endChange(database, id, workload);
      const created = this.#now();
      if (outcome.state === 'unchanged') {
        const { message } = outcome;
        logChange(database, id, {
          ...versionOf(change),
          state: 'unchanged',
          message,
          data: workload.data,
          created,
        });
        return true;
      }
      const { data } = outcome;
      database.run(
        "UPDATE workloads SET version = ?, after = ?, awaits_network = ?, held = ?, message = '', data = ?, created = ? WHERE deployment = ? AND name = ?",
        change.version,
        JSON.stringify(change.after),
        change.awaitsNetwork ?? null,
        JSON.stringify({ ...change.held, state: 'committed' }),
        data,
        created,
        id,
        name,
      );
      logChange(database, id, { ...versionOf(change), state: 'ok', message: '', data, created });
      return true;
    };
    return this.#change(id, name, act, durability);
  }

  decommission(id: DeploymentId, name: string, reason: string): boolean {
    const known = this.#file.records.get(id)?.workloads.find((one) => one.name === name);
    if (known === undefined || known.removal !== undefined) return false;
    if (known.state === 'error' || known.state === 'deleted') return false;
    this.#asked(id, ({ database }) => {
      giveUpChange(database, id, known, reason, this.#now());
      database.run('UPDATE workloads SET removal = ? WHERE deployment = ? AND name = ?', reason, id, name);
      return { kind: 'decommission', workload: name, reason };
    });
    return true;
  }

  cancel(id: DeploymentId, reason: string): boolean {
    const { records } = this.#file;
    if (records.isVacating(id)) return false;
    if (records.isSetAside(id)) return this.#discharge(id, reason);
    const known = records.get(id);
    if (known === undefined || known.cancelled !== undefined) return false;
    this.#asked(id, ({ database }) => {
      database.run('UPDATE deployments SET cancelled = ? WHERE id = ?', reason, id);
      for (const one of known.workloads) giveUpChange(database, id, one, reason, this.#now());
      database.run('UPDATE workloads SET removal = coalesce(removal, ?) WHERE deployment = ?', reason, id);
      return { kind: 'cancel', reason };
    });
    return true;
  }

  pause(id: DeploymentId, paused: boolean, reason: string): boolean {
    const known = this.#file.records.get(id);
    if (known === undefined || known.cancelled !== undefined || known.paused === paused) return false;
    this.#asked(id, ({ database }) => {
      database.run('UPDATE deployments SET paused = ? WHERE id = ?', paused ? 1 : 0, id);
      return { kind: paused ? 'pause' : 'resume', reason };
    });
    return true;
  }

  release(id: DeploymentId, name: string): void {
    this.#change(id, name, (database, workload) => {
      if (!isReleasable(workload)) return false;
      database.run('UPDATE workloads SET held = NULL WHERE deployment = ? AND name = ?', id, name);
      if (workload.removal === undefined || workload.state === 'deleted') return true;
      const { data, removal: message } = workload;
      const created = this.#now();
      database.run(
        "UPDATE workloads SET state = 'deleted', message = ?, created = ? WHERE deployment = ? AND name = ?",
        message,
        created,
        id,
        name,
      );
      logChange(database, id, { ...versionOf(workload), state: 'deleted', message, data, created });
      return true;
    });
  }

  tombstone(id: DeploymentId): void {
    this.#file.write(id, 'soon', ({ database, logs, operations, records }) => {
      const record = records.get(id);
      if (record === undefined) return;
      const { cancelled, workloads } = record;
      if (cancelled === undefined || workloads.some((one) => one.held !== undefined)) {
        throw new Error(`deployment ${id} is not released`);
      }
      logs.bury(record, cancelled, this.#now());
      database.run('DELETE FROM deployments WHERE id = ?', id);
      operations.close(id);
    });
  }

  restoring(id: DeploymentId, trace: string): boolean {
    const { records } = this.#file;
    const record = records.get(id);
    if (record === undefined || record.cancelled !== undefined) return false;
    if (records.pending(id).some((one) => one.kind === 'restore')) return false;
    this.#file.write(id, 'kill', ({ operations }) => operations.ask(record, { kind: 'restore', trace }), 'operations');
    return true;
  }

  begin(id: DeploymentId): readonly OperationRecord[] {
    if (this.pending(id).some((one) => one.state !== 'running')) {
      this.#file.write(id, 'kill', ({ operations }) => operations.begin(id), 'operations');
    }
    return this.pending(id);
  }

  end(id: DeploymentId, state: OperationEnd, error: string, operation?: string): boolean {
    if (!this.pending(id).some((one) => one.state === 'running' || state === 'parked')) return false;
    return this.#file.write(id, 'kill', ({ operations }) => operations.end(id, state, error, operation), 'operations');
  }

  deployment(id: DeploymentId): DeploymentRecord | undefined {
    return this.#file.records.get(id);
  }

  deployments(): readonly DeploymentRecord[] {
    return this.#file.records.all();
  }

  deploymentsOf(twin: number): readonly DeploymentRecord[] {
    return this.#file.records.of(twin);
  }

  holder(contract: bigint): DeploymentRecord | undefined {
    return this.#file.records.holder(contract);
  }

  unfinished(): readonly DeploymentRecord[] {
    return this.#file.records.unfinished();
  }

  operations(id?: DeploymentId): readonly OperationRecord[] {
    return this.#file.read(({ operations }) => (id === undefined ? operations.all() : operations.of(id)));
  }

  operationsOf(twin: number): readonly OperationRecord[] {
    return this.#file.read(({ operations }) => operations.ofTwin(twin));
  }

  pending(id?: DeploymentId): readonly OperationRecord[] {
    return this.#file.records.pending(id);
  }

  quarantined(): readonly Quarantined[] {
    return this.#file.read(({ quarantine }) => quarantine.list());
  }

  vacating(): readonly DeploymentId[] {
    return this.#file.records.vacating();
  }

  vacated(id: DeploymentId): void {
    if (!this.#file.records.isVacating(id)) return;
    this.#file.write(id, 'soon', ({ quarantine }) => quarantine.vacated(id));
    this.#file.records.setAside(id, undefined);
  }

  get ledger(): Ledger {
    return this.#file.records.books.ledger;
  }

  get census(): Census {
    return this.#file.records.books.census;
  }

  reservations(): readonly Reservation[] {
    return this.#file.records.reservations();
  }

  changes(id: DeploymentId): readonly Change[] {
    return this.#file.read(({ logs }) => logs.changes(id));
  }

  steps(id: DeploymentId): readonly StepEntry[] {
    this.#file.writeLines();
    return this.#file.read(({ logs }) => logs.steps(id));
  }

  history(limit = HISTORY_LIMIT): readonly Tombstone[] {
    return this.#file.read(({ logs }) => logs.history(limit));
  }

  knows(twin: number, contract: bigint): boolean {
    const id = deploymentId(twin, contract);
    const { records } = this.#file;
    if (records.isSetAside(id) && !records.isVacating(id)) return false;
    return records.get(id) !== undefined || this.#file.read(({ logs }) => logs.isInHistory(twin, contract));
  }

  synced(): Promise<void> {
    return this.#file.synced();
  }

  close(): void {
    this.#file.close();
  }

  /** A change of one workload that is there; false where there is nothing to change. */
  #change(
    id: DeploymentId,
    name: string,
    work: (database: Database, workload: WorkloadRecord) => boolean,
    durability: Durability = 'soon',
  ): boolean {
    const isIt = (one: WorkloadRecord): boolean => one.name === name;
    if (this.#file.records.get(id)?.workloads.some(isIt) !== true) return false;
    const act = ({ database, reading }: Opened): boolean => {
      const workload = reading.workload(id, name);
      return workload !== undefined && work(database, workload);
    };
    return this.#file.write(id, durability, act, { workload: name });
  }

  /** What somebody asks for: the change, and its operation. Gives the record as it is then. */
  #asked(id: DeploymentId, work: (open: Opened) => AskedOperation, durability: Durability = 'power'): DeploymentRecord {
    try {
      this.#file.write(id, durability, work, 'all', (asked, record, { operations }) => {
        operations.ask(record as DeploymentRecord, asked);
      });
    } catch (error) {
      if (isGridError(error) || !(isUnwritable(error) || isDamage(error))) throw error;
      throw new GridError('journal_unwritable', { reason: (error as Error).message }, { cause: error });
    }
    return this.#file.records.get(id) as DeploymentRecord;
  }

  /** The contract of a deployment that was set aside is over: what it has on the host may go, and counts until then. */
  #discharge(id: DeploymentId, reason: string): boolean {
    const owner = ownerOf(id);
    if (owner === undefined) return false;
    const at = this.#now();
    this.#file.write(id, 'power', ({ quarantine, logs }) => {
      quarantine.discharge(id, reason);
      logs.bury({ ...owner, hash: '', trace: '', acceptedAt: at }, reason, at);
    });
    this.#file.records.vacate(id);
    return true;
  }

  /** Unix seconds, and never 0: that means never. */
  #now(): number {
    return Math.max(1, Math.floor(this.#clock() / 1000));
  }
}
