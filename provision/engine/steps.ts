/** The steps of one workload, run and undone: places, attempts, and a line in the log for each. */
import type { BusLog } from '../../modules/zbus/broker.ts';
import { type Deployment, findWorkload, type Workload } from '../../schemas/deployment.ts';
import { workloadId } from '../../schemas/ids.ts';
import type { DeploymentRecord, Journal, StepEntry, WorkloadRecord } from '../store/journal.ts';
import { standingDeployment } from '../store/signed.ts';
import { driverOf } from '../workloads/index.ts';
import type { Daemons, GuestBoot, Scope, Step, Work } from '../workloads/workload.ts';
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
  /** What of it is in force, with its states. */
  readonly standing: Deployment;
  readonly signal: AbortSignal;
}

/** Throws when the journal's document can not be read. */
export function jobOf(record: DeploymentRecord, signal: AbortSignal): Job {
  return { record, standing: standingDeployment(record), signal };
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

  workOf(job: Job, { name, type }: WorkloadRecord): Work {
    return driverOf(name, type).work(this.#scope(job, name));
  }

  /** The change of a running workload to what an update wants, and the work on it as it will be. */
  changeOf(job: Job, { name, type }: WorkloadRecord, to: Workload): { readonly step: Step; readonly work: Work } {
    const driver = driverOf(name, type);
    if (driver.change === undefined) throw new Error(`a workload of type '${type}' can not change while it runs`);
    const from = this.#scope(job, name);
    const target = { ...from, workload: to };
    return { step: driver.change(from, target), work: driver.work(target) };
  }

  #scope({ record, standing }: Job, name: string): Scope {
    const workload = findWorkload(standing, name);
    if (workload === undefined) throw new Error(`deployment ${record.id} has no workload '${name}'`);
    const { daemons, guest } = this.#options;
    return { id: workloadId(record.twin, record.contract, name), workload, deployment: standing, daemons, guest };
  }

  /** Throws `step_failed` once the retry budget is spent, or the signal's reason. */
  async ensure({ record, signal }: Job, workload: WorkloadRecord, step: Step): Promise<void> {
    const release =
      step.allocatesBytes === undefined
        ? await this.#slots.take(signal, { owner: record.twin })
        : await this.#allocations.take(signal, {
            priority: [record.sequence, step.grows ? 0 : 1, -step.allocatesBytes],
          });
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
