/** All virtual machines of a node: found again at start, tended, looked up by name. */

import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { GridError } from '../../schemas/errors/index.ts';
import { MachineGroups } from './cgroup.ts';
import type { MachineConfig } from './config.ts';
import { CRASH_POLICY, type CrashPolicy } from './crashes.ts';
import { Machine, type MachineContext } from './machine.ts';
import { Paths } from './paths.ts';
import { bootId } from './processes.ts';
import { readRecords } from './record.ts';

const TEND_MS = 5000;

export interface MachinesOptions {
  /** The node's state folder. */
  readonly stateDir: string;
  readonly log: Logger;
  readonly accelerator: 'kvm' | 'tcg';
  readonly user: MachineContext['user'];
  readonly policy?: CrashPolicy;
  readonly gaveUp: MachineContext['gaveUp'];
}

export class Machines {
  readonly #machines = new Map<string, Machine>();
  readonly #context: MachineContext;
  readonly #tending: NodeJS.Timeout;

  private constructor(context: MachineContext) {
    this.#context = context;
    this.#tending = setInterval(() => this.#tend(), TEND_MS);
    this.#tending.unref();
  }

  /** Adopts what runs, removes what belongs to nothing. */
  static async open(options: MachinesOptions): Promise<Machines> {
    const paths = new Paths(options.stateDir);
    for (const folder of [paths.root, paths.records, paths.logs, paths.runtimes]) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
    }
    const machines: Machines = new Machines({
      paths,
      groups: await MachineGroups.open(paths.group),
      log: options.log,
      bootId: await bootId(),
      accelerator: options.accelerator,
      user: options.user,
      policy: options.policy ?? CRASH_POLICY,
      gaveUp: options.gaveUp,
      removed: (name) => machines.#machines.delete(name),
    });
    await machines.#adopt();
    return machines;
  }

  /** Starts a machine; the same machine already running is left as it is. Throws `machine_exists`. */
  async run(config: MachineConfig): Promise<void> {
    if (config.boot.type === 'disk') {
      throw new GridError('machine_boot_unsupported', { name: config.name, boot: 'from a disk image' });
    }
    const present = this.#machines.get(config.name);
    if (present?.exists === true) {
      if (isDeepStrictEqual(present.config, config)) return;
      throw new GridError('machine_exists', { name: config.name });
    }
    await present?.delete();
    this.#checkDevices(config);
    const machine = Machine.fresh(this.#context, config);
    this.#machines.set(config.name, machine);
    await machine.start();
  }

  /** Deletes a machine; one that does not exist is no failure. */
  async delete(name: string): Promise<void> {
    await this.#machines.get(name)?.delete();
  }

  /** The machine that runs or is about to. */
  find(name: string): Machine | undefined {
    const machine = this.#machines.get(name);
    return machine?.exists === true ? machine : undefined;
  }

  /** Also one that ended and whose log is still there. */
  get(name: string): Machine {
    const machine = this.#machines.get(name);
    if (machine === undefined) throw new GridError('machine_unknown', { name });
    return machine;
  }

  list(): Machine[] {
    return [...this.#machines.values()].filter((machine) => machine.exists);
  }

  /** Lets go of all machines, which run on. */
  async close(): Promise<void> {
    clearInterval(this.#tending);
    await Promise.all([...this.#machines.values()].map((machine) => machine.detach()));
  }

  async #adopt(): Promise<void> {
    const { paths, groups, log } = this.#context;
    const records = await readRecords(paths.records, (file, error) =>
      log.error({ err: error, file }, 'unreadable record'),
    );
    for (const record of records) this.#machines.set(record.config.name, new Machine(this.#context, record));
    const known = new Set([...this.#machines.values()].map(({ id }) => id));
    for (const id of await groups.list()) if (!known.has(id)) await groups.remove(id);
    for (const id of await readdir(paths.runtimes)) {
      if (!known.has(id)) await rm(join(paths.runtimes, id), { recursive: true, force: true });
    }
    await Promise.all(
      [...this.#machines.values()].map((machine) =>
        machine.adopt().catch((error: unknown) => log.error({ err: error, vm: machine.config.name }, 'not adopted')),
      ),
    );
  }

  /** A host device serves one machine at a time. */
  #checkDevices(config: MachineConfig): void {
    for (const device of config.devices) {
      const owner = this.list().find((machine) => machine.config.devices.includes(device));
      if (owner !== undefined) throw new GridError('machine_device_in_use', { device, owner: owner.config.name });
    }
  }

  #tend(): void {
    for (const machine of this.list()) {
      machine.tend().catch((error: unknown) => {
        this.#context.log.error({ err: error, vm: machine.config.name }, 'vm could not be tended');
      });
    }
  }
}
