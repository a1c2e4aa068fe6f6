/** Runs one unit: start, readiness, restart with back-off, stop. */
import { type ChildProcess, spawn } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { UnitLog } from './log.ts';
import { isAlive, killGroup, markProcess, type ProcessMark, signalProcess } from './process.ts';
import { readMark, writeMark } from './record.ts';
import type { Unit } from './unit.ts';

/** As zinit names them: waiting, started, tested and ready, ended well, ended badly. */
export type UnitState = 'blocked' | 'spawned' | 'running' | 'success' | 'error' | 'stopped';

export interface UnitStatus {
  readonly name: string;
  readonly state: UnitState;
  readonly pid: number | undefined;
  readonly restarts: number;
  /** Milliseconds since 1970 of the last change of state. */
  readonly since: number;
  /** Why it is not running, in a sentence; empty otherwise. */
  readonly reason: string;
}

export interface RunnerOptions {
  readonly logFolder: string;
  readonly recordFolder: string;
  readonly onChange: (status: UnitStatus) => void;
}

const BACKOFF_FIRST_MS = 250;
const BACKOFF_LAST_MS = 30_000;
/** Running this long without a death forgets earlier deaths. */
const BACKOFF_FORGET_MS = 60_000;
const TEST_FIRST_MS = 20;
const TEST_LAST_MS = 1_000;
const TEST_DEADLINE_MS = 5_000;

export class Runner {
  readonly unit: Unit;
  #options: RunnerOptions;
  #state: UnitState = 'blocked';
  #since = Date.now();
  #reason = '';
  #restarts = 0;
  #child: ChildProcess | undefined;
  #mark: ProcessMark | undefined;
  #wanted: AbortController | undefined;
  #loop: Promise<void> = Promise.resolve();
  /** The end of the last stop, which may be under way. */
  #stopped: Promise<void> = Promise.resolve();
  #log: UnitLog | undefined;

  constructor(unit: Unit, options: RunnerOptions) {
    this.unit = unit;
    this.#options = options;
  }

  get status(): UnitStatus {
    return {
      name: this.unit.name,
      state: this.#state,
      pid: this.#child?.pid,
      restarts: this.#restarts,
      since: this.#since,
      reason: this.#reason,
    };
  }

  /** Whether units that come after this one may start. */
  get ready(): boolean {
    return this.#state === 'running' || this.#state === 'success';
  }

  /** Starts and keeps it running until `stop`. Returns at once. */
  start(): void {
    if (this.#wanted !== undefined) return;
    const wanted = new AbortController();
    this.#wanted = wanted;
    // Not beside a process that still is being stopped.
    this.#loop = this.#stopped.catch(() => undefined).then(() => this.#keepRunning(wanted.signal));
  }

  /** Sends the stop signal, then SIGKILL after the unit's time-out; ends when it is gone, whoever asked first. */
  stop(): Promise<void> {
    const wanted = this.#wanted;
    if (wanted !== undefined) {
      this.#wanted = undefined;
      wanted.abort();
      const loop = this.#loop;
      this.#stopped = this.#stopped.catch(() => undefined).then(() => this.#end(loop));
    }
    return this.#stopped;
  }

  async #end(loop: Promise<void>): Promise<void> {
    await this.#endProcess();
    await loop;
    this.#change('stopped', '');
  }

