/** How far a deployment got, and waiting for it without asking again and again. */
import type { Infer } from '../modules/zbus/wire.ts';
import { GridError } from '../schemas/errors/index.ts';
import { isUnfinished } from './engine/record.ts';
import type { Progress } from './interface.ts';
import { absent } from './store/absent.ts';
import {
  type Change,
  type DeploymentId,
  type DeploymentRecord,
  deploymentId,
  type Journal,
  REMOVED_BY_UPDATE,
  type StepEntry,
} from './store/journal.ts';

/** What tells of every change of a workload's state. */
export interface Changes {
  /**
   * Looks again after every change, or every one of a deployment, until it is so. Throws an `AbortError`
   * when the signal aborts first.
   */
  until(signal: AbortSignal, isSo: () => boolean, about?: { readonly deployment: DeploymentId }): Promise<void>;
}

export interface Awaited {
  readonly twin: number;
  readonly contract: bigint;
  /** Or a later one. */
  readonly version: number;
  readonly timeoutMs: number;
}

export interface WaitOptions {
  readonly journal: Journal;
  readonly changes: Changes;
  readonly stopping: AbortSignal;
}

/**
 * Answers when the version has settled, when the deployment is gone, or when the time is over, with how
 * far it got. Throws `deployment_not_found` or `deployment_quarantined` where there is none at the beginning, `wait_ended` when the
 * process stops.
 */
export async function waitForVersion(
  { twin, contract, version, timeoutMs }: Awaited,
  { journal, changes, stopping }: WaitOptions,
  signal: AbortSignal,
): Promise<Infer<typeof Progress>> {
  const id = deploymentId(twin, contract);
  let last = journal.deployment(id);
  if (last === undefined) throw absent(journal, twin, contract);
  const late = AbortSignal.timeout(timeoutMs);
  let isGone = false;
  const isOver = (): boolean => {
    const found = journal.deployment(id);
    // Another deployment of the same contract can only come after the first is gone.
    isGone = found === undefined || found.sequence !== last?.sequence;
    if (!isGone) last = found;
    return isGone || (last !== undefined && isSettled(last, version));
  };
  try {
    await changes.until(AbortSignal.any([signal, late, stopping]), isOver, { deployment: id });
  } catch (error) {
    signal.throwIfAborted();
    if (stopping.aborted) throw new GridError('wait_ended', { contract: contract.toString() }, { cause: error });
    if (!late.aborted) throw error;
    isOver();
  }
  return isGone ? goneProgress(last, journal) : progressOf(last, version, journal);
}

/** Nothing of that version, or of a later one, is left to do. */
function isSettled(record: DeploymentRecord, version: number): boolean {
  if (record.version < version || isUnfinished(record)) return false;
  // Paused, a workload still has to change when it goes on.
  return record.workloads.every((one) => one.next === undefined);
}

function progressOf(record: DeploymentRecord, version: number, journal: Journal): Infer<typeof Progress> {
  const settled = isSettled(record, version);
  const latest = new Map<string, Change>(journal.changes(record.id).map((change) => [change.workload, change]));
  const workloads = record.workloads.map((one) => {
    // The journal's record of a workload that was to change and did not is that of the one that runs on.
    const change = latest.get(one.name);
    const isRefused = change?.state === 'unchanged' && change.version === record.version;
    const { version: of, state, message } = isRefused ? change : one;
    return { Name: one.name, Type: one.type, Version: of, State: state, Message: message, isWanted: isWanted(one) };
  });
  return {
    Settled: settled,
    OK: settled && workloads.every(({ State, isWanted: wanted }) => (wanted ? isRunning(State) : State === 'deleted')),
    Version: record.version,
    Step: settled ? '' : stepOf(journal, record.id),
    Workloads: workloads.map(({ isWanted: _, ...one }) => one),
  };
}

/** The deployment was cancelled and nothing of it is left. */
function goneProgress(last: DeploymentRecord, journal: Journal): Infer<typeof Progress> {
  const { twin, contract } = last;
  const tombstone = journal.history().find((one) => one.twin === twin && one.contract === contract);
  const reason = tombstone?.reason ?? last.cancelled ?? '';
  return {
    Settled: true,
    OK: false,
    Version: last.version,
    Step: '',
    Workloads: last.workloads.map(({ name, type, version }) => ({
      Name: name,
      Type: type,
      Version: version,
      State: 'deleted',
      Message: reason,
    })),
  };
}

function isRunning(state: string): boolean {
  return state === 'ok' || state === 'paused';
}

function isWanted({ removal }: { readonly removal: string | undefined }): boolean {
  return removal !== REMOVED_BY_UPDATE;
}

/** What the node works on now. */
function stepOf(journal: Journal, id: DeploymentId): string {
  const parked = journal.pending(id).findLast((one) => one.state === 'parked');
  if (parked !== undefined) return `parked: ${parked.error}`;
  const last = openSteps(journal.steps(id)).at(-1);
  return last === undefined ? 'queued' : `${last.workload}: ${last.step}`;
}

/** Those that began, or are to be tried again, and have not ended; in the order of their last news. */
export function openSteps(entries: readonly StepEntry[]): StepEntry[] {
  const open = new Map<string, StepEntry>();
  for (const entry of entries) {
    const key = `${entry.workload}: ${entry.step}`;
    open.delete(key);
    if (entry.state === 'started' || entry.state === 'failed') open.set(key, entry);
  }
  return [...open.values()];
}
