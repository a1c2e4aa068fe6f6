/**
 * Makes the host follow the journal. Each deployment has a lane of its own: what
 * is to be done is read from the journal, done, written to the journal, and read
 * again, until nothing is left. A restart is the same thing begun later.
 */
import { EventEmitter, once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BusLog } from '../../modules/zbus/broker.ts';
import { withTrace } from '../../modules/zbus/trace.ts';
import { type Deployment, findWorkload, parseDeployment } from '../../schemas/deployment.ts';
import { GridError, isGridError } from '../../schemas/errors/index.ts';
import { workloadId } from '../../schemas/ids.ts';
import type { DeploymentId, DeploymentRecord, Journal, StepEntry, WorkloadRecord } from '../store/journal.ts';
import { driverOf } from '../workloads/index.ts';
import type { Daemons, GuestBoot, Step, Work } from '../workloads/workload.ts';
import { attemptStep, type RetryBudget, undoStep } from './attempt.ts';
import { inOrder, isLeaving, isUnfinished } from './record.ts';
import { Slots } from './slots.ts';

export interface EngineLimits {
  /** Steps that run side by side on the whole node. */
  readonly concurrentSteps: number;
  readonly retry: RetryBudget;
  /** Milliseconds a machine waits for a network of another deployment. */
  readonly dependencyWaitMs: number;
  /** Milliseconds between two tries to remove what would not go, doubled up to the second number. */
  readonly removalDelayMs: readonly [number, number];
}

export const ENGINE_LIMITS: EngineLimits = {
  concurrentSteps: 8,
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
}

const PAUSE_DEADLINE_MS = 30_000;

interface Lane {
  /** Ends the present run, so that the lane looks at the journal again. */
  interrupt: AbortController;
  running: Promise<void> | undefined;
  /** What runs by the journal has not been looked for on the host since the start. */
  unverified: boolean;
}

/** The lane has something else to do first. */
class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

