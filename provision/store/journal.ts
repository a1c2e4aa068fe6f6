/**
 * The journal: what was accepted, how far it got, what is still held. The only
 * truth provisiond has of its own; every method is one transaction, and has happened when it returns: the
 * process may be killed. What somebody asked (`accept`, `revise`, `decommission`, `cancel`, `pause`) is on disk
 * by then, with everything before it; what the engine did is within 20 ms, and found again on the host after a
 * loss of power in between.
 */
import { growthOf, type Reservation, type ReservedWorkload } from '../plan/capacity.ts';
import type { Ledger } from '../plan/ledger.ts';
import type { PlannedWorkload } from '../plan/plan.ts';
import type { OperationEnd, OperationRecord } from './operations.ts';

/** `<twin>-<contract>`. */
export type DeploymentId = string;

export function deploymentId(twin: number, contract: bigint): DeploymentId {
  return `${twin}-${contract}`;
}

/** One version of a deployment as it was verified. */
interface VerifiedVersion {
  readonly twin: number;
  readonly contract: bigint;
  readonly version: number;
  /** The signed document as JSON text, without results; workload data verbatim. */
  readonly document: string;
  readonly hash: string;
  /** Correlation id of the request. */
  readonly trace: string;
}

/** A deployment as it was verified and planned. */
export interface Acceptance extends VerifiedVersion {
  readonly workloads: readonly AcceptedWorkload[];
  readonly reservation: Reservation;
}

export interface AcceptedWorkload extends PlannedWorkload {
  readonly version: number;
  /** The signed workload as JSON text, without its result; data verbatim. */
  readonly signed: string;
}

/** A workload as an update wants it, with everything it holds then. */
export interface RevisedWorkload extends AcceptedWorkload {
  readonly held: ReservedWorkload;
}

/** An update of a deployment as it was verified and planned. */
export interface Revision extends VerifiedVersion {
  /** Names of the workloads that go away. */
  readonly removed: readonly string[];
  /** New ones, those to be made anew, and running ones as they are to become. All others stay untouched. */
  readonly workloads: readonly RevisedWorkload[];
}

export type WorkloadState = 'init' | 'ok' | 'error' | 'paused' | 'deleted';

export interface WorkloadRecord extends AcceptedWorkload {
  readonly state: WorkloadState;
  /** Empty on success. */
  readonly message: string;
  /** The type's result as JSON text, empty when there is none. */
  readonly data: string;
  /** Unix seconds of the last change of state. */
  readonly created: number;
  /** Why it is to go away; undefined while it is wanted. */
  readonly removal: string | undefined;
  /** What it holds; undefined once every resource is confirmed gone. */
  readonly held: ReservedWorkload | undefined;
  /** What an update wants it to become. Until that is settled, all of the above stays in force. */
  readonly next: PendingChange | undefined;
}

export interface PendingChange extends RevisedWorkload {
  /** Unix seconds. */
  readonly askedAt: number;
  /**
   * The change whose place it takes, which may have begun: what is on the host is what runs by the journal, or
   * this. It is settled before.
   */
  readonly over?: PendingChange;
}

export interface DeploymentRecord {
  readonly id: DeploymentId;
  readonly twin: number;
  readonly contract: bigint;
  /** Order of acceptance on this node. */
  readonly sequence: number;
  readonly version: number;
  readonly document: string;
  readonly hash: string;
  readonly trace: string;
  /** Unix seconds. */
  readonly acceptedAt: number;
  /** Set once the whole deployment is to go away. */
  readonly cancelled: string | undefined;
  /** Whether its machines are to stand still. */
  readonly paused: boolean;
  readonly workloads: readonly WorkloadRecord[];
}

/** How a workload's run ended. `data` is JSON text, empty for null. */
export type Outcome =
  | { readonly state: 'ok'; readonly data: string }
  | { readonly state: 'paused' }
  | { readonly state: 'error'; readonly message: string };

