/** Starts units in the order of their dependencies and stops them in reverse. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { dependants, startOrder } from './order.ts';
import { Runner, type UnitStatus } from './runner.ts';
import { type Unit, UnitError } from './unit.ts';

export interface SupervisorOptions {
  /** Folder for logs and process records. */
  readonly state: string;
  readonly onChange?: (status: UnitStatus) => void;
}

export class Supervisor {
  #units: ReadonlyMap<string, Unit>;
  #runners = new Map<string, Runner>();
  #options: SupervisorOptions;
  #stopping: Promise<void> | undefined;
  /** Units a person stopped; they wait for `start`. */
  #held = new Set<string>();

  private constructor(units: ReadonlyMap<string, Unit>, options: SupervisorOptions) {
    this.#units = units;
    this.#options = options;
  }

  /** Checks the units and begins to start them. Throws `UnitError`. */
  static async begin(units: ReadonlyMap<string, Unit>, options: SupervisorOptions): Promise<Supervisor> {
    startOrder(units);
    const logFolder = join(options.state, 'log');
    const recordFolder = join(options.state, 'zinit', 'run');
    for (const folder of [logFolder, recordFolder]) await mkdir(folder, { recursive: true, mode: 0o700 });
    const supervisor = new Supervisor(units, options);
    for (const unit of units.values()) {
      const onChange = (status: UnitStatus): void => {
        options.onChange?.(status);
        supervisor.#startUnblocked();
      };
      supervisor.#runners.set(unit.name, new Runner(unit, { logFolder, recordFolder, onChange }));
    }
    supervisor.#startUnblocked();
    return supervisor;
  }

  list(): UnitStatus[] {
    return startOrder(this.#units).map((unit) => this.#runner(unit.name).status);
  }

  status(name: string): UnitStatus {
    return this.#runner(name).status;
  }

  log(name: string): string {
    this.#runner(name);
    return join(this.#options.state, 'log', `${name}.log`);
  }

  start(name: string): void {
    this.#runner(name);
    this.#held.delete(name);
    this.#startUnblocked();
  }

  /** Stops one unit and leaves the others as they are. */
  async stopUnit(name: string): Promise<void> {
    const runner = this.#runner(name);
    this.#held.add(name);
    await runner.stop();
  }

  signal(name: string, signal: NodeJS.Signals): boolean {
    return this.#runner(name).signal(signal);
  }

  /** Stops every unit, each before what it depends on. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  async #stopAll(): Promise<void> {
    const stopped = new Map<string, Promise<void>>();
    for (const unit of startOrder(this.#units).reverse()) {
      const later = [...dependants(this.#units, unit.name)];
      stopped.set(
        unit.name,
        Promise.all(later.map((name) => stopped.get(name))).then(() => this.#runner(unit.name).stop()),
      );
    }
    await Promise.all(stopped.values());
  }

  #runner(name: string): Runner {
    const runner = this.#runners.get(name);
    if (runner === undefined) {
      throw new UnitError(`no unit '${name}'; there are ${[...this.#runners.keys()].join(', ')}`);
    }
    return runner;
  }

  #startUnblocked(): void {
    if (this.#stopping !== undefined) return;
    for (const unit of this.#units.values()) {
      if (this.#held.has(unit.name)) continue;
      if (unit.after.every((name) => this.#runner(name).ready)) this.#runner(unit.name).start();
    }
  }
}
