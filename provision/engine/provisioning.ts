/** Makes the host hold what a deployment asks for: the first time, and again where it vanished. */
import { GridError, isGridError } from '../../schemas/errors/index.ts';
import type { DeploymentId, DeploymentRecord, WorkloadRecord } from '../store/journal.ts';
import type { Work } from '../workloads/workload.ts';
import { Changing } from './changing.ts';
import type { Job } from './job.ts';
import { Interrupted, TryLater } from './later.ts';
import { inOrder, isChanging } from './record.ts';
import { Restoring } from './restoring.ts';
import type { Settled } from './settled.ts';
import { ENGINE_LIMITS, type EngineOptions, type Steps } from './steps.ts';

const QUESTION_DEADLINE_MS = 10_000;

/** What a deployment's lane tells of others. */
export interface Neighbours {
  /** Whether a workload that runs by the journal is known to be on the host. */
  readonly isVerified: (id: DeploymentId, workload: string) => boolean;
}

export class Provisioning {
  readonly restoring: Restoring;
  readonly #options: EngineOptions;
  readonly #steps: Steps;
  readonly #settled: Settled;
  readonly #neighbours: Neighbours;
  readonly #changing: Changing;
  readonly #dependencyWaitMs: number;

  constructor(options: EngineOptions, steps: Steps, settled: Settled, neighbours: Neighbours) {
    this.#options = options;
    this.#steps = steps;
    this.#settled = settled;
    this.#neighbours = neighbours;
    this.#changing = new Changing(options, steps, settled);
    this.#dependencyWaitMs = (options.limits ?? ENGINE_LIMITS).dependencyWaitMs;
    this.restoring = new Restoring(options, steps, settled, (job, workload, work) =>
      this.#ensure(job, workload, work, []),
    );
  }

  /**
   * Runs every workload that has not run and changes those that are to change, side by side as their
   * dependencies allow; `unverified` has those looked for that ran before. Throws what is to be tried again.
   */
  async run(job: Job, unverified: boolean): Promise<void> {
    const outcomes = new Map<string, Promise<void>>();
    for (const workload of inOrder(job.record.workloads)) {
      if (workload.removal !== undefined) continue;
      const before = workload.after.map((name) => outcomes.get(name) ?? Promise.resolve());
      if (workload.state === 'init') outcomes.set(workload.name, this.#run(job, workload, before));
      else if (isChanging(workload)) outcomes.set(workload.name, this.#becomeNext(job, workload, unverified));
      else if (workload.state === 'ok' && unverified) outcomes.set(workload.name, this.restoring.back(job, workload));
    }
    const ended = await Promise.allSettled(outcomes.values());
    const failed = ended.filter((one) => one.status === 'rejected').map((one) => one.reason as unknown);
    // What nobody foresaw says more than what waits for it.
    if (failed.length > 0) throw failed.find((one) => !(one instanceof TryLater)) ?? failed[0];
  }

  async #run(job: Job, workload: WorkloadRecord, before: readonly Promise<void>[]): Promise<void> {
    const { record, signal } = job;
    const { journal, log } = this.#options;
    try {
      const work = this.#steps.workOf(job, workload);
      await this.#ensure(job, workload, work, before);
      const data = await work.result({ deadlineMs: QUESTION_DEADLINE_MS, signal });
      signal.throwIfAborted();
      journal.finish(record.id, workload.name, { state: 'ok', data });
      job.seen(workload.name);
    } catch (error) {
      signal.throwIfAborted();
      if (!isGridError(error)) throw error;
      log.error({ err: error, deployment: record.id, workload: workload.name, trace: record.trace }, 'workload failed');
      journal.finish(record.id, workload.name, { state: 'error', message: error.message });
    } finally {
      this.#settled.tell(record.id, record.twin);
    }
  }

  async #ensure(job: Job, workload: WorkloadRecord, work: Work, before: readonly Promise<void>[]): Promise<void> {
    for (const step of work.steps) {
      if (step.allocatesBytes !== undefined) await this.#steps.ensure(job, workload, step);
    }
    await Promise.all(before);
    job.signal.throwIfAborted();
    this.#checkDependencies(job.record.id, workload);
    if (workload.awaitsNetwork !== undefined) await this.#awaitNetwork(job, workload, workload.awaitsNetwork);
    for (const step of work.steps) {
      if (step.allocatesBytes === undefined) await this.#steps.ensure(job, workload, step);
    }
  }

  #checkDependencies(id: DeploymentId, workload: WorkloadRecord): void {
    for (const name of workload.after) {
      const found = this.#options.journal.deployment(id)?.workloads.find((one) => one.name === name);
      if (found !== undefined && isRunning(found)) continue;
      throw new GridError('dependency_failed', {
        workload: workload.name,
        dependency: name,
        reason: found === undefined ? 'it is gone' : found.message || `it is in state '${found.state}'`,
      });
    }
  }

  /** Waits until a deployment of the same twin has the network running, on the host as well; it was accepted before. */
  async #awaitNetwork({ record, ending, rest }: Job, workload: WorkloadRecord, network: string): Promise<void> {
    const { journal } = this.#options;
    const { twin } = record;
    const holders = (): { readonly one: WorkloadRecord; readonly of: DeploymentRecord }[] =>
      journal
        .deploymentsOf(twin)
        .filter((of) => of.id !== record.id)
        .flatMap((of) => of.workloads.map((one) => ({ one, of })))
        .filter(({ one }) => one.held?.network?.name === network && one.removal === undefined && one.state !== 'error');
    const stands = (): boolean =>
      holders().some(({ one, of }) => isRunning(one) && this.#neighbours.isVerified(of.id, one.name));
    const isSettled = (): boolean => stands() || holders().length === 0;
    if (!isSettled()) {
      const patience = AbortSignal.any([ending, AbortSignal.timeout(this.#dependencyWaitMs)]);
      await rest(() => this.#settled.until(patience, isSettled, { twin })).catch((error: unknown) => {
        if (error instanceof Interrupted) throw error;
      });
    }
    ending.throwIfAborted();
    if (stands()) return;
    // It ran before, so it comes back: this is no answer to what its tenant asked.
    if (holders().some(({ one }) => isRunning(one))) {
      throw new TryLater(`network '${network}' of workload '${workload.name}' is not back yet`);
    }
    throw new GridError('network_missing', { workload: workload.name, network });
  }

  async #becomeNext(job: Job, workload: WorkloadRecord, unverified: boolean): Promise<void> {
    if (unverified) await this.restoring.back(job, workload);
    await this.#changing.run(job, workload);
  }
}

function isRunning({ state }: WorkloadRecord): boolean {
  return state === 'ok' || state === 'paused';
}
