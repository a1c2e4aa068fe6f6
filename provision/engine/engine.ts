/**
 * Makes the host follow the journal. Each deployment has a lane of its own: what
 * is to be done is read from the journal, done, written to the journal, and read
 * again, until nothing is left. A restart is the same thing begun later.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { withTrace } from '../../modules/zbus/trace.ts';
import type { DeploymentId, DeploymentRecord, WorkloadRecord } from '../store/journal.ts';
import { Provisioning } from './provisioning.ts';
import { isChanging, isLeaving, isMakingRoom, isUnfinished } from './record.ts';
import { Removal } from './removal.ts';
import { Settled } from './settled.ts';
import { ENGINE_LIMITS, type EngineLimits, type EngineOptions, type Job, jobOf, Steps } from './steps.ts';

interface Lane {
  /** Ends the present run, so that the lane looks at the journal again. */
  interrupt: AbortController;
  /** Ends a wait before the next try. */
  wake: AbortController;
  running: Promise<void> | undefined;
  /** What runs by the journal has not been looked for on the host since the start. */
  unverified: boolean;
}

/** The lane has something else to do first. */
class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

export class Engine {
  readonly #options: EngineOptions;
  readonly #limits: EngineLimits;
  readonly #lanes = new Map<DeploymentId, Lane>();
  readonly #pauses = new Map<DeploymentId, boolean>();
  /** Whose machines may stand still or run whatever the journal says: a pause or its end was begun and did not end. */
  readonly #doubtful = new Set<DeploymentId>();
  readonly #settled = new Settled();
  readonly #provisioning: Provisioning;
  readonly #removal: Removal;
  readonly #stopping = new AbortController();

  constructor(options: EngineOptions) {
    const steps = new Steps(options);
    this.#options = options;
    this.#limits = options.limits ?? ENGINE_LIMITS;
    this.#provisioning = new Provisioning(options, steps, this.#settled);
    this.#removal = new Removal(options.journal, steps, this.#settled);
  }

  /** Goes on with everything in the journal. */
  resume(): void {
    for (const { id } of this.#options.journal.deployments()) {
      this.#doubtful.add(id);
      this.#lane(id, true);
    }
  }

  /** Runs a deployment that was accepted just now, or its new version: a lane at work looks at the journal again. */
  submit(id: DeploymentId): void {
    this.#interrupt(id);
  }

  /** Looks again after every change of a workload until it is so. Throws an `AbortError` when the signal aborts first. */
  until(signal: AbortSignal, isSo: () => boolean): Promise<void> {
    return this.#settled.until(signal, isSo);
  }

