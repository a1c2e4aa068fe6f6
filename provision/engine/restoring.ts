/**
 * What runs by the journal runs on the host: it is looked for, made again where it vanished, and its machines
 * stand still or go on as is wanted. Nothing here fails a workload: what can not be had back is tried again.
 */
import type { DeploymentId, DeploymentRecord, WorkloadRecord } from '../store/journal.ts';
import type { Work } from '../workloads/workload.ts';
import type { Job } from './job.ts';
import { TryLater } from './later.ts';
import { inOrder, isChanging, isMakingRoom } from './record.ts';
import type { Settled } from './settled.ts';
import type { EngineOptions, Steps } from './steps.ts';

const QUESTION_DEADLINE_MS = 10_000;
const PAUSE_DEADLINE_MS = 30_000;
/** A trouble that lasts is told again after so long. */
const LAMENT_MS = 600_000;

type Making = (job: Job, workload: WorkloadRecord, work: Work) => Promise<void>;

export class Restoring {
  readonly #options: EngineOptions;
  readonly #steps: Steps;
  readonly #settled: Settled;
  readonly #make: Making;
  /** What was told of a workload that is not there, and when. */
  readonly #laments = new Map<DeploymentId, Map<string, { readonly message: string; readonly at: number }>>();
  /** Workloads that were made again since the start. */
  repairs = 0;

  constructor(options: EngineOptions, steps: Steps, settled: Settled, make: Making) {
    this.#options = options;
    this.#steps = steps;
    this.#settled = settled;
    this.#make = make;
  }

  /** Is what runs by the journal really there? Throws `TryLater` when something is not back yet. */
  async verify(job: Job): Promise<void> {
    let missing: unknown;
    for (const workload of inOrder(job.record.workloads)) {
      if (workload.removal !== undefined || !isRunning(workload)) continue;
      try {
        await this.#check(job, workload);
      } catch (error) {
        job.signal.throwIfAborted();
        job.ending.throwIfAborted();
        this.#lament(job.record, workload, error);
        missing = new TryLater(`workload '${workload.name}' is not back yet`, { cause: error });
      }
    }
    if (missing !== undefined) throw missing;
  }

  /** A machine that is to stand still is not started again, and stands still if somebody else did. */
  async #check(job: Job, workload: WorkloadRecord): Promise<void> {
    const { pause } = this.#steps.workOf(job, workload);
    if (workload.state !== 'paused' || pause === undefined) await this.#repair(job, workload);
    else await pause(true, { deadlineMs: PAUSE_DEADLINE_MS, signal: job.signal });
    job.seen(workload.name);
  }

  /** One workload is there, or is made again. Throws `TryLater`. */
  async back(job: Job, workload: WorkloadRecord): Promise<void> {
    try {
      await this.#repair(job, workload);
    } catch (error) {
      job.signal.throwIfAborted();
      job.ending.throwIfAborted();
      throw new TryLater(`workload '${workload.name}' is not back yet`, { cause: error });
    }
  }

  /** Makes a vanished workload again; never an empty place for data that is missing. */
  async #repair(job: Job, workload: WorkloadRecord): Promise<void> {
    const { record, signal } = job;
    const { journal } = this.#options;
    const work = this.#steps.workOf(job, workload);
    const asking = { deadlineMs: QUESTION_DEADLINE_MS, signal };
    if (await work.present(asking)) {
      this.#found(job, workload);
      return;
    }
    if (journal.restoring(record.id, record.trace)) journal.begin(record.id);
    for (const step of work.steps) {
      if (step.hasData === undefined || (await step.hasData(asking))) continue;
      const message = `the data of step '${step.name}' is missing on this node; it is not replaced by an empty one`;
      const told = journal.steps(record.id).at(-1);
      if (told?.message !== message) this.#steps.note(record, workload, step, 'failed', message);
      throw new TryLater(message);
    }
    await this.#make(job, workload, work);
    this.repairs += 1;
    this.#found(job, workload);
  }

  #found({ record, seen }: Job, { name }: WorkloadRecord): void {
    seen(name);
    this.#laments.get(record.id)?.delete(name);
    this.#settled.tell(record.id, record.twin);
  }

  /** The deployment is gone. */
  forget(id: DeploymentId): void {
    this.#laments.delete(id);
  }

  /**
   * Machines stop before what they use is flagged, and go on after it. `isDoubtful`: also those are told
   * that are so by the journal.
   */
  async pause(job: Job, isDoubtful: boolean): Promise<void> {
    const { record, signal } = job;
    const { paused } = record;
    const ordered = inOrder(record.workloads);
    const mayChange = paused && !isMakingRoom(record);
    for (const workload of paused ? ordered.reverse() : ordered) {
      if (workload.removal !== undefined || !isRunning(workload)) continue;
      const isSo = workload.state === (paused ? 'paused' : 'ok');
      // What is on its way to a new version is flagged when it is there: who waits for that is told.
      if ((isSo && !isDoubtful) || (mayChange && isChanging(workload))) continue;
      // A machine may have vanished while it was paused, with the host.
      if (!paused && !isSo) await this.back(job, workload);
      await this.#steps.workOf(job, workload).pause?.(paused, { deadlineMs: PAUSE_DEADLINE_MS, signal });
      if (isSo) continue;
      const { name, data } = workload;
      this.#options.journal.finish(record.id, name, paused ? { state: 'paused' } : { state: 'ok', data });
      this.#settled.tell(record.id, record.twin);
    }
  }

  #lament(record: DeploymentRecord, workload: WorkloadRecord, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    const laments = this.#laments.get(record.id) ?? new Map();
    const told = laments.get(workload.name);
    if (told?.message === message && performance.now() - told.at < LAMENT_MS) return;
    this.#laments.set(record.id, laments.set(workload.name, { message, at: performance.now() }));
    this.#options.log.error(
      { err: error, deployment: record.id, workload: workload.name, trace: record.trace },
      'workload is not there and could not be made again yet',
    );
  }
}

function isRunning({ state }: WorkloadRecord): boolean {
  return state === 'ok' || state === 'paused';
}