/** How the change of a running workload ended: it is as wanted, or it runs on as it was. */
export type ChangeOutcome =
  | { readonly state: 'ok'; readonly data: string }
  | { readonly state: 'unchanged'; readonly message: string };

/** One entry of a workload's history of states, oldest first in the list. */
export interface Change {
  readonly workload: string;
  readonly version: number;
  /** The workload as it was signed for that version. */
  readonly signed: string;
  readonly state: WorkloadState | 'unchanged';
  readonly message: string;
  readonly data: string;
  readonly created: number;
}

export interface StepEntry {
  readonly workload: string;
  readonly step: string;
  readonly state: 'started' | 'done' | 'failed' | 'undone';
  readonly message: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly trace: string;
}

/** What is remembered of a deployment that is gone. */
export interface Tombstone {
  readonly twin: number;
  readonly contract: bigint;
  readonly hash: string;
  readonly trace: string;
  readonly reason: string;
  readonly acceptedAt: number;
  /** Unix seconds. */
  readonly goneAt: number;
}

/** What of the journal can not be read, set aside by name; nothing of it reaches the engine. */
export interface Quarantined {
  readonly table: string;
  /** The damaged row in its table. */
  readonly key: string;
  /** Whose it is; empty where that can not be read either. */
  readonly deployment: DeploymentId | '';
  readonly reason: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** What runs, waits and leaves, in workloads but for those named deployments. Unix seconds, 0 for none. */
export interface Counts {
  readonly runningDeployments: number;
  readonly runningWorkloads: number;
  readonly waitingDeployments: number;
  readonly waitingWorkloads: number;
  readonly leavingWorkloads: number;
  readonly newestRunning: number;
  readonly waitingSince: number;
}

/**
 * `accept`, `revise`, `decommission`, `cancel`, `pause` and `restoring` record an operation with what they
 * change; unfinished ones that it replaces are superseded. An `id` is a deployment's in every method.
 */
export interface Journal {
  /**
   * Records deployment, reservation and run at once: one `init` change a
   * workload. Throws `deployment_exists` for a contract that is not gone. It outlives the process when this
   * returns, and a loss of power once `synced` resolved: many that come at once share one wait for the disk.
   */
  accept(acceptance: Acceptance): DeploymentRecord;
  /**
   * Records the next version of a deployment, what it adds, changes and removes, and what that will
   * hold. A running workload gets its `next`; any other begins at `init`, with a change. One that is being
   * changed gets it over the change under way; a third, which can not have begun, ends as `unchanged`. What it
   * removes goes away by this update, whatever it went away for before. Throws when the deployment is not
   * there, or a workload is being made or removed.
   */
  revise(revision: Revision): DeploymentRecord;
  /**
   * One line of the engine's log, which is for people; kept while the deployment is, the newest `STEP_LIMIT`
   * of them. It is written with the next write or a few milliseconds later: what kills the process before
   * that loses it, and so does a disk that is full. A loss of power may undo it, however long ago it was.
   */
  recordStep(id: DeploymentId, entry: StepEntry): void;
  /**
   * The workload's run ended. `ok` commits its reservation. Writes a change
   * unless the workload already is in that state: one `ok` a name and version.
   * Returns whether anything changed: nothing does where what it held was released.
   */
  finish(id: DeploymentId, workload: string, outcome: Outcome): boolean;
  /**
   * The change of a running workload ended: with `ok` its `next` is what runs and what it holds; with
   * `unchanged` all stays as it was. Writes a change of the new version. False when no change is pending.
   * Where `next` took the place of another change, it is that one which ended, and `next` may begin: that is on
   * disk when this returns.
   */
  settle(id: DeploymentId, workload: string, outcome: ChangeOutcome): boolean;
  /**
   * Wants one workload gone, and no change of it: one that is pending ends as `unchanged`, here as in every
   * write that gives one up. False when it is unknown, already wanted gone, or failed.
   */
  decommission(id: DeploymentId, workload: string, reason: string): boolean;
  /** Wants the whole deployment gone. False when it is unknown or already wanted gone. */
  cancel(id: DeploymentId, reason: string): boolean;
  /** Wants its machines to stand still, or to go on. False when it is unknown, to go away, or wanted so already. */
  pause(id: DeploymentId, paused: boolean, reason: string): boolean;
  /**
   * Every resource of the workload is confirmed gone: its reservation ends, and
   * if it was to go away it is `deleted`. Nothing is done for what runs and is to stay.
   */
  release(id: DeploymentId, workload: string): void;
  /**
   * Every workload of a cancelled deployment was released: it becomes history, and its cancel is done.
   * Throws if one was not.
   */
  tombstone(id: DeploymentId): void;
  /** What stands by the journal is to be looked for on the host. False where that was asked, or is to go away. */
  restoring(id: DeploymentId, trace: string): boolean;
  /**
   * The deployment's queued and parked operations run now: one attempt more each. Returns all that run.
   * Like `end`, it outlives the process; a loss of power may undo it.
   */
  begin(id: DeploymentId): readonly OperationRecord[];
  /**
   * The deployment's operations that run end so, or wait again, or only the one named does; `parked` are those
   * that wait, too. False when there is none. What runs when the journal is opened was cut short: it is queued, with one crash more.
   */
  end(id: DeploymentId, state: OperationEnd, error: string, operation?: string): boolean;

