/** Runs every task by its schedule: one run of a task at a time, heavy tasks one after the other. */
import type { Logger } from 'pino';
import { GridError } from '../../../schemas/errors/index.ts';
import type { Clock } from './clock.ts';
import { Cron } from './cron.ts';
import type { Results } from './results.ts';
import type { Json, Task, TaskResult } from './task.ts';

/** The calendar is looked at again at least so often: it may have been set meanwhile. */
const LONGEST_SLEEP_MS = 60_000;
/** A calendar that went back by more than this was set. */
const BACKWARD_MS = 5_000;
/** Waits before a failed run is tried again; after the last the next scheduled run is awaited. */
const RETRY_AFTER_MS = [60_000, 300_000] as const;
/** What a run that was told to stop may still take for it. */
const GRACE_MS = 5_000;

export interface MonitorOptions {
  readonly tasks: readonly Task[];
  readonly results: Results;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** From 0 to below 1. */
  readonly random?: () => number;
}

/** One task as its operator sees it. */
export interface TaskState {
  readonly name: string;
  readonly schedule: string;
  readonly jitterSeconds: number;
  readonly running: boolean;
  /** Unix seconds; 0 while nothing is planned. */
  readonly nextRun: number;
  /** Why the last run failed; empty when it did not. */
  readonly lastError: string;
}

interface Entry {
  readonly task: Task;
  readonly cron: Cron;
  running: Promise<TaskResult> | undefined;
  /** A run that was given up and has not ended. */
  straggler: boolean;
  nextRunMs: number;
  lastError: string;
}

export class PerformanceMonitor {
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #results: Results;
  readonly #clock: Clock;
  readonly #log: MonitorOptions['log'];
  readonly #random: () => number;
  readonly #stopping = new AbortController();
  #heavy: Promise<unknown> = Promise.resolve();