  /** Wants a deployment gone; overtakes its run. False when there is none or it is on its way out. */
  cancel(id: DeploymentId, reason: string): boolean {
    if (!this.#options.journal.cancel(id, reason)) return false;
    this.#interrupt(id);
    return true;
  }

  /**
   * Pauses what runs, or lets what is paused go on. The wish lives in memory:
   * after a start the chain says again which deployments are to be paused.
   */
  pause(id: DeploymentId, paused: boolean): void {
    const record = this.#options.journal.deployment(id);
    if (record === undefined || record.cancelled !== undefined) return;
    this.#pauses.set(id, paused);
    if (!this.#isPauseDue(record)) return;
    this.#lanes.get(id)?.wake.abort();
    this.#lane(id, false);
  }

  /**
   * Removes one workload through its deployment's lane; resolves when it is gone
   * or had failed before. Throws an `AbortError` when the signal aborts first.
   */
  async decommission(id: DeploymentId, workload: string, reason: string, signal: AbortSignal): Promise<void> {
    if (this.#options.journal.decommission(id, workload, reason)) this.#interrupt(id);
    await this.#settled.until(signal, () => {
      const found = this.#options.journal.deployment(id)?.workloads.find((one) => one.name === workload);
      return found === undefined || found.removal === undefined || found.held === undefined;
    });
  }

  /** Resolves when no lane has work left. */
  async idle(): Promise<void> {
    while (this.#lanes.size > 0) {
      await Promise.allSettled([...this.#lanes.values()].map((lane) => lane.running));
    }
  }

  /** Stops at the next boundary of a step; what is unfinished goes on at the next start. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Interrupted('the engine stops'));
    await this.idle();
  }

  #interrupt(id: DeploymentId): void {
    this.#lanes.get(id)?.interrupt.abort(new Interrupted('the deployment has something else to do'));
    this.#lane(id, false);
  }

  #lane(id: DeploymentId, unverified: boolean): void {
    if (this.#stopping.signal.aborted || this.#lanes.has(id)) return;
    const lane: Lane = {
      interrupt: new AbortController(),
      wake: new AbortController(),
      running: undefined,
      unverified,
    };
    this.#lanes.set(id, lane);
    const trace = this.#options.journal.deployment(id)?.trace ?? '';
    lane.running = withTrace(trace, () => this.#drive(id, lane)).finally(() => this.#leave(id, lane));
  }

  /** Whoever asks for something after this gets a lane of its own. */
  #leave(id: DeploymentId, lane: Lane): void {
    if (this.#lanes.get(id) !== lane) return;
    this.#lanes.delete(id);
    this.#settled.tell();
  }

  /** Looks, acts, looks again. */
  async #drive(id: DeploymentId, lane: Lane): Promise<void> {
    const { journal, log } = this.#options;
    const [firstDelayMs, maxDelayMs] = this.#limits.removalDelayMs;
    let delayMs = firstDelayMs;
    while (!this.#stopping.signal.aborted) {
      lane.interrupt = new AbortController();
      lane.wake = new AbortController();
      const signal = AbortSignal.any([this.#stopping.signal, lane.interrupt.signal]);
      try {
        const record = journal.deployment(id);
        if (record === undefined || !this.#hasWork(record, lane)) {
          this.#leave(id, lane);
          if (record === undefined) this.#forget(id);
          else this.#options.onSettled?.(record);
          return;
        }
        if (await this.#work(record, lane, signal)) {
          delayMs = firstDelayMs;
          continue;
        }
      } catch (error) {
        if (signal.aborted) continue;
        log.error({ err: error, deployment: id }, 'lane failed, it will be tried again');
      }
      const waiting = AbortSignal.any([signal, lane.wake.signal]);
      await sleep(delayMs, undefined, { signal: waiting }).catch(() => undefined);
      delayMs = Math.min(delayMs * 2, maxDelayMs);
    }
  }

  #forget(id: DeploymentId): void {
    this.#pauses.delete(id);
    this.#doubtful.delete(id);
  }

  #hasWork(record: DeploymentRecord, lane: Lane): boolean {
    return isUnfinished(record) || lane.unverified || this.#isPauseDue(record);
  }

  /** One look's worth of work. False when something has to be tried again later. */
  async #work(found: DeploymentRecord, lane: Lane, signal: AbortSignal): Promise<boolean> {
    const { journal } = this.#options;
    const leaving = found.workloads.filter(isLeaving);
    const isClear = await this.#removal.run(jobOf(found, signal), leaving);
    const record = journal.deployment(found.id) ?? found;
    if (record.cancelled !== undefined) {
      if (!isClear) return false;
      journal.tombstone(record.id);
      this.#settled.tell();
      return true;
    }
    const job = jobOf(record, signal);
    if (isMakingRoom(record)) {
      await this.#keep(job, lane);
      return isClear;
    }
    const isResumed = this.#pauses.get(record.id) === false;
    if (isResumed && record.workloads.some((one) => isToPause(one, false))) {
      await this.#pause(job, false);
      return isClear;
    }
    if (record.workloads.some((one) => (one.state === 'init' && one.removal === undefined) || isChanging(one))) {
      await this.#provisioning.run(job, lane.unverified);
      return isClear;
    }
    await this.#keep(job, lane);
    return isClear && !lane.unverified;
  }

  /** What stays neither lies still nor runs on unpaid because something else can not be removed yet. */
  async #keep(job: Job, lane: Lane): Promise<void> {
    const wanted = this.#pauses.get(job.record.id);
    const isChange = wanted !== undefined && job.record.workloads.some((one) => isToPause(one, wanted));
    if (lane.unverified && !isChange) lane.unverified = !(await this.#provisioning.verify(job));
    if (wanted !== undefined && this.#isPauseDue(job.record)) await this.#pause(job, wanted);
  }

  async #pause(job: Job, wanted: boolean): Promise<void> {
    const { id } = job.record;
    const isDoubtful = this.#doubtful.has(id);
    this.#doubtful.add(id);
    await this.#provisioning.pause(job, wanted, isDoubtful);
    this.#doubtful.delete(id);
  }

  #isPauseDue({ id, workloads }: DeploymentRecord): boolean {
    const wanted = this.#pauses.get(id);
    if (wanted === undefined) return false;
    return workloads.some((one) => isToPause(one, wanted) || (this.#doubtful.has(id) && isToPause(one, !wanted)));
  }
}

/** Whether the workload runs and is to pause, or is paused and is to go on. */
function isToPause({ removal, state }: WorkloadRecord, wanted: boolean): boolean {
  return removal === undefined && state === (wanted ? 'ok' : 'paused');
}
