/** The journal in memory: the model the SQLite journal is compared with, and the store of engine tests. */
import { GridError } from '../../schemas/errors/index.ts';
import type { Reservation } from '../plan/capacity.ts';
import type { Ledger } from '../plan/ledger.ts';
import type { Census } from './census.ts';
import {
  type Acceptance,
  type Change,
  type ChangeOutcome,
  changeUnderWay,
  checkRevision,
  type DeploymentId,
  type DeploymentRecord,
  deploymentId,
  givenUp,
  HISTORY_LIMIT,
  heldAfter,
  heldOfAll,
  isReleasable,
  type Journal,
  type Outcome,
  type PendingChange,
  type Quarantined,
  REMOVED_BY_UPDATE,
  type RevisedWorkload,
  type Revision,
  STEP_LIMIT,
  type StepEntry,
  supersededBy,
  type Tombstone,
  VERSIONS_KEPT,
  type WorkloadRecord,
} from './journal.ts';
import { MemoryOperations } from './memory-operations.ts';
import type { AskedOperation, OperationEnd, OperationRecord } from './operations.ts';
import { Records } from './records.ts';

interface Entry {
  record: DeploymentRecord;
  changes: Change[];
  steps: StepEntry[];
}

export class MemoryJournal implements Journal {
  readonly #entries = new Map<DeploymentId, Entry>();
  readonly #records = new Records();
  readonly #operations: MemoryOperations;
  readonly #tombstones: Tombstone[] = [];
  readonly #clock: () => number;
  #sequence = 0;

  /** `now` gives milliseconds since 1970. */
  constructor(now: () => number = Date.now) {
    this.#clock = now;
    this.#operations = new MemoryOperations(now);
  }

  accept(acceptance: Acceptance): DeploymentRecord {
    const { twin, contract, workloads, reservation, ...rest } = acceptance;
    const id = deploymentId(twin, contract);
    if (this.#entries.has(id)) throw new GridError('deployment_exists', { twin, contract: contract.toString() });
    const created = this.#now();
    this.#sequence += 1;
    const record: DeploymentRecord = {
      ...rest,
      id,
      twin,
      contract,
      sequence: this.#sequence,
      acceptedAt: created,
      cancelled: undefined,
      paused: false,
      workloads: workloads.map((workload) => ({
        ...workload,
        state: 'init',
        message: '',
        data: '',
        created,
        removal: undefined,
        held: reservation.workloads.find((one) => one.name === workload.name),
        next: undefined,
      })),
    };
    const changes = record.workloads.map(changeOf);
    this.#entries.set(id, { record, changes, steps: [] });
    this.#operations.ask(record, { kind: 'create' });
    this.#kept(id);
    return record;
  }

  revise(revision: Revision): DeploymentRecord {
    const { twin, contract, version, document, hash, trace, removed, workloads } = revision;
    const id = deploymentId(twin, contract);
    const entry = this.#entries.get(id);
    checkRevision(entry?.record, revision);
    if (entry === undefined) throw new Error(`deployment ${id} is not there`);
    const created = this.#now();
    const wanted = new Map(workloads.map((one) => [one.name, one]));
    const begin = ({ held, ...workload }: RevisedWorkload): WorkloadRecord => {
      const made = { state: 'init', message: '', data: '', created, removal: undefined, next: undefined } as const;
      return { ...workload, ...made, held };
    };
    const before = entry.record.workloads.filter((one) => one.state !== 'deleted' || one.held !== undefined);
    const kept = before.map((one): WorkloadRecord => {
      if (removed.includes(one.name)) {
        return { ...one, held: heldOfAll(one), next: undefined, removal: REMOVED_BY_UPDATE };
      }
      const next = wanted.get(one.name);
      if (next === undefined) return one;
      if (one.state !== 'ok' && one.state !== 'paused') return begin(next);
      const over = changeUnderWay(one);
      return { ...one, next: { ...next, askedAt: created, ...(over === undefined ? {} : { over }) } };
    });
    const added = workloads.filter((one) => before.every(({ name }) => name !== one.name)).map(begin);
    const all = [...kept, ...added];
    for (const name of removed) {
      this.#giveUp(
        id,
        before.find((one) => one.name === name),
        REMOVED_BY_UPDATE,
      );
    }
    entry.record = { ...entry.record, version, document, hash, trace, workloads: all };
    for (const { name } of workloads) {
      const unbegun = before.find((one) => one.name === name)?.next;
      if (unbegun?.over !== undefined) {
        const { data } = before.find((one) => one.name === name) as WorkloadRecord;
        const { version: of, signed } = unbegun;
        const message = supersededBy(version);
        entry.changes.push({ workload: name, version: of, signed, state: 'unchanged', message, data, created });
      }
      const begun = all.find((one) => one.name === name && one.state === 'init');
      if (begun !== undefined) entry.changes.push(changeOf(begun));
    }
    entry.changes = entry.changes.filter(
      (change) =>
        change.version >= version - VERSIONS_KEPT ||
        all.some(
          ({ name, version: now, next }) =>
            name === change.workload && [now, next?.version, next?.over?.version].includes(change.version),
        ),
    );
    this.#operations.ask(entry.record, { kind: 'update' });
    this.#kept(id);
    return entry.record;
  }