  /** @throws Error where a schedule cannot be read */
  constructor({ tasks, results, clock, log, random = Math.random }: MonitorOptions) {
    this.#entries = new Map(
      tasks.map((task) => [
        task.name,
        {
          task,
          cron: new Cron(task.schedule),
          running: undefined,
          straggler: false,
          nextRunMs: 0,
          lastError: '',
        },
      ]),
    );
    this.#results = results;
    this.#clock = clock;
    this.#log = log;
    this.#random = random;
  }

  /** Keeps to the schedules until `stop`. */
  async start(): Promise<void> {
    await Promise.all([...this.#entries.values()].map((entry) => this.#keep(entry)));
  }

  /** Ends waiting and running tasks; resolves when no run is left, or after their time to stop. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the daemon stops'));
    await Promise.allSettled([...this.#entries.values()].flatMap(({ running }) => running ?? []));
  }

  /** @throws GridError `perf_result_missing` where no such task has run yet, or none is of that name */
  get(name: string): TaskResult {
    const found = this.#entries.has(name) ? this.#results.get(name) : undefined;
    if (found === undefined) throw new GridError('perf_result_missing', { task: name });
    return found;
  }

  all(): TaskResult[] {
    return [...this.#entries.keys()].flatMap((name) => this.#results.get(name) ?? []);
  }

  states(): TaskState[] {
    return [...this.#entries.values()].map(({ task, running, nextRunMs, lastError }) => ({
      name: task.name,
      schedule: task.schedule,
      jitterSeconds: task.jitterSeconds,
      running: running !== undefined,
      nextRun: Math.floor(nextRunMs / 1000),
      lastError,
    }));
  }

  /** Runs a task now; one that runs already is waited for. @throws GridError `perf_task_unknown`, `perf_run_failed` */
  async runNow(name: string): Promise<TaskResult> {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw new GridError('perf_task_unknown', { task: name, tasks: [...this.#entries.keys()] });
    try {
      return await this.#run(entry);
    } catch (error) {
      throw new GridError('perf_run_failed', { task: name, reason: messageOf(error) }, { cause: error });
    }
  }

  async #keep(entry: Entry): Promise<void> {
    const { task } = entry;
    const { signal } = this.#stopping;
    try {
      if (this.#results.get(task.name) === undefined) {
        const delayMs = task.firstAfterSeconds * 1000;
        entry.nextRunMs = this.#clock.now() + delayMs;
        await this.#clock.sleep(delayMs, signal);
        // The operator may have been first.
        if (this.#results.get(task.name) === undefined) await this.#attempts(entry);
      }
      while (!signal.aborted) {
        await this.#untilDue(entry);
        await this.#attempts(entry);
      }
    } catch (error) {
      if (!signal.aborted) this.#log.error({ err: error, task: task.name }, 'the schedule of a measurement ended');
    }
  }

  /**
   * Waits for the task's next time by the calendar, and its chance delay. When the calendar is set
   * forward past it, it is due once; when it is set back, the next time is found anew.
   */
  async #untilDue(entry: Entry): Promise<void> {
    const { signal } = this.#stopping;
    const plan = (): number =>
      entry.cron.next(this.#clock.now()) + Math.floor(this.#random() * entry.task.jitterSeconds) * 1000;
    entry.nextRunMs = plan();
    let seen = this.#clock.now();
    for (;;) {
      const now = this.#clock.now();
      if (now < seen - BACKWARD_MS) entry.nextRunMs = plan();
      seen = now;
      const leftMs = entry.nextRunMs - now;
      if (leftMs <= 0) return;
      await this.#clock.sleep(Math.min(leftMs, LONGEST_SLEEP_MS), signal);
    }
  }

  /** One scheduled run; tried again while it fails and tries are left. */
  async #attempts(entry: Entry): Promise<void> {
    const { signal } = this.#stopping;
    for (let tried = 1; ; tried++) {
      try {
        await this.#run(entry);
        return;
      } catch (error) {
        signal.throwIfAborted();
        const retryMs = RETRY_AFTER_MS[tried - 1];
        this.#log.warn({ task: entry.task.name, tried, retryMs, reason: messageOf(error) }, 'a measurement failed');
        if (retryMs === undefined) return;
        entry.nextRunMs = this.#clock.now() + retryMs;
        await this.#clock.sleep(retryMs, signal);
      }
    }
  }

  #run(entry: Entry): Promise<TaskResult> {
    entry.running ??= this.#inTurn(entry)
      .then(
        (result) => {
          entry.lastError = '';
          return result;
        },
        (error: unknown) => {
          entry.lastError = messageOf(error);
          throw error;
        },
      )
      .finally(() => {
        entry.running = undefined;
      });
    return entry.running;
  }

  #inTurn(entry: Entry): Promise<TaskResult> {
    if (!entry.task.isHeavy) return this.#once(entry);
    const turn = this.#heavy.then(() => this.#once(entry));
    this.#heavy = turn.catch(() => undefined);
    return turn;
  }

  async #once(entry: Entry): Promise<TaskResult> {
    const { task } = entry;
    const startedAt = performance.now();
    const result = await this.#bounded(entry);
    const found: TaskResult = {
      name: task.name,
      description: task.description,
      timestamp: Math.floor(this.#clock.now() / 1000),
      result,
    };
    await this.#results.put(found);
    this.#log.info({ task: task.name, tookMs: Math.round(performance.now() - startedAt) }, 'measured');
    return found;
  }

  /** The task's work within its deadline. One that ignores it keeps its place until it ends. */
  async #bounded(entry: Entry): Promise<Json> {
    const { task } = entry;
    if (entry.straggler) throw new Error(`the run of ${task.name} that was given up has not ended yet`);
    const run = new AbortController();
    const waiting = new AbortController();
    const stop = (): void => run.abort(this.#stopping.signal.reason);
    this.#stopping.signal.throwIfAborted();
    this.#stopping.signal.addEventListener('abort', stop, { once: true });
    entry.straggler = true;
    const working = (async () => await task.run(run.signal))().finally(() => {
      entry.straggler = false;
    });
    const late = new Error(`${task.name} was not finished within ${task.deadlineMs} ms`);
    const deadline = this.#clock.sleep(task.deadlineMs, AbortSignal.any([waiting.signal, run.signal])).then(
      () => run.abort(late),
      () => undefined,
    );
    const givenUp = deadline
      .then(() => (waiting.signal.aborted ? undefined : this.#clock.sleep(GRACE_MS, waiting.signal)))
      .then(() => {
        throw run.signal.reason ?? late;
      });
    givenUp.catch(() => undefined);
    try {
      return await Promise.race([working, givenUp]);
    } catch (error) {
      throw run.signal.aborted ? (run.signal.reason ?? error) : error;
    } finally {
      waiting.abort();
      this.#stopping.signal.removeEventListener('abort', stop);
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
