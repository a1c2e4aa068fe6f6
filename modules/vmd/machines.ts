/** All virtual machines of a node: found again at start, tended, looked up by name. */
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { GridError } from '../../schemas/errors/index.ts';
import type { MachineConfig } from './config.ts';
import type { MachineDriver, MachineItem, VirtualMachine } from './drivers/driver.ts';
import type { TapCounters } from './taps.ts';

const TEND_MS = 5000;

export interface MachinesOptions {
  readonly driver: MachineDriver;
  readonly log: Logger;
}

export class Machines {
  readonly #machines = new Map<string, VirtualMachine>();
  readonly #driver: MachineDriver;
  readonly #log: Logger;
  readonly #tending: NodeJS.Timeout;
  readonly #removed = (name: string): void => {
    this.#machines.delete(name);
  };

  private constructor({ driver, log }: MachinesOptions) {
    this.#driver = driver;
    this.#log = log;
    this.#tending = setInterval(() => this.#tend(), TEND_MS);
    this.#tending.unref();
  }

  /** Adopts what runs, removes what belongs to nothing. */
  static async open(options: MachinesOptions): Promise<Machines> {
    const machines = new Machines(options);
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
    const machine = this.#driver.fresh(config, this.#removed);
    this.#machines.set(config.name, machine);
    await machine.start();
  }

  /** Deletes a machine; one that does not exist is no failure. */
  async delete(name: string): Promise<void> {
    await this.#machines.get(name)?.delete();
  }

  /** The machine that runs or is about to. */
  find(name: string): VirtualMachine | undefined {
    const machine = this.#machines.get(name);
    return machine?.exists === true ? machine : undefined;
  }

  /** Also one that ended and whose log is still there. */
  get(name: string): VirtualMachine {
    const machine = this.#machines.get(name);
    if (machine === undefined) throw new GridError('machine_unknown', { name });
    return machine;
  }

  list(): VirtualMachine[] {
    return [...this.#machines.values()].filter((machine) => machine.exists);
  }

  /** Lets go of all machines, which run on. */
  async close(): Promise<void> {
    clearInterval(this.#tending);
    await Promise.all([...this.#machines.values()].map((machine) => machine.detach()));
  }

  /** Counters of the host's network devices by name. */
  traffic(): Promise<ReadonlyMap<string, TapCounters>> {
    return this.#driver.traffic();
  }

  items(): Promise<MachineItem[]> {
    return this.#driver.items();
  }

  /** Removes what the host has of a machine, known here or not. */
  async removeItem(kind: MachineItem['kind'], name: string): Promise<void> {
    if (kind === 'machine') await this.delete(name);
    await this.#driver.removeItem(kind, name);
  }

  async #adopt(): Promise<void> {
    for (const machine of await this.#driver.found(this.#removed)) this.#machines.set(machine.config.name, machine);
    await Promise.all(
      [...this.#machines.values()].map((machine) =>
        machine.adopt().catch((error: unknown) => {
          this.#log.error({ err: error, vm: machine.config.name }, 'not adopted');
        }),
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
        this.#log.error({ err: error, vm: machine.config.name }, 'vm could not be tended');
      });
    }
  }
}