  recordStep(id: DeploymentId, step: StepEntry): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    entry.steps.push(step);
    if (entry.steps.length > STEP_LIMIT) entry.steps.shift();
  }

  finish(id: DeploymentId, name: string, outcome: Outcome): boolean {
    const workload = this.#workload(id, name);
    if (workload === undefined || workload.state === 'deleted' || workload.state === outcome.state) return false;
    if (outcome.state !== 'error' && workload.held === undefined) return false;
    const isRepeatedOk =
      outcome.state === 'ok' &&
      this.#entries
        .get(id)
        ?.changes.some((one) => one.workload === name && one.version === workload.version && one.state === 'ok') ===
        true;
    this.#change(
      id,
      {
        ...workload,
        state: outcome.state,
        message: outcome.state === 'error' ? outcome.message : outcome.state === 'paused' ? 'paused' : '',
        data: outcome.state === 'ok' ? outcome.data : workload.data,
        created: this.#now(),
        held: heldAfter(workload.held, outcome.state),
      },
      !isRepeatedOk,
    );
    return true;
  }

  settle(id: DeploymentId, name: string, outcome: ChangeOutcome): boolean {
    const workload = this.#workload(id, name);
    const change = workload === undefined ? undefined : changeUnderWay(workload);
    if (workload?.state !== 'ok' || change === undefined) return false;
    const created = this.#now();
    const { over, ...left } = workload.next as PendingChange;
    const next = over === undefined ? undefined : left;
    if (outcome.state === 'unchanged') {
      const { message } = outcome;
      this.#change(id, { ...workload, next }, false);
      const { version, signed } = change;
      this.#entries
        .get(id)
        ?.changes.push({ ...changeOf(workload), version, signed, state: 'unchanged', message, created });
      return true;
    }
    const { askedAt: _, over: _over, ...target } = change;
    const held = { ...change.held, state: 'committed' as const };
    this.#change(id, { ...workload, ...target, held, next, message: '', data: outcome.data, created }, true);
    return true;
  }

  decommission(id: DeploymentId, name: string, reason: string): boolean {
    const workload = this.#workload(id, name);
    if (workload === undefined || workload.removal !== undefined) return false;
    if (workload.state === 'error' || workload.state === 'deleted') return false;
    this.#giveUp(id, workload, reason);
    this.#change(id, { ...workload, held: heldOfAll(workload), next: undefined, removal: reason }, false);
    this.#ask(id, { kind: 'decommission', workload: name, reason });
    return true;
  }

  cancel(id: DeploymentId, reason: string): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.record.cancelled !== undefined) return false;
    for (const workload of entry.record.workloads) this.#giveUp(id, workload, reason);
    entry.record = {
      ...entry.record,
      cancelled: reason,
      workloads: entry.record.workloads.map((one) => ({
        ...one,
        held: heldOfAll(one),
        next: undefined,
        removal: one.removal ?? reason,
      })),
    };
    this.#ask(id, { kind: 'cancel', reason });
    return true;
  }

  pause(id: DeploymentId, paused: boolean, reason: string): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.record.cancelled !== undefined || entry.record.paused === paused) return false;
    entry.record = { ...entry.record, paused };
    this.#ask(id, { kind: paused ? 'pause' : 'resume', reason });
    return true;
  }

  release(id: DeploymentId, name: string): void {
    const workload = this.#workload(id, name);
    if (workload === undefined || !isReleasable(workload)) return;
    const { held: _, ...rest } = workload;
    const isRemoved = workload.removal !== undefined && workload.state !== 'deleted';
    const next: WorkloadRecord = { ...rest, held: undefined };
    this.#change(
      id,
      isRemoved ? { ...next, state: 'deleted', message: workload.removal ?? '', created: this.#now() } : next,
      isRemoved,
    );
  }

  tombstone(id: DeploymentId): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    const { record } = entry;
    if (record.cancelled === undefined || record.workloads.some((one) => one.held !== undefined)) {
      throw new Error(`deployment ${id} is not released`);
    }
    const { twin, contract, hash, trace, acceptedAt } = record;
    this.#tombstones.unshift({
      twin,
      contract,
      hash,
      trace,
      reason: record.cancelled,
      acceptedAt,
      goneAt: this.#now(),
    });
    this.#tombstones.length = Math.min(this.#tombstones.length, HISTORY_LIMIT);
    this.#entries.delete(id);
    this.#operations.close(id);
    this.#kept(id);
  }

  restoring(id: DeploymentId, trace: string): boolean {
    const record = this.#entries.get(id)?.record;
    if (record === undefined || record.cancelled !== undefined) return false;
    if (this.#operations.unfinished(id).some((one) => one.kind === 'restore')) return false;
    this.#ask(id, { kind: 'restore', trace });
    return true;
  }

  begin(id: DeploymentId): readonly OperationRecord[] {
    this.#operations.begin(id);
    this.#kept(id);
    return this.#operations.unfinished(id);
  }

  end(id: DeploymentId, state: OperationEnd, error: string, operation?: string): boolean {
    const hasEnded = this.#operations.end(id, state, error, operation);
    this.#kept(id);
    return hasEnded;
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
    return this.#operations.all().filter((one) => id === undefined || one.deployment === id);
  }

  operationsOf(twin: number): readonly OperationRecord[] {
    return this.#operations.all().filter((one) => one.twin === twin);
  }

  pending(id?: DeploymentId): readonly OperationRecord[] {
    return this.#records.pending(id);
  }

  quarantined(): readonly Quarantined[] {
    return [];
  }

  vacating(): readonly DeploymentId[] {
    return [];
  }

  vacated(): void {}

  reservations(): readonly Reservation[] {
    return this.#records.reservations();
  }

  get ledger(): Ledger {
    return this.#records.books.ledger;
  }

  get census(): Census {
    return this.#records.books.census;
  }

  knows(twin: number, contract: bigint): boolean {
    return (
      this.#entries.has(deploymentId(twin, contract)) ||
      this.#tombstones.some((one) => one.twin === twin && one.contract === contract)
    );
  }

  changes(id: DeploymentId): readonly Change[] {
    return this.#entries.get(id)?.changes ?? [];
  }

  steps(id: DeploymentId): readonly StepEntry[] {
    return this.#entries.get(id)?.steps ?? [];
  }

  history(limit = HISTORY_LIMIT): readonly Tombstone[] {
    return this.#tombstones.slice(0, limit);
  }

  synced(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {}

  #workload(id: DeploymentId, name: string): WorkloadRecord | undefined {
    return this.#entries.get(id)?.record.workloads.find((one) => one.name === name);
  }

  #giveUp(id: DeploymentId, workload: WorkloadRecord | undefined, reason: string): void {
    if (workload !== undefined) this.#entries.get(id)?.changes.push(...givenUp(workload, reason, this.#now()));
  }

  #change(id: DeploymentId, next: WorkloadRecord, isLogged: boolean): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    const workloads = entry.record.workloads.map((one) => (one.name === next.name ? next : one));
    entry.record = { ...entry.record, workloads };
    if (isLogged) entry.changes.push(changeOf(next));
    this.#kept(id);
  }

  #ask(id: DeploymentId, asked: AskedOperation): void {
    const record = this.#entries.get(id)?.record;
    if (record !== undefined) this.#operations.ask(record, asked);
    this.#kept(id);
  }

  /** The deployment is as its entry says. */
  #kept(id: DeploymentId): void {
    this.#records.replace(id, this.#entries.get(id)?.record);
    this.#records.replaceOperations(id, this.#operations.unfinished(id));
  }

  /** Unix seconds, and never 0: that means never. */
  #now(): number {
    return Math.max(1, Math.floor(this.#clock() / 1000));
  }
}

function changeOf({ name, version, signed, state, message, data, created }: WorkloadRecord): Change {
  return { workload: name, version, signed, state, message, data, created };
}
