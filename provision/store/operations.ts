/** What was asked of the engine, each as one object from its acceptance to its end. */

export type OperationKind = 'create' | 'update' | 'cancel' | 'pause' | 'resume' | 'decommission' | 'restore';

/** `parked` is put aside until something changes; `superseded` gave way to what was asked later. */
export type OperationState = 'queued' | 'running' | 'parked' | 'done' | 'failed' | 'superseded';

/** How a run of the engine leaves what it ran; `queued` is tried again. */
export type OperationEnd = 'done' | 'failed' | 'parked' | 'queued';

/** Times are milliseconds since 1970, 0 for what has not come; the order is that of the number in `id`. */
export interface OperationRecord {
  /** `op-<n>`, counted on this node. */
  readonly id: string;
  /** `<twin>-<contract>`. */
  readonly deployment: string;
  readonly twin: number;
  readonly contract: bigint;
  readonly kind: OperationKind;
  /** Of a decommission; empty otherwise. */
  readonly workload: string;
  readonly version: number;
  /** Correlation id of the request. */
  readonly trace: string;
  /** Why it was asked, empty where a tenant's document asked. */
  readonly reason: string;
  readonly state: OperationState;
  readonly askedAt: number;
  /** The first time. */
  readonly startedAt: number;
  readonly endedAt: number;
  readonly attempts: number;
  /** How often the process ended while it ran. */
  readonly crashes: number;
  /** What its last run ended with; empty once it is done. */
  readonly error: string;
}

/** An operation as it is asked; the deployment's record says the rest. */
export interface AskedOperation {
  readonly kind: OperationKind;
  readonly workload?: string;
  readonly reason?: string;
  /** The record's own when left out. */
  readonly trace?: string;
}

/** Ended operations that are kept, of all deployments together. */
export const OPERATION_LIMIT = 1000;

/** Which unfinished operations of the same deployment give way to a new one. */
export const SUPERSEDED_BY: Readonly<Record<OperationKind, readonly OperationKind[]>> = {
  create: ['restore'],
  update: ['create', 'update', 'restore'],
  cancel: ['create', 'update', 'cancel', 'pause', 'resume', 'decommission', 'restore'],
  pause: ['pause', 'resume'],
  resume: ['pause', 'resume'],
  decommission: [],
  restore: [],
};

export function isEnded({ state }: Pick<OperationRecord, 'state'>): boolean {
  return state === 'done' || state === 'failed' || state === 'superseded';
}

/** What an operation takes of its deployment's record. */
interface Asked {
  readonly id: string;
  readonly twin: number;
  readonly contract: bigint;
  readonly version: number;
  readonly trace: string;
}

/** A new operation of the deployment, as number `n`. */
export function askedOperation(
  n: number,
  { id: deployment, twin, contract, version, trace }: Asked,
  asked: AskedOperation,
  askedAt: number,
): OperationRecord {
  return {
    id: `op-${n}`,
    deployment,
    twin,
    contract,
    kind: asked.kind,
    workload: asked.workload ?? '',
    version,
    trace: asked.trace ?? trace,
    reason: asked.reason ?? '',
    state: 'queued',
    askedAt,
    startedAt: 0,
    endedAt: 0,
    attempts: 0,
    crashes: 0,
    error: '',
  };
}