  /** Signals the running process; false when there is none. */
  signal(name: NodeJS.Signals): boolean {
    if (this.#mark === undefined || !isAlive(this.#mark)) return false;
    process.kill(this.#mark.pid, name);
    return true;
  }

  #change(state: UnitState, reason: string): void {
    this.#state = state;
    this.#reason = reason;
    this.#since = Date.now();
    this.#options.onChange(this.status);
  }

  async #keepRunning(stopped: AbortSignal): Promise<void> {
    await this.#endLeftover();
    this.#log =
      this.unit.log === 'none' ? undefined : new UnitLog(join(this.#options.logFolder, `${this.unit.name}.log`));
    let delayMs = BACKOFF_FIRST_MS;
    while (!stopped.aborted) {
      const startedAt = Date.now();
      const ended = await this.#runOnce(stopped).catch((error: Error) => ({ ok: false, text: error.message }));
      if (stopped.aborted) break;
      if (this.unit.oneshot && ended.ok) {
        this.#change('success', '');
        break;
      }
      this.#restarts++;
      if (Date.now() - startedAt > BACKOFF_FORGET_MS) delayMs = BACKOFF_FIRST_MS;
      this.#change('error', `${ended.text}; starts again in ${delayMs} ms`);
      await sleep(delayMs, undefined, { signal: stopped }).catch(() => undefined);
      delayMs = Math.min(delayMs * 2, BACKOFF_LAST_MS);
    }
    this.#log?.close();
    this.#log = undefined;
  }

  /** A process of an earlier supervisor that was killed would compete with the new one. */
  async #endLeftover(): Promise<void> {
    const mark = await readMark(this.#options.recordFolder, this.unit.name);
    if (mark === undefined || !isAlive(mark)) return;
    signalProcess(mark, this.unit.stopSignal);
    const until = Date.now() + this.unit.shutdownTimeoutMs;
    while (isAlive(mark) && Date.now() < until) await sleep(20);
    if (isAlive(mark)) killGroup(mark.pid);
  }

  async #runOnce(stopped: AbortSignal): Promise<{ readonly ok: boolean; readonly text: string }> {
    const { unit } = this;
    const [file, ...args] = unit.exec as [string, ...string[]];
    const child = spawn(file, args, {
      env: { ...process.env, ...unit.env },
      ...(unit.dir === undefined ? {} : { cwd: unit.dir }),
      stdio: unit.log === 'stdout' ? ['ignore', 'inherit', 'inherit'] : ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.#child = child;
    const ended = new Promise<{ ok: boolean; text: string }>((resolve) => {
      child.on('error', (error) => resolve({ ok: false, text: `cannot start ${file}: ${error.message}` }));
      child.on('exit', (code, signal) => {
        resolve({ ok: code === 0, text: signal === null ? `ended with status ${code}` : `was ended by ${signal}` });
      });
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => this.#log?.write(chunk));
    }
    if (child.pid !== undefined) {
      this.#mark = markProcess(child.pid);
      // Without its record the unit still runs: a full disk costs no more than the clean-up after a killed supervisor.
      if (this.#mark !== undefined) {
        await writeMark(this.#options.recordFolder, unit.name, this.#mark).catch(() => undefined);
      }
    }
    this.#change('spawned', '');
    const over = new AbortController();
    const readiness = this.#untilReady(AbortSignal.any([stopped, over.signal]));
    const result = await ended;
    over.abort();
    await readiness;
    // What the unit left in its group goes with it, or the next start finds its ports taken.
    if (child.pid !== undefined) killGroup(child.pid);
    this.#child = undefined;
    this.#mark = undefined;
    await rm(join(this.#options.recordFolder, `${unit.name}.json`), { force: true }).catch(() => undefined);
    return result;
  }

  async #untilReady(over: AbortSignal): Promise<void> {
    if (this.unit.oneshot) return;
    const [file, ...args] = this.unit.test;
    let delayMs = TEST_FIRST_MS;
    while (file !== undefined && !over.aborted && !(await testPasses(file, args, this.unit, over))) {
      await sleep(delayMs, undefined, { signal: over }).catch(() => undefined);
      delayMs = Math.min(delayMs * 1.5, TEST_LAST_MS);
    }
    if (!over.aborted) this.#change('running', '');
  }

  async #endProcess(): Promise<void> {
    const { unit } = this;
    const mark = this.#mark;
    if (mark === undefined) return;
    signalProcess(mark, unit.stopSignal);
    const until = Date.now() + unit.shutdownTimeoutMs;
    while (isAlive(mark) && Date.now() < until) await sleep(10);
    if (isAlive(mark)) killGroup(mark.pid);
  }
}

/** Never rejects: a test that cannot be started has not passed. */
function testPasses(file: string, args: readonly string[], unit: Unit, over: AbortSignal): Promise<boolean> {
  return new Promise<boolean>((resolve) => {
    const test = spawn(file, args, {
      env: { ...process.env, ...unit.env },
      ...(unit.dir === undefined ? {} : { cwd: unit.dir }),
      stdio: 'ignore',
      timeout: TEST_DEADLINE_MS,
      killSignal: 'SIGKILL',
      signal: over,
    });
    test.on('error', () => resolve(false));
    test.on('exit', (code) => resolve(code === 0));
  }).catch(() => false);
}
