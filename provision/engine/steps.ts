/** The steps of one workload, run and undone: places, attempts, and a line in the log for each. */
import type { BusLog } from '../../modules/zbus/broker.ts';
import { type Deployment, findWorkload, parseDeployment } from '../../schemas/deployment.ts';
import { workloadId } from '../../schemas/ids.ts';
import type { DeploymentRecord, Journal, StepEntry, WorkloadRecord } from '../store/journal.ts';
import { driverOf } from '../workloads/index.ts';
import type { Daemons, GuestBoot, Step, Work } from '../workloads/workload.ts';
import { attemptStep, type RetryBudget, undoStep } from './attempt.ts';
import { Slots } from './slots.ts';

export interface EngineLimits {
  /** Steps that run side by side on the whole node. */
  readonly concurrentSteps: number;
  /** Of those, the steps of one twin: its slow images never hold up another's. */
  readonly concurrentStepsPerTwin: number;
  readonly retry: RetryBudget;
  /** Milliseconds a machine waits for a network of another deployment. */
  readonly dependencyWaitMs: number;
  /** Milliseconds between two tries to do what could not be done, doubled up to the second number. */
  readonly removalDelayMs: readonly [number, number];
}

export const ENGINE_LIMITS: EngineLimits = {
  concurrentSteps: 16,
  concurrentStepsPerTwin: 4,
  retry: { budgetMs: 60_000, firstDelayMs: 200, maxDelayMs: 5_000 },
  dependencyWaitMs: 120_000,
  removalDelayMs: [500, 30_000],
};

export interface EngineOptions {
  readonly journal: Journal;
  readonly daemons: Daemons;
  readonly guest: GuestBoot;
  readonly log: BusLog;
  readonly limits?: EngineLimits;
  /** Hears every step as it happens. */
  readonly onStep?: (record: DeploymentRecord, entry: StepEntry) => void;
  /** Hears of a deployment whose lane has nothing left to do. */
  readonly onSettled?: (record: DeploymentRecord) => void;
}

/** A deployment in the hands of its lane: what is to be done ends when `signal` aborts. */
export interface Job {
  readonly record: DeploymentRecord;
  readonly document: Deployment;
  readonly signal: AbortSignal;
}

/** Throws when the journal's document can not be read. */
export function jobOf(record: DeploymentRecord, signal: AbortSignal): Job {
  return { record, document: parseDeployment(record.document), signal };
}

export class Steps {
  readonly #options: EngineOptions;
  readonly #retry: RetryBudget;
  readonly #slots: Slots;
  /** storaged chooses pools as the plan did only if it is asked in the plan's order, one at a time. */
  readonly #allocations = new Slots(1);

  constructor(options: EngineOptions) {
    const { concurrentSteps, concurrentStepsPerTwin, retry } = options.limits ?? ENGINE_LIMITS;
    this.#options = options;
    this.#retry = retry;
    this.#slots = new Slots(concurrentSteps, concurrentStepsPerTwin);
  }

  workOf({ record, document }: Job, { name, type }: WorkloadRecord): Work {
    const workload = findWorkload(document, name);
    if (workload === undefined) throw new Error(`the signed document of ${record.id} has no workload '${name}'`);
    const { daemons, guest } = this.#options;
    const id = workloadId(record.twin, record.contract, name);
    return driverOf(name, type).work({ id, workload, deployment: document, daemons, guest });
  }

  /** Throws `step_failed` once the retry budget is spent, or the signal's reason. */
  async ensure({ record, signal }: Job, workload: WorkloadRecord, step: Step): Promise<void> {
    const release =
      step.allocatesBytes === undefined
        ? await this.#slots.take(signal, { owner: record.twin })
        : await this.#allocations.take(signal, { priority: [record.sequence, -step.allocatesBytes] });
    try {
      await attemptStep(workload.name, step, this.#retry, signal, (state, message) => {
        this.note(record, workload, step, state, message);
      });
    } finally {
      release();
    }
  }

  /** Whether it is confirmed undone; throws the signal's reason only. */
  async undo({ record, signal }: Job, workload: WorkloadRecord, step: Step): Promise<boolean> {
    try {
      await undoStep(step, signal);
      this.note(record, workload, step, 'undone', '');
      return true;
    } catch (error) {
      signal.throwIfAborted();
      const message = error instanceof Error ? error.message : String(error);
      this.note(record, workload, step, 'failed', `undo: ${message}`);
      this.#options.log.error(
        { err: error, deployment: record.id, workload: workload.name, step: step.name, trace: record.trace },
        'undo failed, it will be tried again',
      );
      return false;
    }
  }

  note(
    record: DeploymentRecord,
    workload: WorkloadRecord,
    step: Step,
    state: StepEntry['state'],
    message: string,
  ): void {
    const entry = { workload: workload.name, step: step.name, state, message, at: Date.now(), trace: record.trace };
    this.#options.journal.recordStep(record.id, entry);
    this.#options.onStep?.(record, entry);
  }
}
