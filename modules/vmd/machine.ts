/** One virtual machine: started, watched, restarted after a crash, paused, ended. */
import { open, rm, stat, truncate } from 'node:fs/promises';
import type { Logger } from 'pino';
import { GridError, isGridError } from '../../schemas/errors/index.ts';
import type { MachineGroups } from './cgroup.ts';
import type { MachineConfig } from './config.ts';
import { consoleTail, LOG_TAIL_BYTES, printable } from './console.ts';
import { type CrashPolicy, HOST_FULL_RETRY_MS, isHostFull, judgeCrash, shownReason } from './crashes.ts';
import type { VirtualMachine } from './drivers/driver.ts';
import { launch, startConsole } from './launch.ts';
import { type MachinePaths, machineUser, type Paths } from './paths.ts';
import { isAlive, killGroup, type ProcessIdentity, waitGone } from './processes.ts';
import { sharesOf } from './qemu/arguments.ts';
import { Qmp, type QmpEvent } from './qemu/qmp.ts';
import { type MachineRecord, removeRecord, saveRecord } from './record.ts';
import { endProcesses, removeRuntime, stopGracefully } from './shutdown.ts';

const COMMAND_MS = 5000;
const RECONNECT_MS = 3000;
/** Bytes of QEMU's and the share servers' own words that are kept. */
const PROCESS_LOG_LIMIT_BYTES = 1024 * 1024;
const GIVE_UP_ATTEMPTS = 10;
const GIVE_UP_RETRY_MS = 15_000;

export interface MachineContext {
  readonly paths: Paths;
  readonly groups: MachineGroups;
  readonly log: Logger;
  readonly bootId: string;
  readonly accelerator: 'kvm' | 'tcg';
  /** A fixed user, a user of its own for every machine, or none other than vmd's. */
  readonly user: number | 'own' | 'same';
  readonly policy: CrashPolicy;
  /** Tells the owner that the machine crashed too often. */
  readonly gaveUp: (name: string, reason: string) => Promise<void>;
  /** Called when nothing is left of the machine. */
  readonly removed: (name: string) => void;
}

export class Machine implements VirtualMachine {
  readonly #context: MachineContext;
  readonly #record: MachineRecord;
  readonly #paths: MachinePaths;
  readonly #log: Logger;
  #qmp: Qmp | undefined;
  #lane: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #lastReason = '';
  /** Set when vmd stops or the machine is deleted: no event changes anything any more. */
  #closing = false;

  constructor(context: MachineContext, record: MachineRecord) {
    this.#context = context;
    this.#record = record;
    this.#paths = context.paths.of(record.config.name);
    this.#log = context.log.child({ vm: record.config.name });
  }

  static fresh(context: MachineContext, config: MachineConfig): Machine {
    const { bootId } = context;
    return new Machine(context, {
      version: 1,
      config,
      state: 'running',
      reason: '',
      paused: false,
      bootId,
      processes: [],
      crashes: [],
    });
  }

  get config(): MachineConfig {
    return this.#record.config;
  }

  /** Whether it runs or is about to be started again. */
  get exists(): boolean {
    return this.#record.state === 'running' && !this.#closing;
  }

  get consoleLog(): string {
    return this.#paths.consoleLog;
  }

  get id(): string {
    return this.#paths.id;
  }

