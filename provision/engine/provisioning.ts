/** Makes the host hold what a deployment asks for: the first time, and again where it vanished. */
import { GridError, isGridError } from '../../schemas/errors/index.ts';
import type { DeploymentId, DeploymentRecord, WorkloadRecord } from '../store/journal.ts';
import type { Work } from '../workloads/workload.ts';
import { Changing } from './changing.ts';
import { inOrder, isChanging } from './record.ts';
import type { Settled } from './settled.ts';
import { ENGINE_LIMITS, type EngineOptions, type Job, type Steps } from './steps.ts';

const QUESTION_DEADLINE_MS = 10_000;
const PAUSE_DEADLINE_MS = 30_000;

/** What a workload needs does not run yet; that is no failure of its own. */
class NotBackYet extends Error {
  override readonly name = 'NotBackYet';
}

export class Provisioning {
  readonly #options: EngineOptions;
  readonly #steps: Steps;
  readonly #settled: Settled;
  readonly #changing: Changing;
  readonly #dependencyWaitMs: number;

  constructor(options: EngineOptions, steps: Steps, settled: Settled) {
    this.#options = options;
    this.#steps = steps;
    this.#settled = settled;
    this.#changing = new Changing(options, steps, settled);
    this.#dependencyWaitMs = (options.limits ?? ENGINE_LIMITS).dependencyWaitMs;
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
      else if (workload.state === 'ok' && unverified) outcomes.set(workload.name, this.#back(job, workload));
    }
    const ended = await Promise.allSettled(outcomes.values());
    const failed = ended.find((one) => one.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
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
    } catch (error) {
      signal.throwIfAborted();
      if (!isGridError(error)) throw error;
      log.error({ err: error, deployment: record.id, workload: workload.name, trace: record.trace }, 'workload failed');
      journal.finish(record.id, workload.name, { state: 'error', message: error.message });
    } finally {
      this.#settled.tell();
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

  /** Waits until a deployment of the same twin has the network running; it was accepted before. */
  async #awaitNetwork({ record, signal }: Job, workload: WorkloadRecord, network: string): Promise<void> {
    const holders = (): WorkloadRecord[] =>
      this.#options.journal
        .deployments()
        .filter((other) => other.twin === record.twin && other.id !== record.id)
        .flatMap((other) => other.workloads)
        .filter((one) => one.held?.network?.name === network && one.removal === undefined && one.state !== 'error');
    const patience = AbortSignal.any([signal, AbortSignal.timeout(this.#dependencyWaitMs)]);
    await this.#settled
      .until(patience, () => {
        const found = holders();
        return found.length === 0 || found.some(isRunning);
      })
      .catch(() => undefined);
    signal.throwIfAborted();
    if (!holders().some(isRunning)) throw new GridError('network_missing', { workload: workload.name, network });
  }

  /** After a start: is what runs by the journal really there? False when something is not back yet. */
  async verify(job: Job): Promise<boolean> {
    let isWhole = true;
    for (const workload of inOrder(job.record.workloads)) {
      if (workload.state !== 'ok' || workload.removal !== undefined) continue;
      try {
        await this.#repair(job, workload);
      } catch (error) {
        job.signal.throwIfAborted();
        isWhole = false;
        this.#lament(job.record, workload, error);
      }
    }
    return isWhole;
  }

  async #becomeNext(job: Job, workload: WorkloadRecord, unverified: boolean): Promise<void> {
    if (unverified) await this.#back(job, workload);
    await this.#changing.run(job, workload);
  }

  async #back(job: Job, workload: WorkloadRecord): Promise<void> {
    try {
      await this.#repair(job, workload);
    } catch (error) {
      job.signal.throwIfAborted();
      throw new NotBackYet(`workload '${workload.name}' is not back yet`, { cause: error });
    }
  }

  /** Makes a vanished workload again; never an empty place for data that is missing. */
  async #repair(job: Job, workload: WorkloadRecord): Promise<void> {
    const { record, signal } = job;
    const work = this.#steps.workOf(job, workload);
    const asking = { deadlineMs: QUESTION_DEADLINE_MS, signal };
    if (await work.present(asking)) return;
    for (const step of work.steps) {
      if (step.hasData === undefined || (await step.hasData(asking))) continue;
      const message = `the data of step '${step.name}' is missing on this node; it is not replaced by an empty one`;
      const told = this.#options.journal.steps(record.id).at(-1);
      if (told?.message !== message) this.#steps.note(record, workload, step, 'failed', message);
      throw new Error(message);
    }
    await this.#ensure(job, workload, work, []);
  }

  /**
   * Machines stop before what they use is flagged, and go on after it. `isDoubtful`: also those are told
   * that are so by the journal.
   */
  async pause(job: Job, paused: boolean, isDoubtful: boolean): Promise<void> {
    const { record, signal } = job;
    const ordered = inOrder(record.workloads);
    for (const workload of paused ? ordered.reverse() : ordered) {
      if (workload.removal !== undefined || !isRunning(workload)) continue;
      const isSo = workload.state === (paused ? 'paused' : 'ok');
      if (isSo && !isDoubtful) continue;
      // A machine may have vanished while it was paused, with the host.
      if (!paused && !isSo) await this.#repair(job, workload);
      await this.#steps.workOf(job, workload).pause?.(paused, { deadlineMs: PAUSE_DEADLINE_MS, signal });
      if (isSo) continue;
      const { name, data } = workload;
      this.#options.journal.finish(record.id, name, paused ? { state: 'paused' } : { state: 'ok', data });
      this.#settled.tell();
    }
  }

  #lament(record: DeploymentRecord, workload: WorkloadRecord, error: unknown): void {
    this.#options.log.error(
      { err: error, deployment: record.id, workload: workload.name, trace: record.trace },
      'workload is not there and could not be made again yet',
    );
  }
}

function isRunning({ state }: WorkloadRecord): boolean {
  return state === 'ok' || state === 'paused';
}
