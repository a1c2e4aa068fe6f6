/** The steps of one workload, run and undone: places, attempts, and a line in the log for each. */
import type { BusLog } from '../../modules/zbus/broker.ts';
import { findWorkload, type Workload } from '../../schemas/deployment.ts';
import { workloadId } from '../../schemas/ids.ts';
import type { DeploymentRecord, Journal, StepEntry, WorkloadRecord } from '../store/journal.ts';
import { driverOf } from '../workloads/index.ts';
import type { Daemons, GuestBoot, Scope, Step, StepStage, Work } from '../workloads/workload.ts';
import { attemptStep, type RetryBudget, undoStep } from './attempt.ts';
import { type Job, pauseIn } from './job.ts';
import { ENGINE_LIMITS, type EngineLimits } from './limits.ts';
import { Places } from './places.ts';
import { PoolChoice } from './pool-choice.ts';

export { ENGINE_LIMITS, type EngineLimits } from './limits.ts';

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

export type StepNumbers = Readonly<Record<StepStage, { readonly running: number; readonly queued: number }>>;

export class Steps {
  readonly #options: EngineOptions;
  readonly #retry: RetryBudget;
  readonly #places: Readonly<Record<StepStage, Places>>;
  readonly #pools: PoolChoice;

  constructor(options: EngineOptions) {
    const { steps, retry } = options.limits ?? ENGINE_LIMITS;
    this.#options = options;
    this.#retry = retry;
    this.#pools = new PoolChoice(options.daemons);
    this.#places = {
      storage: new Places(...steps.storage),
      network: new Places(...steps.network),
      flist: new Places(...steps.flist),
      machine: new Places(...steps.machine),
    };
  }

  get numbers(): StepNumbers {
    const { storage, network, flist, machine } = this.#places;
    const of = ({ taken: running, queued }: Places): { running: number; queued: number } => ({ running, queued });
    return { storage: of(storage), network: of(network), flist: of(flist), machine: of(machine) };
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

  /** Throws `step_failed` once the retry budget is spent, or the reason of the signal that ends the job. */
  ensure(job: Job, workload: WorkloadRecord, step: Step): Promise<void> {
    const { record, signal, ending } = job;
    const places = this.#places[step.stage];
    return attemptStep(workload.name, this.#placed(workload, step), this.#retry, {
      signal,
      inPlace: async (attempt) => {
        const release = await places.take(ending, record.twin);
        try {
          ending.throwIfAborted();
          return await attempt();
        } finally {
          release();
        }
      },
      pause: (ms) => pauseIn(job, ms),
      heard: (state, message) => this.note(record, workload, step, state, message),
    });
  }

  /** What takes bytes of a pool takes them of the planned one, in whatever order steps come. */
  #placed(workload: WorkloadRecord, step: Step): Step {
    if (step.allocatesBytes === undefined || step.grows === true) return step;
    return {
      ...step,
      ensure: async (calling) => {
        await this.#pools.tell(workload, calling);
        await step.ensure(calling);
      },
    };
  }

  /** Whether it is confirmed undone; throws the signal's reason only. */
  async undo({ record, signal, ending }: Job, workload: WorkloadRecord, step: Step): Promise<boolean> {
    ending.throwIfAborted();
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
