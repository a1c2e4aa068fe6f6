/** Undoes workloads, dependants first, until every resource is confirmed gone. */
import type { Journal, WorkloadRecord } from '../store/journal.ts';
import type { Job } from './job.ts';
import { inOrder } from './record.ts';
import type { Settled } from './settled.ts';
import type { Steps } from './steps.ts';

export class Removal {
  readonly #journal: Journal;
  readonly #steps: Steps;
  readonly #settled: Settled;

  constructor(journal: Journal, steps: Steps, settled: Settled) {
    this.#journal = journal;
    this.#steps = steps;
    this.#settled = settled;
  }

  /** False when something is still there. */
  async run(job: Job, leaving: readonly WorkloadRecord[]): Promise<boolean> {
    const { workloads } = job.record;
    const outcomes = new Map<string, Promise<boolean>>();
    for (const workload of inOrder(workloads).reverse()) {
      if (!leaving.includes(workload)) continue;
      const dependants = workloads
        .filter((other) => other.after.includes(workload.name))
        .map((other) => outcomes.get(other.name) ?? Promise.resolve(true));
      outcomes.set(workload.name, this.#undo(job, workload, dependants));
    }
    const ended = await Promise.allSettled(outcomes.values());
    job.signal.throwIfAborted();
    const failed = ended.find((one) => one.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    return ended.every((one) => one.status === 'fulfilled' && one.value);
  }

  async #undo(job: Job, workload: WorkloadRecord, dependants: readonly Promise<boolean>[]): Promise<boolean> {
    if (!(await Promise.all(dependants)).every(Boolean)) return false;
    // What failed and was given back may be another's by now, as a network's name.
    const steps = workload.held === undefined ? [] : this.#steps.workOf(job, workload).steps;
    for (const step of [...steps].reverse()) {
      if (!(await this.#steps.undo(job, workload, step))) return false;
    }
    this.#journal.release(job.record.id, workload.name);
    this.#settled.tell(job.record.id, job.record.twin);
    return true;
  }
}
