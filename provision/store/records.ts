/** The journal's records in memory, found by whatever they are asked for. */
import type { Reservation } from '../plan/capacity.ts';
import { Books } from './books.ts';
import { type DeploymentId, type DeploymentRecord, reservationOf } from './journal.ts';
import type { OperationRecord } from './operations.ts';
import { isPauseDue, isUnfinished } from './unfinished.ts';

export class Records {
  readonly books = new Books();
  /** In the order of acceptance. */
  readonly #byId = new Map<DeploymentId, DeploymentRecord>();
  readonly #byTwin = new Map<number, Set<DeploymentId>>();
  readonly #byContract = new Map<bigint, Set<DeploymentId>>();
  readonly #unfinished = new Set<DeploymentId>();
  /** Operations that did not end, oldest first. */
  readonly #operations = new Map<DeploymentId, readonly OperationRecord[]>();
  /** Of deployments whose records are damaged: what they hold stays held. */
  readonly #aside = new Map<DeploymentId, Reservation>();
  /** Of these, those whose contract is over. */
  readonly #vacating = new Set<DeploymentId>();
  #all: readonly DeploymentRecord[] | undefined;
  #reserved: readonly Reservation[] | undefined;

  get(id: DeploymentId): DeploymentRecord | undefined {
    return this.#byId.get(id);
  }

  all(): readonly DeploymentRecord[] {
    this.#all ??= [...this.#byId.values()];
    return this.#all;
  }

  of(twin: number): readonly DeploymentRecord[] {
    return this.#inOrder(this.#byTwin.get(twin));
  }

  holder(contract: bigint): DeploymentRecord | undefined {
    return this.#inOrder(this.#byContract.get(contract)).find((one) => one.cancelled === undefined);
  }

  unfinished(): readonly DeploymentRecord[] {
    return this.#inOrder(new Set([...this.#unfinished, ...this.#operations.keys()]));
  }

  /** Operations that did not end, oldest first in each deployment. */
  pending(id?: DeploymentId): readonly OperationRecord[] {
    return id === undefined ? [...this.#operations.values()].flat() : (this.#operations.get(id) ?? []);
  }

  reservations(): readonly Reservation[] {
    this.#reserved ??= [...this.all().flatMap((one) => reservationOf(one) ?? []), ...this.#aside.values()];
    return this.#reserved;
  }

  /** The one place where a record comes, becomes another, or goes. */
  replace(id: DeploymentId, record: DeploymentRecord | undefined): void {
    const known = this.#byId.get(id) ?? record;
    if (known === undefined) return;
    this.#all = undefined;
    this.#reserved = undefined;
    if (record === undefined) this.#byId.delete(id);
    else this.#byId.set(id, record);
    this.books.replace(id, record);
    mark(this.#byTwin, known.twin, id, record !== undefined);
    mark(this.#byContract, known.contract, id, record !== undefined);
    if (record !== undefined && (isUnfinished(record) || isPauseDue(record))) this.#unfinished.add(id);
    else this.#unfinished.delete(id);
  }

  isSetAside(id: DeploymentId): boolean {
    return this.#aside.has(id);
  }

  /** Those that were set aside, whose contract is over, and of which the host may still have something. */
  vacating(): readonly DeploymentId[] {
    return [...this.#vacating];
  }

  isVacating(id: DeploymentId): boolean {
    return this.#vacating.has(id);
  }

  /** What a deployment holds that can not be read any more; undefined ends that. */
  setAside(id: DeploymentId, reservation: Reservation | undefined): void {
    this.#vacating.delete(id);
    if (reservation === undefined) this.#aside.delete(id);
    else this.#aside.set(id, reservation);
    this.#count(id);
  }

  /** The contract of what was set aside is over. */
  vacate(id: DeploymentId): void {
    this.#vacating.add(id);
    this.#count(id);
  }

  #count(id: DeploymentId): void {
    this.#reserved = undefined;
    const reservation = this.#aside.get(id);
    const isLeaving = this.#vacating.has(id);
    const lines = reservation?.workloads.map((holds) => ({ holds, stands: false, isLeaving })) ?? [];
    this.books.ledger.replace(id, reservation === undefined ? undefined : { ...reservation, lines });
  }

  replaceOperations(id: DeploymentId, unfinished: readonly OperationRecord[]): void {
    if (unfinished.length === 0) this.#operations.delete(id);
    else this.#operations.set(id, unfinished);
  }

  #inOrder(ids: Iterable<DeploymentId> = []): DeploymentRecord[] {
    const found: DeploymentRecord[] = [];
    for (const id of ids) {
      const record = this.#byId.get(id);
      if (record !== undefined) found.push(record);
    }
    return found.sort((a, b) => a.sequence - b.sequence);
  }
}

function mark<K>(index: Map<K, Set<DeploymentId>>, key: K, id: DeploymentId, isThere: boolean): void {
  const ids = index.get(key) ?? new Set();
  if (isThere) ids.add(id);
  else ids.delete(id);
  if (ids.size === 0) index.delete(key);
  else index.set(key, ids);
}