  /** A deployment that is not gone. */
  deployment(id: DeploymentId): DeploymentRecord | undefined;
  /** Every deployment that is not gone, in the order of acceptance; the list of this moment. */
  deployments(): readonly DeploymentRecord[];
  /** Those of one twin, in the order of acceptance. */
  deploymentsOf(twin: number): readonly DeploymentRecord[];
  /** The deployment of a contract, unless it is to go away. */
  holder(contract: bigint): DeploymentRecord | undefined;
  /** Those with something to do, by their record or by an operation that did not end; in the order of acceptance. */
  unfinished(): readonly DeploymentRecord[];
  /** What did not end, and the newest `OPERATION_LIMIT` that did; oldest first. They outlive their deployment. */
  operations(id?: DeploymentId): readonly OperationRecord[];
  /** The same of one twin. */
  operationsOf(twin: number): readonly OperationRecord[];
  /** Those that did not end; oldest first in each deployment. */
  pending(id?: DeploymentId): readonly OperationRecord[];
  /** Records that are damaged; empty on a node that is well. */
  quarantined(): readonly Quarantined[];
  /**
   * Deployments that were set aside and whose contract is over: what they hold stays held until the host is seen
   * without it, as nothing but that tells when it is gone.
   */
  vacating(): readonly DeploymentId[];
  /** Nothing of that deployment is on the host any more: what it held is free. */
  vacated(id: DeploymentId): void;
  /** The books of what is held now. */
  readonly ledger: Ledger;
  /** How many deployments run, wait and leave. */
  readonly census: Counts;
  /** What is held now, by whom; a list of all of it. */
  reservations(): readonly Reservation[];
  /**
   * Whether the deployment was ever accepted here, as far as the history reaches, so that what the host has
   * of it is this journal's to remove. Not of one that was set aside: nothing of it is removed.
   */
  knows(twin: number, contract: bigint): boolean;
  changes(id: DeploymentId): readonly Change[];
  steps(id: DeploymentId): readonly StepEntry[];
  /** Deployments that are gone, newest first, the newest `HISTORY_LIMIT` of them. */
  history(limit?: number): readonly Tombstone[];
  /** Resolves when all that was written before outlives a loss of power; rejects with what the disk says. */
  synced(): Promise<void>;
  close(): void;
}

/** Entries of the engine's log that are kept for one deployment. */
export const STEP_LIMIT = 1000;
/** Tombstones that are kept. */
export const HISTORY_LIMIT = 1000;

/** Versions back to which the history of states reaches; the versions that run are always in it. */
export const VERSIONS_KEPT = 8;
/** Why a workload that an update leaves out goes away, in the words of the grid's nodes. */
export const REMOVED_BY_UPDATE = 'deleted by an update';

/** What a deployment holds, if anything; what a pending change adds counts beside it. */
export function reservationOf({ twin, contract, workloads }: DeploymentRecord): Reservation | undefined {
  const held = workloads.flatMap(holdingsOf);
  return held.length === 0 ? undefined : { twin, contract, workloads: held };
}

/** What a workload holds now, and what each change that is pending adds to that. */
export function holdingsOf({ held, next }: Pick<WorkloadRecord, 'held' | 'next'>): ReservedWorkload[] {
  if (held === undefined) return [];
  if (next === undefined) return [held];
  const { over } = next;
  if (over === undefined) return [held, growthOf(held, next.held)];
  return [held, growthOf(held, over.held), growthOf(mostOf(held, over.held), next.held)];
}

/** Which change of a workload is settled first. */
export function changeUnderWay({ next }: Pick<WorkloadRecord, 'next'>): PendingChange | undefined {
  return next?.over ?? next;
}

/** Why a change ends that a later version takes the place of. */
export function supersededBy(version: number): string {
  return `superseded by version ${version}`;
}

/** How a workload's pending changes end that is to go away first: told, so that nobody waits for them. */
export function givenUp({ next, data }: WorkloadRecord, message: string, created: number): Change[] {
  const pending = [next?.over, next].filter((one) => one !== undefined);
  return pending.map(({ name: workload, version, signed }) => {
    return { workload, version, signed, state: 'unchanged', message, data, created };
  });
}

/** What a workload holds whose changes are given up half way: as much as any of its versions. */
export function heldOfAll({ held, next }: WorkloadRecord): ReservedWorkload | undefined {
  if (held === undefined || next === undefined) return held;
  return mostOf(next.over === undefined ? held : mostOf(held, next.over.held), next.held);
}

/** What the second holds, and of everything that is counted as much as either. */
function mostOf(before: ReservedWorkload, after: ReservedWorkload): ReservedWorkload {
  const bytes = new Map(before.allocations.map((one) => [one.resource, one.bytes]));
  return {
    ...after,
    state: before.state,
    vcpus: Math.max(before.vcpus, after.vcpus),
    memoryBytes: Math.max(before.memoryBytes, after.memoryBytes),
    publicIps: Math.max(before.publicIps, after.publicIps),
    allocations: after.allocations.map((one) => {
      return { ...one, bytes: Math.max(one.bytes, bytes.get(one.resource) ?? 0) };
    }),
  };
}

/** Throws unless the deployment can take the revision. */
export function checkRevision(record: DeploymentRecord | undefined, { version, workloads }: Revision): void {
  const refuse = (reason: string): Error => new Error(`version ${version} can not be recorded: ${reason}`);
  if (record === undefined) throw refuse('the deployment is not there');
  if (record.cancelled !== undefined) throw refuse('the deployment is to go away');
  if (record.version + 1 !== version) throw refuse(`the deployment has version ${record.version}`);
  for (const { name, held, state, removal } of record.workloads) {
    if (!workloads.some((one) => one.name === name)) continue;
    const isRunning = (state === 'ok' || state === 'paused') && removal === undefined;
    const isGone = (state === 'error' || state === 'deleted') && held === undefined;
    if (!isRunning && !isGone) throw refuse(`workload '${name}' is not done with what it was asked before`);
  }
}

/** Nothing that runs is released: first it is wanted gone, or fails. */
export function isReleasable({ state, removal }: WorkloadRecord): boolean {
  return removal !== undefined || (state !== 'ok' && state !== 'paused');
}

/** What a settled workload still holds: committed when it runs, as before otherwise. */
export function heldAfter(held: ReservedWorkload | undefined, state: Outcome['state']): ReservedWorkload | undefined {
  if (held === undefined || state === 'error') return held;
  return { ...held, state: 'committed' };
}
