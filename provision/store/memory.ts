/** The journal in memory: the model the SQLite journal is compared with, and the store of engine tests. */
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

interface Entry {
  record: DeploymentRecord;
  changes: Change[];
  steps: StepEntry[];
}

export class MemoryJournal implements Journal {
  readonly #entries = new Map<DeploymentId, Entry>();
  readonly #tombstones: Tombstone[] = [];
  readonly #now: () => number;
  #sequence = 0;

  /** `now` gives Unix seconds. */
  constructor(now: () => number = () => Math.floor(Date.now() / 1000)) {
    this.#now = now;
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
      workloads: workloads.map((workload) => ({
        ...workload,
        state: 'init',
        message: '',
        data: '',
        created,
        removal: undefined,
        held: reservation.workloads.find((one) => one.name === workload.name),
      })),
    };
    const changes = record.workloads.map(changeOf);
    this.#entries.set(id, { record, changes, steps: [] });
    return record;
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

  decommission(id: DeploymentId, name: string, reason: string): boolean {
    const workload = this.#workload(id, name);
    if (workload === undefined || workload.removal !== undefined) return false;
    if (workload.state === 'error' || workload.state === 'deleted') return false;
    this.#change(id, { ...workload, removal: reason }, false);
    return true;
  }

  cancel(id: DeploymentId, reason: string): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.record.cancelled !== undefined) return false;
    entry.record = {
      ...entry.record,
      cancelled: reason,
      workloads: entry.record.workloads.map((one) => ({ ...one, removal: one.removal ?? reason })),
    };
    return true;
  }

  release(id: DeploymentId, name: string): void {
    const workload = this.#workload(id, name);
    if (workload === undefined) return;
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
  }

  deployment(id: DeploymentId): DeploymentRecord | undefined {
    return this.#entries.get(id)?.record;
  }

  deployments(): readonly DeploymentRecord[] {
    return [...this.#entries.values()].map((entry) => entry.record);
  }

  reservations(): readonly Reservation[] {
    return reservationsOf(this.deployments());
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

  close(): void {}

  #workload(id: DeploymentId, name: string): WorkloadRecord | undefined {
    return this.#entries.get(id)?.record.workloads.find((one) => one.name === name);
  }

  #change(id: DeploymentId, next: WorkloadRecord, isLogged: boolean): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    const workloads = entry.record.workloads.map((one) => (one.name === next.name ? next : one));
    entry.record = { ...entry.record, workloads };
    if (isLogged) entry.changes.push(changeOf(next));
  }
}

function changeOf({ name, version, state, message, data, created }: WorkloadRecord): Change {
  return { workload: name, version, state, message, data, created };
}
