/**
 * Makes the host follow the journal. Each deployment with something to do has a lane of its own: what
 * is to be done is read from the journal, done, written to the journal, and read again, until nothing
 * is left. A restart is the same thing begun later. Lanes wait for places, fairly between twins; what
 * is to be removed, paused or resumed has places of its own and waits behind nothing else.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { span, withTrace } from '../../modules/zbus/trace.ts';
import type { DeploymentId, DeploymentRecord } from '../store/journal.ts';
import type { OperationRecord } from '../store/operations.ts';
import { Alone } from './alone.ts';
import { Lane, type Urgency } from './lane.ts';
import { Interrupted, isPoison, keptReason } from './later.ts';
import { ENGINE_LIMITS, type EngineLimits } from './limits.ts';
import { countLanes, type EngineNumbers, type LanePlaces, positionsIn } from './numbers.ts';
import { outcomeOf } from './outcome.ts';
import { Places, type Release } from './places.ts';
import { Provisioning } from './provisioning.ts';
import { isUnfinished } from './record.ts';
import { Removal } from './removal.ts';
import { type About, Settled } from './settled.ts';
import { type EngineOptions, Steps } from './steps.ts';
import { hasWork, takeTurn, urgencyOf } from './turn.ts';

type Verdict = 'again' | 'over' | { readonly error: unknown };

export class Engine {
  readonly #options: EngineOptions;
  readonly #limits: EngineLimits;
  readonly #lanes = new Map<DeploymentId, Lane>();
  readonly #places: LanePlaces;
  readonly #alone: Alone;
  /** What was worked on each time the process died. */
  readonly #suspects = new Set<DeploymentId>();
  readonly #settled = new Settled();
  readonly #steps: Steps;
  readonly #provisioning: Provisioning;
  readonly #removal: Removal;
  /** No step begins after it. */
  readonly #ending = new AbortController();
  #whenIdle: (() => void)[] = [];

  constructor(options: EngineOptions) {
    const limits = options.limits ?? ENGINE_LIMITS;
    this.#options = options;
    this.#limits = limits;
    this.#places = {
      urgent: new Places(...limits.urgentLanes),
      work: new Places(...limits.lanes),
      verify: new Places(...limits.verifyingLanes),
    };
    this.#alone = new Alone([this.#places.work, this.#places.verify], limits.poison.aloneMs, this.#ending.signal);
    this.#steps = new Steps(options);
    this.#provisioning = new Provisioning(options, this.#steps, this.#settled, {
      isVerified: (id, workload) => this.#isVerified(id, workload),
    });
    this.#removal = new Removal(options.journal, this.#steps, this.#settled);
  }

  /**
   * Goes on with everything in the journal: what is unfinished first, then what is to be looked for on
   * the host, networks before what stands on them. Returns at once.
   */
  resume(): void {
    const { journal } = this.#options;
    this.#suspect(journal.pending());
    const unfinished = journal.unfinished();
    const isFirst = new Set(unfinished.map(({ id }) => id));
    const settled = journal.deployments().filter(({ id }) => !isFirst.has(id));
    const hasNetwork = (record: DeploymentRecord): boolean =>
      record.workloads.some((one) => one.held?.network !== undefined);
    const order = [...unfinished, ...settled.filter(hasNetwork), ...settled.filter((one) => !hasNetwork(one))];
    // All are known to be unverified before the first is worked on.
    const lanes = order.map(({ id, twin }) => {
      const lane = new Lane(id, twin);
      lane.unverified = true;
      this.#lanes.set(id, lane);
      return lane;
    });
    for (const lane of lanes) this.#begin(lane);
  }

  /** Runs a deployment that was accepted just now, or its new version: a lane at work looks at the journal again. */
  submit(id: DeploymentId): void {
    this.#ask(id);
  }

  /** Looks again after every change of a workload until it is so. Throws an `AbortError` when the signal aborts first. */
  until(signal: AbortSignal, isSo: () => boolean, about?: About): Promise<void> {
    return this.#settled.until(signal, isSo, about);
  }

  /** Wants a deployment gone; overtakes its run. False when there is none or it is on its way out. */
  cancel(id: DeploymentId, reason: string): boolean {
    if (!this.#options.journal.cancel(id, reason)) return false;
    this.#ask(id);
    return true;
  }

  /**
   * Pauses what runs, or lets what is paused go on; the journal keeps the wish. Overtakes the run. False
   * when it is wanted so already, or there is none to pause.
   */
  pause(id: DeploymentId, paused: boolean, reason = ''): boolean {
    if (!this.#options.journal.pause(id, paused, reason)) return false;
    this.#ask(id);
    return true;
  }

  /**
   * Removes one workload through its deployment's lane; resolves when it is gone
   * or had failed before. Throws an `AbortError` when the signal aborts first.
   */
  async decommission(id: DeploymentId, workload: string, reason: string, signal: AbortSignal): Promise<void> {
    const { journal } = this.#options;
    if (journal.decommission(id, workload, reason)) this.#ask(id);
    const isGone = (): boolean => {
      const found = journal.deployment(id)?.workloads.find((one) => one.name === workload);
      return found === undefined || found.removal === undefined || found.held === undefined;
    };
    await this.#settled.until(signal, isGone, { deployment: id });
  }

  /** Looks for what runs of it on the host and makes again what vanished, when its turn comes. */
  recheck(id: DeploymentId): void {
    const record = this.#options.journal.deployment(id);
    if (record === undefined || this.#ending.signal.aborted) return;
    const lane = this.#lanes.get(id) ?? this.#newLane(record);
    lane.unverified = true;
    lane.seen.clear();
    // What waits for its turn sees it then, and what was put aside when its time has come.
    const isToBeAsked = lane.isResting ? !lane.isParked : !lane.isWaiting;
    if (lane.running === undefined && isToBeAsked) this.#ask(id);
  }

  /**
   * Runs `work` in the place of the deployment's lane, whether or not the journal knows it: whoever asks for
   * something meanwhile has it done after. False at once when its lane is at work, or the engine stops.
   */
  async aside(id: DeploymentId, work: () => Promise<void>): Promise<boolean> {
    const found = this.#lanes.get(id);
    if (this.#ending.signal.aborted || found?.running !== undefined) return false;
    const lane = found ?? this.#newLane({ id, twin: Number(id.split('-')[0]) });
    lane.leave();
    lane.enter();
    const { ending } = lane.hands();
    const ended = Promise.withResolvers<void>();
    lane.running = ended.promise;
    try {
      await work();
      return true;
    } finally {
      lane.running = undefined;
      ended.resolve();
      if (this.#ending.signal.aborted || (found === undefined && !ending.aborted)) this.#leave(lane);
      else if (lane.isParked) this.#sleep(lane, Math.max(0, lane.parkedUntil - performance.now()));
      else this.#queue(lane);
    }
  }

  /** Resolves when no lane has work left. */
  async idle(): Promise<void> {
    if (this.#lanes.size > 0) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  /**
   * Lets the steps under way end, for a moment, and begins no other; what is unfinished goes on at the next
   * start. Resolves within a deadline, whatever hangs.
   */
  async stop(): Promise<void> {
    const { stopGraceMs, stopDeadlineMs } = this.#limits;
    const reason = new Interrupted('the engine stops');
    this.#ending.abort(reason);
    for (const lane of [...this.#lanes.values()]) {
      lane.stop(reason, false);
      if (lane.running !== undefined) continue;
      lane.leave();
      this.#leave(lane);
    }
    const idle = this.idle();
    await Promise.race([idle, sleep(stopGraceMs, undefined, { ref: false })]);
    for (const lane of this.#lanes.values()) lane.stop(reason, true);
    await Promise.race([idle, sleep(stopDeadlineMs, undefined, { ref: false })]);
    if (this.#lanes.size === 0) return;
    const { journal, log } = this.#options;
    log.error({ lanes: this.#lanes.size }, 'lanes did not end in time');
    try {
      // The process did not die of them.
      for (const id of this.#lanes.keys()) journal.end(id, 'queued', '');
    } catch (error) {
      log.error({ err: error }, 'the journal does not take that lanes were stopped');
    }
  }

  get numbers(): EngineNumbers {
    const { repairs } = this.#provisioning.restoring;
    return { ...countLanes(this.#lanes.values(), this.#places), repairs, steps: this.#steps.numbers };
  }

  /** How many others are served before each deployment that waits for a place. */
  positions(): ReadonlyMap<DeploymentId, number> {
    return positionsIn(this.#places, this.#alone.keys);
  }

  #isVerified(id: DeploymentId, workload: string): boolean {
    const lane = this.#lanes.get(id);
    return lane === undefined || !lane.unverified || lane.seen.has(workload);
  }

  #newLane({ id, twin }: Pick<DeploymentRecord, 'id' | 'twin'>): Lane {
    const lane = new Lane(id, twin);
    this.#lanes.set(id, lane);
    return lane;
  }

  /** Something was asked of it: what it does is ended, what it waits for is not waited for any more. */
  #ask(id: DeploymentId): void {
    const record = this.#options.journal.deployment(id);
    if (this.#ending.signal.aborted || record === undefined) return;
    const lane = this.#lanes.get(id) ?? this.#newLane(record);
    lane.failures = 0;
    lane.delayMs = 0;
    lane.isParked = false;
    if (lane.running === undefined) this.#queue(lane);
    else lane.interrupt();
  }

  /** What was worked on at each of several deaths of the process runs alone, and then no more. */
  #suspect(operations: readonly OperationRecord[]): void {
    const { suspectCrashes } = this.#limits.poison;
    for (const one of operations) {
      if (one.crashes >= suspectCrashes) this.#suspects.add(one.deployment);
    }
  }

  /** The first turn after the start. */
  #begin(lane: Lane): void {
    const { journal } = this.#options;
    const { crashes: limit } = this.#limits.poison;
    if (!this.#suspects.has(lane.id)) {
      this.#queue(lane);
      return;
    }
    const crashes = Math.max(0, ...journal.pending(lane.id).map((one) => one.crashes));
    if (crashes < limit) {
      this.#queue(lane);
      return;
    }
    try {
      this.#park(lane, `the process ended ${crashes} times while this was worked on`);
    } catch (error) {
      this.#options.log.error({ err: error, deployment: lane.id }, 'the journal does not take that a lane is parked');
    }
  }

  #queue(lane: Lane): void {
    lane.leave();
    lane.isResting = false;
    if (this.#suspects.has(lane.id)) {
      lane.wait(this.#alone.queue(lane.id, () => this.#run(lane, undefined)));
      return;
    }
    const urgency = urgencyOf(this.#options.journal.deployment(lane.id));
    const places = this.#places[urgency];
    const granted = (release: Release): void => {
      this.#run(lane, urgency, places, release).catch((error: unknown) => {
        this.#options.log.error({ err: error, deployment: lane.id }, 'lane ended');
      });
    };
    const leave = places.queue(lane.twin, granted, lane.id);
    if (lane.running === undefined) lane.wait(leave);
  }

  /** One turn in a place, or alone. Never rejects. */
  #run(lane: Lane, urgency: Urgency | undefined, places?: Places, release?: Release): Promise<void> {
    lane.enter(places, release);
    const trace = this.#options.journal.deployment(lane.id)?.trace ?? '';
    lane.running = withTrace(trace, () =>
      span('lane', { 'gridnode.deployment': lane.id }, () => this.#drive(lane, urgency)),
    ).then((verdict) => {
      lane.running = undefined;
      lane.exit();
      this.#after(lane, verdict);
    });
    return lane.running;
  }

  /** Looks, acts, looks again, for as long as its place is the right one. */
  async #drive(lane: Lane, urgency: Urgency | undefined): Promise<Verdict> {
    // Not before its caller knows that it runs.
    await undefined;
    for (;;) {
      const hands = lane.hands();
      try {
        if (this.#ending.signal.aborted) return 'again';
        const record = this.#options.journal.deployment(lane.id);
        if (record === undefined) return 'over';
        const wanted = urgencyOf(record);
        if (urgency !== undefined && wanted !== urgency && wanted !== 'verify') return 'again';
        const operations = this.#options.journal.begin(lane.id);
        if (!hasWork(record, lane, operations)) {
          this.#settle(record, operations);
          return 'over';
        }
        await takeTurn(this.#parts, record, operations, lane, hands);
        lane.failures = 0;
        lane.delayMs = 0;
      } catch (error) {
        if (!hands.ending.aborted) return { error };
      }
    }
  }

  readonly #settle = (record: DeploymentRecord, operations: readonly OperationRecord[]): void => {
    const { journal } = this.#options;
    for (const operation of operations) {
      const { state, error } = outcomeOf(operation, record, journal);
      journal.end(record.id, state, error, operation.id);
    }
  };

  #after(lane: Lane, verdict: Verdict): void {
    // A turn that ended did not end the process.
    this.#suspects.delete(lane.id);
    try {
      if (this.#ending.signal.aborted) {
        if (verdict !== 'over') this.#options.journal.end(lane.id, 'queued', '');
        this.#leave(lane);
      } else if (verdict === 'over' && !lane.isInterrupted) this.#leave(lane);
      // Also what was asked after the turn had decided that it was over.
      else if (verdict === 'over' || verdict === 'again') this.#queue(lane);
      else this.#failed(lane, verdict.error);
    } catch (error) {
      this.#options.log.error({ err: error, deployment: lane.id }, 'the journal does not take how a lane ended');
      if (this.#ending.signal.aborted) this.#leave(lane);
      else if (!lane.isResting) this.#rest(lane);
    }
  }

  #failed(lane: Lane, error: unknown): void {
    const { journal, log } = this.#options;
    if (isPoison(error)) {
      lane.failures += 1;
      if (lane.failures >= this.#limits.poison.failures) {
        this.#park(lane, keptReason(error), error);
        return;
      }
      log.warn({ err: error, deployment: lane.id }, 'lane failed, it will be tried again');
    }
    this.#rest(lane);
    journal.end(lane.id, 'queued', keptReason(error));
  }

  #rest(lane: Lane): void {
    const [firstMs, mostMs] = this.#limits.laterMs;
    lane.delayMs = lane.delayMs === 0 ? firstMs : Math.min(lane.delayMs * 2, mostMs);
    this.#sleep(lane, lane.delayMs);
  }

  /** The node goes on without it: what is parked is tried again after a long time, or when something is asked of it. */
  #park(lane: Lane, reason: string, error?: unknown): void {
    const { journal, log } = this.#options;
    const { parkMs } = this.#limits.poison;
    lane.isParked = true;
    lane.parkedUntil = performance.now() + parkMs;
    this.#sleep(lane, parkMs);
    const trace = journal.deployment(lane.id)?.trace;
    log.error({ err: error, trace, deployment: lane.id, reason, failures: lane.failures }, 'deployment parked');
    journal.end(lane.id, 'parked', reason);
  }

  #sleep(lane: Lane, ms: number): void {
    lane.leave();
    lane.isResting = true;
    const timer = setTimeout(() => {
      // Untried for so long, it may do harm again.
      if (lane.isParked && lane.failures === 0) this.#suspects.add(lane.id);
      lane.isParked = false;
      this.#queue(lane);
    }, ms);
    lane.wait(() => clearTimeout(timer));
  }

  /** Whoever asks for something after this gets a lane of its own. */
  #leave(lane: Lane): void {
    if (this.#lanes.get(lane.id) !== lane) return;
    this.#lanes.delete(lane.id);
    const record = this.#options.journal.deployment(lane.id);
    this.#settled.tell(lane.id, lane.twin);
    if (record === undefined) this.#provisioning.restoring.forget(lane.id);
    else if (!this.#ending.signal.aborted && !isUnfinished(record)) this.#options.onSettled?.(record);
    if (this.#lanes.size > 0) return;
    for (const idle of this.#whenIdle.splice(0)) idle();
  }

  get #parts() {
    const { journal } = this.#options;
    return { journal, provisioning: this.#provisioning, removal: this.#removal, settled: this.#settled };
  }
}
