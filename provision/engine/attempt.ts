/** One step of a run: a deadline for each attempt, a budget for all of them, one typed error at the end. */
import { isZbusError } from '../../modules/zbus/errors.ts';
import { span } from '../../modules/zbus/trace.ts';
import { GridError, isGridError, reviveError } from '../../schemas/errors/index.ts';
import { tenantReason } from '../tenant-reason.ts';
import type { Calling, Step } from '../workloads/workload.ts';

export interface RetryBudget {
  /** Milliseconds after the first attempt in which another one may begin. */
  readonly budgetMs: number;
  /** Milliseconds before the second attempt; doubled each time. */
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
}

/** What an attempt is made in. */
export interface Attempting {
  /** Ends an attempt under way. */
  readonly signal: AbortSignal;
  /** Waits for a place, runs the attempt in it and hands it back: nothing is held between two attempts. */
  readonly inPlace: <T>(attempt: () => Promise<T>) => Promise<T>;
  /** Waits so many milliseconds. Throws when no other attempt is to begin. */
  readonly pause: (ms: number) => Promise<void>;
  readonly heard: (state: 'started' | 'done' | 'failed', message: string) => void;
}

/**
 * Whether the same call may succeed a moment later: the daemon was not there,
 * did not answer, or says so itself.
 */
function isTransient(error: unknown): boolean {
  if (isGridError(error)) return error.retryable;
  if (!isZbusError(error)) return false;
  if (error.kind !== 'call_failed') return error.kind !== 'protocol';
  if (error.remote === undefined) return false;
  return reviveError(error.remote.code, error.remote.details)?.retryable === true;
}

/** Runs `step.ensure` until it succeeds, fails for good or its budget is spent; then throws `step_failed`. */
export async function attemptStep(
  workload: string,
  step: Step,
  budget: RetryBudget,
  { signal, inPlace, pause, heard }: Attempting,
): Promise<void> {
  let began = 0;
  let delayMs = budget.firstDelayMs;
  for (let attempts = 1; ; attempts++) {
    signal.throwIfAborted();
    const error = await inPlace(() => {
      if (attempts === 1) {
        began = performance.now();
        heard('started', '');
      }
      return attemptOnce(workload, step, signal);
    });
    if (error === undefined) break;
    signal.throwIfAborted();
    heard('failed', error.message);
    const elapsedMs = Math.round(performance.now() - began);
    if (!isTransient(error) || elapsedMs + delayMs > budget.budgetMs) {
      throw failure(workload, step, attempts, elapsedMs, error);
    }
    await pause(delayMs);
    delayMs = Math.min(delayMs * 2, budget.maxDelayMs);
  }
  heard('done', '');
}

/** What went wrong, nothing when nothing did. */
async function attemptOnce(workload: string, step: Step, signal: AbortSignal): Promise<Error | undefined> {
  try {
    await span(`step ${step.name}`, { 'gridnode.workload': workload, 'gridnode.stage': step.stage }, () =>
      withDeadline(step, signal, step.ensure),
    );
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Undoes a step once, within its deadline. */
export function undoStep(step: Step, signal: AbortSignal): Promise<void> {
  return withDeadline(step, signal, step.undo);
}

/** Nothing of it outlives the work: a node makes tens of thousands of steps in a minute, with deadlines of many. */
async function withDeadline(
  { deadlineMs }: Step,
  signal: AbortSignal,
  work: (calling: Calling) => Promise<void>,
): Promise<void> {
  const ending = new AbortController();
  const end = (): void => ending.abort(signal.reason);
  if (signal.aborted) end();
  signal.addEventListener('abort', end, { once: true });
  const late = setTimeout(() => ending.abort(new DOMException('the step took too long', 'TimeoutError')), deadlineMs);
  late.unref();
  try {
    await work({ deadlineMs, signal: ending.signal });
  } finally {
    clearTimeout(late);
    signal.removeEventListener('abort', end);
  }
}

function failure(workload: string, step: Step, attempts: number, elapsedMs: number, error: Error): GridError {
  // A refusal of our own says all there is to say.
  if (isGridError(error)) return error;
  const reason = tenantReason(error);
  return new GridError(
    'step_failed',
    {
      workload,
      step: step.name,
      stage: step.stage,
      attempts,
      elapsedMs,
      reason: step.failure === undefined ? reason : `${step.failure}: ${reason}`,
    },
    { cause: error },
  );
}