  /** First start. Leaves nothing behind where it fails. */
  start(): Promise<void> {
    return this.#exclusive(async () => {
      try {
        await this.#launch();
      } catch (error) {
        const failure = await this.#startFailure(error);
        this.#closing = true;
        await this.#dispose();
        throw failure;
      }
    });
  }

  /** Takes over what an earlier vmd started. */
  adopt(): Promise<void> {
    return this.#exclusive(async () => {
      if (this.#record.bootId !== this.#context.bootId) {
        this.#closing = true;
        await this.#dispose();
        return;
      }
      if (this.#record.state === 'given_up') this.#startGivingUp();
      if (this.#record.state !== 'running') return;
      const qemu = this.#process('qemu');
      if (qemu === undefined || !isAlive(qemu)) {
        await this.#crashed('its process ended while vmd was not running');
        return;
      }
      try {
        await this.#connect(qemu);
        this.#log.info({ pid: qemu.pid }, 'adopted running vm');
      } catch (error) {
        this.#log.warn({ err: error }, 'the control socket of a vm does not answer');
        await this.#crashed(`its control socket does not answer: ${shownReason(error)}`);
      }
    });
  }

  /** Pauses or resumes the guest's processors. */
  lock(paused: boolean): Promise<void> {
    return this.#exclusive(async () => {
      this.#record.paused = paused;
      this.#save();
      await this.#qmp?.command(paused ? 'stop' : 'cont', {}, COMMAND_MS);
    });
  }

  /** Processors and memory in MiB as QEMU has them. */
  async inspect(): Promise<{ readonly cpus: number; readonly memoryMib: number }> {
    const qmp = this.#qmp;
    if (qmp === undefined) throw new GridError('machine_unknown', { name: this.config.name });
    const [cpus, memory] = await Promise.all([
      qmp.command('query-cpus-fast', {}, COMMAND_MS) as Promise<readonly unknown[]>,
      qmp.command('query-memory-size-summary', {}, COMMAND_MS) as Promise<{ readonly 'base-memory': number }>,
    ]);
    return { cpus: cpus.length, memoryMib: Math.round(memory['base-memory'] / (1024 * 1024)) };
  }

  /** Ends the machine and removes all that belongs to it. */
  delete(): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#timer);
    return this.#exclusive(async () => {
      const qemu = this.#process('qemu');
      if (this.#qmp !== undefined && qemu !== undefined) await stopGracefully(this.#qmp, qemu, this.#record.paused);
      await this.#dispose();
    });
  }

  /** Lets go of the machine, which runs on. */
  async detach(): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#timer);
    await this.#lane;
    this.#qmp?.close();
  }

  /** Looks after what no event tells: share servers, the console reader, the processes' log. */
  tend(): Promise<void> {
    return this.#exclusive(async () => {
      const qemu = this.#process('qemu');
      if (this.#closing || this.#qmp === undefined || qemu === undefined || !isAlive(qemu)) return;
      const lost = this.#record.processes.find(
        ({ role }) => role.startsWith('share') && !isAliveRole(this.#record, role),
      );
      if (lost !== undefined) {
        this.#lastReason = `its share server ${lost.role} ended`;
        killGroup(qemu);
        return;
      }
      if (!isAliveRole(this.#record, 'console')) await this.#restartConsole();
      const size = await stat(this.#paths.processLog).then(
        (stats) => stats.size,
        () => 0,
      );
      if (size > PROCESS_LOG_LIMIT_BYTES) await truncate(this.#paths.processLog);
    });
  }

  async #restartConsole(): Promise<void> {
    const log = await open(this.#paths.processLog, 'a', 0o600);
    try {
      await startConsole(
        { paths: this.#paths, groups: this.#context.groups, started: (one) => this.#started(one) },
        log,
      );
      this.#log.warn('console reader started again');
    } finally {
      await log.close();
    }
  }

  async #launch(): Promise<void> {
    const { user, groups, accelerator, bootId } = this.#context;
    const { config, paused } = this.#record;
    const since = performance.now();
    this.#record.bootId = bootId;
    this.#record.processes = [];
    this.#lastReason = '';
    this.#save();
    const { qmp, limits } = await launch({
      config,
      paths: this.#paths,
      accelerator,
      user: user === 'own' ? machineUser() : user === 'same' ? undefined : user,
      paused,
      groups,
      started: (identity) => this.#started(identity),
      onEvent: (event) => this.#onEvent(event),
    });
    this.#watch(qmp);
    this.#log.info({ accelerator, limits, tookMs: Math.round(performance.now() - since) }, 'vm started');
  }

  async #connect(qemu: ProcessIdentity): Promise<void> {
    const qmp = await Qmp.connect(this.#paths.control, {
      deadlineMs: RECONNECT_MS,
      onEvent: (event) => this.#onEvent(event),
      giveUp: () => !isAlive(qemu),
    });
    this.#watch(qmp);
    // A pause that was asked for while nobody could tell QEMU.
    await qmp.command(this.#record.paused ? 'stop' : 'cont', {}, COMMAND_MS);
  }

  #watch(qmp: Qmp): void {
    this.#qmp = qmp;
    void qmp.closed
      .then(() => this.#exclusive(() => this.#onClosed(qmp)))
      .catch((error: unknown) => {
        this.#log.error({ err: error }, 'crash could not be handled');
      });
  }

  #onEvent({ event, data }: QmpEvent): void {
    if (event === 'SHUTDOWN') this.#lastReason = `the guest ended (${String(data.reason)})`;
    else if (event === 'GUEST_PANICKED') this.#lastReason = 'the guest panicked';
  }

  async #onClosed(qmp: Qmp): Promise<void> {
    if (this.#qmp !== qmp || this.#closing) return;
    this.#qmp = undefined;
    const qemu = this.#process('qemu');
    if (qemu !== undefined && !(await waitGone([qemu], 1000))) {
      try {
        await this.#connect(qemu);
        return;
      } catch (error) {
        this.#log.warn({ err: error }, 'the control socket of a vm does not answer');
        this.#lastReason = `its control socket does not answer: ${shownReason(error)}`;
      }
    }
    await this.#crashed(this.#lastReason === '' ? 'QEMU ended without a word' : this.#lastReason);
  }

  /** Ends what is left, then starts again after a while or gives up. */
  async #crashed(cause: string): Promise<void> {
    const record = this.#record;
    this.#qmp = undefined;
    await this.#endProcesses();
    // A machine that its owner restarts, and the node's own test machines, stay down.
    if (!record.config.keepAlive || record.config.name.startsWith('healthcheck-vm')) {
      record.state = 'ended';
      record.reason = cause;
      this.#saveIfPossible();
      this.#log.info({ cause }, 'vm ended and is not kept alive');
      return;
    }
    const { crashes, restartInMs } = judgeCrash(record.crashes, Date.now(), this.#context.policy);
    record.crashes = [...crashes];
    if (restartInMs === undefined) {
      const tail = (await consoleTail(this.#paths.consoleLog, 512)) ?? '';
      record.state = 'given_up';
      record.reason = `deleting vm due to so many crashes: ${crashes.length} within ${this.#context.policy.windowMs / 1000} s, the last because ${cause}; end of its console: ${printable(tail)}`;
      this.#saveIfPossible();
      this.#log.error({ cause, crashes: crashes.length }, 'vm crashed too often');
      this.#startGivingUp();
      return;
    }
    this.#saveIfPossible();
    this.#log.warn({ cause, crashes: crashes.length, restartInMs }, 'vm crashed');
    this.#restartIn(restartInMs);
  }

  #restartIn(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#restart().catch((error: unknown) => this.#log.error({ err: error }, 'restart could not be handled'));
    }, ms);
  }

  #restart(): Promise<void> {
    return this.#exclusive(async () => {
      if (this.#closing) return;
      try {
        await this.#launch();
      } catch (error) {
        if (isHostFull(error)) {
          // The host's trouble: a tenant does not lose a machine to it.
          this.#log.error({ err: error, againInMs: HOST_FULL_RETRY_MS }, 'vm waits for space on the host');
          await this.#endProcesses();
          this.#restartIn(HOST_FULL_RETRY_MS);
          return;
        }
        await this.#crashed((await this.#startFailure(error)).message);
      }
    });
  }

  /** Goes on by itself; ends with the machine. */
  #startGivingUp(): void {
    this.#giveUp().catch((error: unknown) => this.#log.error({ err: error }, 'vm could not be given up'));
  }

  /** Tells the owner until it is heard; the owner then deletes the machine. */
  async #giveUp(): Promise<void> {
    for (let attempt = 1; attempt <= GIVE_UP_ATTEMPTS && !this.#closing; attempt += 1) {
      try {
        await this.#context.gaveUp(this.config.name, this.#record.reason);
        if (!this.#closing) await this.delete();
        return;
      } catch (error) {
        this.#log.warn({ err: error, attempt }, 'the owner of a crashed vm could not be told');
      }
      await new Promise<void>((resolve) => {
        this.#timer = setTimeout(resolve, GIVE_UP_RETRY_MS);
        this.#timer.unref();
      });
    }
  }

  async #startFailure(error: unknown): Promise<GridError> {
    if (isGridError(error) && !isGridError(error, 'machine_control_failed')) return error;
    const { name } = this.config;
    const [words = '', last = ''] = await Promise.all([
      consoleTail(this.#paths.processLog, LOG_TAIL_BYTES),
      consoleTail(this.consoleLog, LOG_TAIL_BYTES),
    ]);
    // What QEMU and the share servers say names files and options of this host.
    this.#log.error({ err: error, words: printable(words) }, 'vm did not start');
    const details = { name, reason: shownReason(error), console: printable(last) };
    return new GridError('machine_start_failed', details, { cause: error });
  }

  #started(identity: ProcessIdentity): void {
    this.#record.processes = [...this.#record.processes.filter(({ role }) => role !== identity.role), identity];
    this.#save();
  }

  #process(role: string): ProcessIdentity | undefined {
    return this.#record.processes.find((identity) => identity.role === role);
  }

  #save(): void {
    saveRecord(this.#paths.record, this.#record);
  }

  /** Where only care for the machine follows, a full disk must not be the end of it. */
  #saveIfPossible(): void {
    try {
      this.#save();
    } catch (error) {
      this.#log.error({ err: error }, 'record of the vm could not be written');
    }
  }

  async #endProcesses(): Promise<void> {
    const { config, processes, bootId } = this.#record;
    if (bootId === this.#context.bootId) await endProcesses(config.name, processes);
    this.#qmp?.close();
    this.#qmp = undefined;
    const locks = sharesOf(config).map((_, index) => this.#context.paths.shareLock(this.#paths.shareSocket(index)));
    await this.#context.groups.remove(this.#paths.id);
    await removeRuntime(this.#paths.runtime, locks);
    this.#record.processes = [];
  }

  async #dispose(): Promise<void> {
    await this.#endProcesses();
    const { consoleLog, processLog } = this.#paths;
    for (const path of [consoleLog, `${consoleLog}.0`, processLog]) await rm(path, { force: true });
    await removeRecord(this.#paths.record);
    this.#context.removed(this.config.name);
  }

  /** Runs one change after the other. */
  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#lane.then(work);
    this.#lane = result.catch(() => undefined);
    return result;
  }
}

function isAliveRole({ processes }: MachineRecord, role: string): boolean {
  return processes.some((identity) => identity.role === role && isAlive(identity));
}
