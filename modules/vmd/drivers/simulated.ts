/** Machines that are entries of a book: they run until somebody deletes them, and say nothing. */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { GridError } from '../../../schemas/errors/index.ts';
import { Book, type SimulatedHost } from '../../host/simulation.ts';
import { type MachineConfig, machineConfigSchema } from '../config.ts';
import type { MachineDriver, Removed, VirtualMachine } from './driver.ts';

const machineBook = z.record(z.string(), z.object({ config: machineConfigSchema, paused: z.boolean() }));

/** What the other daemons have of what a machine names. */
export interface Attachments {
  /** Whether there is a disk at this path. */
  disk(path: string): Promise<boolean>;
  /** Whether there is a tap of this name. */
  tap(name: string): Promise<boolean>;
}

export interface SimulatedMachinesOptions {
  /** vmd's folder, which holds the book. */
  readonly root: string;
  readonly host: SimulatedHost;
  readonly attachments: Attachments;
}

export function openSimulatedMachines(options: SimulatedMachinesOptions): MachineDriver {
  const book = Book.open(join(options.root, 'machines.json'), machineBook, () => ({}));
  const machine = (config: MachineConfig, removed: Removed): VirtualMachine =>
    new SimulatedMachine(config, removed, book, options);
  return {
    found: (removed) => Promise.resolve(Object.values(book.content).map(({ config }) => machine(config, removed))),
    fresh: machine,
    traffic: () => Promise.resolve(new Map()),
    items: () =>
      Promise.resolve(
        Object.keys(book.content).map((name) => {
          return { kind: 'machine', name, machine: name, bytes: 0, since: 0, residue: false } as const;
        }),
      ),
    removeItem: async (_, name) => {
      const { config } = book.content[name] ?? {};
      if (config !== undefined) await machine(config, () => undefined).delete();
    },
  };
}

class SimulatedMachine implements VirtualMachine {
  readonly config: MachineConfig;
  readonly consoleLog: string;
  readonly #removed: Removed;
  readonly #book: Book<z.infer<typeof machineBook>>;
  readonly #options: SimulatedMachinesOptions;
  #lane: Promise<unknown> = Promise.resolve();

  constructor(
    config: MachineConfig,
    removed: Removed,
    book: Book<z.infer<typeof machineBook>>,
    options: SimulatedMachinesOptions,
  ) {
    this.config = config;
    this.consoleLog = join(options.root, 'logs', config.name);
    this.#removed = removed;
    this.#book = book;
    this.#options = options;
  }

  get exists(): boolean {
    return Object.hasOwn(this.#book.content, this.config.name);
  }

  start(): Promise<void> {
    return this.#exclusive(async () => {
      try {
        await this.#checkAttachments();
        await this.#options.host.act(`vmd run ${this.config.name}`);
      } catch (error) {
        this.#removed(this.config.name);
        throw error;
      }
      this.#book.content[this.config.name] = { config: this.config, paused: false };
      this.#book.save();
    });
  }

  adopt(): Promise<void> {
    return Promise.resolve();
  }

  delete(): Promise<void> {
    return this.#exclusive(async () => {
      if (this.exists) await this.#options.host.act(`vmd delete ${this.config.name}`);
      delete this.#book.content[this.config.name];
      this.#book.save();
      this.#removed(this.config.name);
    });
  }

  async detach(): Promise<void> {
    await this.#lane;
  }

  tend(): Promise<void> {
    return Promise.resolve();
  }

  lock(paused: boolean): Promise<void> {
    return this.#exclusive(async () => {
      await this.#options.host.act(`vmd ${paused ? 'pause' : 'resume'} ${this.config.name}`);
      const entry = this.#book.content[this.config.name];
      if (entry === undefined) throw new GridError('machine_unknown', { name: this.config.name });
      entry.paused = paused;
      this.#book.save();
    });
  }

  inspect(): Promise<{ readonly cpus: number; readonly memoryMib: number }> {
    const { cpus, memoryBytes } = this.config;
    return Promise.resolve({ cpus, memoryMib: Math.round(memoryBytes / (1024 * 1024)) });
  }

  /** What a machine that starts would open. Its kernel is the node's own and never booted here. */
  async #checkAttachments(): Promise<void> {
    const { name, boot, disks, shares, interfaces } = this.config;
    const { attachments } = this.#options;
    const missing = (kind: string, path: string, reason: string): GridError =>
      new GridError('machine_resource_missing', { name, kind, path, reason });
    for (const { path } of disks) {
      if (!(await attachments.disk(path))) throw missing('disk', path, 'it does not exist');
    }
    for (const path of [...(boot.type === 'virtiofs' ? [boot.path] : []), ...shares.map((share) => share.path)]) {
      const found = await lstat(path).catch(() => undefined);
      if (found === undefined) throw missing('shared folder', path, 'it does not exist');
      if (!found.isDirectory()) throw missing('shared folder', path, 'it is of another kind');
    }
    for (const { tap } of interfaces) {
      if (!(await attachments.tap(tap))) throw missing('tap', tap, `there is no device ${tap} on this node`);
    }
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#lane.then(work);
    this.#lane = result.catch(() => undefined);
    return result;
  }
}
