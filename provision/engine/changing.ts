/** Makes a running workload what an update wants; where that fails, it runs on as it was. */
import { isGridError } from '../../schemas/errors/index.ts';
import { changeOf } from '../../schemas/upgrade.ts';
import { type ChangeOutcome, changeUnderWay, supersededBy, type WorkloadRecord } from '../store/journal.ts';
import { signedWorkload } from '../store/signed.ts';
import type { Job } from './job.ts';
import { TryLater } from './later.ts';
import type { Settled } from './settled.ts';
import type { EngineOptions, Steps } from './steps.ts';

const RESULT_DEADLINE_MS = 10_000;

export class Changing {
  readonly #options: EngineOptions;
  readonly #steps: Steps;
  readonly #settled: Settled;

  constructor(options: EngineOptions, steps: Steps, settled: Settled) {
    this.#options = options;
    this.#steps = steps;
    this.#settled = settled;
  }

  /**
   * Settles the workload's change under way; one whose place another took is undone where that can be confirmed, and
   * ended where not. Throws what is to be tried again, as long as neither version is confirmed.
   */
  async run(job: Job, workload: WorkloadRecord): Promise<void> {
    const outcome = await this.#attempt(job, workload);
    job.signal.throwIfAborted();
    this.#options.journal.settle(job.record.id, workload.name, outcome);
    this.#settled.tell(job.record.id, job.record.twin);
  }

  async #attempt(job: Job, workload: WorkloadRecord): Promise<ChangeOutcome> {
    const { next, name, type, data } = workload;
    const target = changeUnderWay(workload);
    if (target === undefined) throw new Error(`workload '${name}' has nothing to become`);
    const to = signedWorkload(target);
    const change = changeOf(job.standing, to);
    if (change === undefined) return { state: 'unchanged', message: `a workload of type '${type}' can not change` };
    // Nodes call some refusals an error, which on this node would end what runs.
    if ('reason' in change) return { state: 'unchanged', message: change.reason };
    if (change.kind === 'nothing') return { state: 'ok', data };
    const { step, work } = this.#steps.changeOf(job, workload, to);
    if (next !== undefined && next !== target && (await this.#steps.undo(job, workload, step))) {
      return { state: 'unchanged', message: supersededBy(next.version) };
    }
    try {
      await this.#steps.ensure(job, workload, step);
      return { state: 'ok', data: await work.result({ deadlineMs: RESULT_DEADLINE_MS, signal: job.signal }) };
    } catch (error) {
      job.signal.throwIfAborted();
      if (!isGridError(error)) throw error;
      if (!(await this.#steps.undo(job, workload, step))) {
        throw new TryLater(`workload '${name}' is between two versions`, { cause: error });
      }
      const { id: deployment, trace } = job.record;
      this.#options.log.error({ err: error, deployment, workload: name, trace }, 'change failed, it runs on as it was');
      return { state: 'unchanged', message: error.message };
    }
  }
}