export class Engine {
  readonly #journal: Journal;
  readonly #options: EngineOptions;
  readonly #limits: EngineLimits;
  readonly #log: BusLog;
  readonly #lanes = new Map<DeploymentId, Lane>();
  readonly #pauses = new Map<DeploymentId, boolean>();
  readonly #slots: Slots;
  /** storaged chooses pools as the plan did only if it is asked in the plan's order, one at a time. */
  readonly #allocations = new Slots(1);
  readonly #settled = new EventEmitter().setMaxListeners(0);
  readonly #stopping = new AbortController();

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#journal = options.journal;
    this.#limits = options.limits ?? ENGINE_LIMITS;
    this.#log = options.log;
    this.#slots = new Slots(this.#limits.concurrentSteps);
  }

  /** Goes on with everything in the journal. */
  resume(): void {
    for (const { id } of this.#journal.deployments()) this.#lane(id, true);
  }

  /** Runs a deployment that was accepted just now. */
  submit(id: DeploymentId): void {
    this.#lane(id, false);
  }

  /** Wants a deployment gone; overtakes its run. False when there is none or it is on its way out. */
  cancel(id: DeploymentId, reason: string): boolean {
    if (!this.#journal.cancel(id, reason)) return false;
    this.#interrupt(id);
    return true;
  }

  /**
   * Pauses what runs, or lets what is paused go on. The wish lives in memory:
   * after a start the chain says again which deployments are to be paused.
   */
  pause(id: DeploymentId, paused: boolean): void {
    const record = this.#journal.deployment(id);
    if (record === undefined || record.cancelled !== undefined) return;
    this.#pauses.set(id, paused);
    if (this.#isPauseDue(record)) this.#lane(id, false);
  }

  /**
   * Removes one workload through its deployment's lane; resolves when it is gone
   * or had failed before. Throws the signal's reason when it aborts first.
   */
  async decommission(id: DeploymentId, workload: string, reason: string, signal: AbortSignal): Promise<void> {
    if (this.#journal.decommission(id, workload, reason)) this.#interrupt(id);
    await this.#until(signal, () => {
      const found = this.#find(id, workload);
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
    const lane: Lane = { interrupt: new AbortController(), running: undefined, unverified };
    this.#lanes.set(id, lane);
    const trace = this.#journal.deployment(id)?.trace ?? '';
    lane.running = withTrace(trace, () => this.#drive(id, lane))
      .catch((error: unknown) => this.#log.error({ err: error, deployment: id, trace }, 'lane ended'))
      .finally(() => {
        this.#lanes.delete(id);
        this.#settled.emit('change');
        // What was asked for while the lane ended must not wait for the next start.
        const record = this.#journal.deployment(id);
        if (record === undefined) this.#pauses.delete(id);
        else if (isUnfinished(record) || this.#isPauseDue(record)) this.#lane(id, false);
      });
  }

  /** Looks, acts, looks again. */
  async #drive(id: DeploymentId, lane: Lane): Promise<void> {
    const [firstDelayMs, maxDelayMs] = this.#limits.removalDelayMs;
    let delayMs = firstDelayMs;
    while (!this.#stopping.signal.aborted) {
      lane.interrupt = new AbortController();
      const record = this.#journal.deployment(id);
      if (record === undefined) return;
      const signal = AbortSignal.any([this.#stopping.signal, lane.interrupt.signal]);
      try {
        if (!isUnfinished(record) && !lane.unverified && !this.#isPauseDue(record)) return;
        if (await this.#work(record, lane, signal)) {
          delayMs = firstDelayMs;
          continue;
        }
      } catch (error) {
        if (signal.aborted) continue;
        this.#log.error({ err: error, deployment: id, trace: record.trace }, 'lane failed, it will be tried again');
      }
      await sleep(delayMs, undefined, { signal }).catch(() => undefined);
      delayMs = Math.min(delayMs * 2, maxDelayMs);
    }
  }

  /** One look's worth of work. False when something has to be tried again later. */
  async #work(record: DeploymentRecord, lane: Lane, signal: AbortSignal): Promise<boolean> {
    const leaving = record.workloads.filter(isLeaving);
    if (leaving.length > 0 && !(await this.#remove(record, leaving, signal))) return false;
    if (record.cancelled !== undefined) {
      this.#journal.tombstone(record.id);
      this.#settled.emit('change');
      return true;
    }
    if (record.workloads.some((one) => one.state === 'init' && one.removal === undefined)) {
      await this.#provision(record, lane, signal);
      return true;
    }
    if (this.#isPauseDue(record)) await this.#applyPause(record, signal);
    if (!lane.unverified) return true;
    const isWhole = await this.#verify(record, signal);
    lane.unverified = !isWhole;
    return isWhole;
  }

  /** Runs every workload that has not run, side by side as their dependencies allow. */
  async #provision(record: DeploymentRecord, lane: Lane, signal: AbortSignal): Promise<void> {
    const document = parseDeployment(record.document);
    const outcomes = new Map<string, Promise<void>>();
    for (const workload of inOrder(record.workloads)) {
      const before = workload.after.map((name) => outcomes.get(name) ?? Promise.resolve());
      const run = async (): Promise<void> => {
        if (workload.removal !== undefined) return;
        if (workload.state === 'init') await this.#run(record, document, workload, before, signal);
        else if (workload.state === 'ok' && lane.unverified)
          await this.#repair(record, document, workload, before, signal);
      };
      outcomes.set(workload.name, run());
    }
    const ended = await Promise.allSettled(outcomes.values());
    const failed = ended.find((one) => one.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  async #run(
    record: DeploymentRecord,
    document: Deployment,
    workload: WorkloadRecord,
    before: readonly Promise<void>[],
    signal: AbortSignal,
  ): Promise<void> {
    try {
      const work = this.#workOf(record, document, workload);
      await this.#steps(record, workload, work, before, signal);
      const data = await work.result({ deadlineMs: 10_000, signal });
      signal.throwIfAborted();
      this.#journal.finish(record.id, workload.name, { state: 'ok', data });
    } catch (error) {
      signal.throwIfAborted();
      if (!isGridError(error)) throw error;
      this.#log.error(
        { err: error, deployment: record.id, workload: workload.name, trace: record.trace },
        'workload failed',
      );
      this.#journal.finish(record.id, workload.name, { state: 'error', message: error.message });
    } finally {
      this.#settled.emit('change');
    }
  }

  async #steps(
    record: DeploymentRecord,
    workload: WorkloadRecord,
    work: Work,
    before: readonly Promise<void>[],
    signal: AbortSignal,
  ): Promise<void> {
    for (const step of work.steps.filter((one) => one.allocatesBytes !== undefined)) {
      await this.#step(record, workload, step, signal);
    }
    await Promise.all(before);
    signal.throwIfAborted();
    this.#checkDependencies(record.id, workload);
    if (workload.awaitsNetwork !== undefined)
      await this.#awaitNetwork(record, workload, workload.awaitsNetwork, signal);
    for (const step of work.steps.filter((one) => one.allocatesBytes === undefined)) {
      await this.#step(record, workload, step, signal);
    }
  }

  async #step(record: DeploymentRecord, workload: WorkloadRecord, step: Step, signal: AbortSignal): Promise<void> {
    const release =
      step.allocatesBytes === undefined
        ? await this.#slots.take(signal)
        : await this.#allocations.take(signal, [record.sequence, -step.allocatesBytes]);
    try {
      await attemptStep(workload.name, step, this.#limits.retry, signal, (state, message) => {
        this.#note(record, workload, step, state, message);
      });
    } finally {
      release();
    }
  }

  #checkDependencies(id: DeploymentId, workload: WorkloadRecord): void {
    for (const name of workload.after) {
      const found = this.#find(id, name);
      if (found?.state === 'ok' || found?.state === 'paused') continue;
      throw new GridError('dependency_failed', {
        workload: workload.name,
        dependency: name,
        reason: found === undefined ? 'it is gone' : found.message || `it is in state '${found.state}'`,
      });
    }
  }

  /** Waits until a deployment of the same twin has the network running; it was accepted before. */
  async #awaitNetwork(
    record: DeploymentRecord,
    workload: WorkloadRecord,
    network: string,
    signal: AbortSignal,
  ): Promise<void> {
    const holders = (): WorkloadRecord[] =>
      this.#journal
        .deployments()
        .filter((other) => other.twin === record.twin && other.id !== record.id)
        .flatMap((other) => other.workloads)
        .filter((one) => one.held?.network?.name === network && one.removal === undefined && one.state !== 'error');
    const patience = AbortSignal.timeout(this.#limits.dependencyWaitMs);
    await this.#until(AbortSignal.any([signal, patience]), () => {
      const found = holders();
      return found.length === 0 || found.some((one) => one.state === 'ok' || one.state === 'paused');
    }).catch(() => undefined);
    signal.throwIfAborted();
    if (!holders().some((one) => one.state === 'ok' || one.state === 'paused')) {
      throw new GridError('network_missing', { workload: workload.name, network });
    }
  }

  /** Undoes what is to leave, dependants first. False when something is still there. */
  async #remove(record: DeploymentRecord, leaving: readonly WorkloadRecord[], signal: AbortSignal): Promise<boolean> {
    const document = parseDeployment(record.document);
    const stuck = new Set<string>();
    for (const workload of inOrder(record.workloads).reverse()) {
      if (!leaving.includes(workload)) continue;
      const isNeeded = record.workloads.some((other) => stuck.has(other.name) && other.after.includes(workload.name));
      if (isNeeded || !(await this.#undo(record, document, workload, signal))) stuck.add(workload.name);
    }
    return stuck.size === 0;
  }

  async #undo(
    record: DeploymentRecord,
    document: Deployment,
    workload: WorkloadRecord,
    signal: AbortSignal,
  ): Promise<boolean> {
    const work = this.#workOf(record, document, workload);
    for (const step of [...work.steps].reverse()) {
      try {
        await undoStep(step, signal);
        this.#note(record, workload, step, 'undone', '');
      } catch (error) {
        signal.throwIfAborted();
        const message = error instanceof Error ? error.message : String(error);
        this.#note(record, workload, step, 'failed', `undo: ${message}`);
        this.#log.error(
          { err: error, deployment: record.id, workload: workload.name, step: step.name, trace: record.trace },
          'undo failed, it will be tried again',
        );
        return false;
      }
    }
    this.#journal.release(record.id, workload.name);
    this.#settled.emit('change');
    return true;
  }

  #isPauseDue({ id, workloads }: DeploymentRecord): boolean {
    const wanted = this.#pauses.get(id);
    if (wanted === undefined) return false;
    return workloads.some((one) => one.removal === undefined && one.state === (wanted ? 'ok' : 'paused'));
  }

  /** Machines stop before what they use is flagged, and go on after it. */
  async #applyPause(record: DeploymentRecord, signal: AbortSignal): Promise<void> {
    const paused = this.#pauses.get(record.id) === true;
    const document = parseDeployment(record.document);
    const ordered = inOrder(record.workloads);
    for (const workload of paused ? ordered.reverse() : ordered) {
      if (workload.removal !== undefined || workload.state !== (paused ? 'ok' : 'paused')) continue;
      // A machine may have vanished while it was paused, with the host.
      if (!paused) await this.#repair(record, document, workload, [], signal);
      await this.#workOf(record, document, workload).pause?.(paused, { deadlineMs: PAUSE_DEADLINE_MS, signal });
      const { name, data } = workload;
      this.#journal.finish(record.id, name, paused ? { state: 'paused' } : { state: 'ok', data });
      this.#settled.emit('change');
    }
  }

  /** After a start: is what runs by the journal really there? */
  async #verify(record: DeploymentRecord, signal: AbortSignal): Promise<boolean> {
    const document = parseDeployment(record.document);
    let isWhole = true;
    for (const workload of inOrder(record.workloads)) {
      if (workload.state !== 'ok' || workload.removal !== undefined) continue;
      try {
        await this.#repair(record, document, workload, [], signal);
      } catch (error) {
        signal.throwIfAborted();
        isWhole = false;
        this.#log.error(
          { err: error, deployment: record.id, workload: workload.name, trace: record.trace },
          'workload is not there and could not be made again yet',
        );
      }
    }
    return isWhole;
  }

  async #repair(
    record: DeploymentRecord,
    document: Deployment,
    workload: WorkloadRecord,
    before: readonly Promise<void>[],
    signal: AbortSignal,
  ): Promise<void> {
    const work = this.#workOf(record, document, workload);
    if (await work.present({ deadlineMs: 10_000, signal })) return;
    if (driverOf(workload.name, workload.type).remake) {
      await this.#steps(record, workload, work, before, signal);
      return;
    }
    // An empty disk in the place of a lost one would hide the loss.
    this.#log.error(
      { deployment: record.id, workload: workload.name, type: workload.type, trace: record.trace },
      'stored data of a running deployment is missing',
    );
  }

  #workOf(record: DeploymentRecord, document: Deployment, { name, type }: WorkloadRecord): Work {
    const workload = findWorkload(document, name);
    if (workload === undefined) throw new Error(`the signed document of ${record.id} has no workload '${name}'`);
    const { daemons, guest } = this.#options;
    const id = workloadId(record.twin, record.contract, name);
    return driverOf(name, type).work({ id, workload, deployment: document, daemons, guest });
  }

  #note(
    record: DeploymentRecord,
    workload: WorkloadRecord,
    step: Step,
    state: StepEntry['state'],
    message: string,
  ): void {
    const entry = { workload: workload.name, step: step.name, state, message, at: Date.now(), trace: record.trace };
    this.#journal.recordStep(record.id, entry);
    this.#options.onStep?.(record, entry);
  }

  #find(id: DeploymentId, workload: string): WorkloadRecord | undefined {
    return this.#journal.deployment(id)?.workloads.find((one) => one.name === workload);
  }

  async #until(signal: AbortSignal, isSo: () => boolean): Promise<void> {
    while (!isSo()) await once(this.#settled, 'change', { signal });
  }
}
