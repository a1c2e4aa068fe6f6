/** Machines that QEMU runs. */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { MachineGroups } from '../cgroup.ts';
import { CRASH_POLICY, type CrashPolicy } from '../crashes.ts';
import { Machine, type MachineContext } from '../machine.ts';
import { Paths } from '../paths.ts';
import { bootId } from '../processes.ts';
import { readRecords } from '../record.ts';
import { Remains } from '../remains.ts';
import { readTaps } from '../taps.ts';
import type { MachineDriver } from './driver.ts';

export interface QemuOptions {
  /** The node's state folder. */
  readonly stateDir: string;
  readonly log: Logger;
  readonly accelerator: 'kvm' | 'tcg';
  readonly user: MachineContext['user'];
  readonly policy?: CrashPolicy;
  readonly gaveUp: MachineContext['gaveUp'];
}

export async function openQemu(options: QemuOptions): Promise<MachineDriver> {
  const { log } = options;
  const paths = new Paths(options.stateDir);
  for (const folder of [paths.root, paths.records, paths.logs, paths.runtimes]) {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  }
  const context: Omit<MachineContext, 'removed'> = {
    paths,
    groups: await MachineGroups.open(paths.group),
    log,
    bootId: await bootId(),
    accelerator: options.accelerator,
    user: options.user,
    policy: options.policy ?? CRASH_POLICY,
    gaveUp: options.gaveUp,
  };
  const remains = new Remains(context);
  return {
    async found(removed) {
      const records = await readRecords(paths.records, (file, error) =>
        log.error({ err: error, file }, 'unreadable record'),
      );
      const machines = records.map((record) => new Machine({ ...context, removed }, record));
      const known = new Set(machines.map(({ id }) => id));
      for (const id of await context.groups.list()) if (!known.has(id)) await context.groups.remove(id);
      for (const id of await readdir(paths.runtimes)) {
        if (!known.has(id)) await rm(join(paths.runtimes, id), { recursive: true, force: true });
      }
      return machines;
    },
    fresh: (config, removed) => Machine.fresh({ ...context, removed }, config),
    traffic: readTaps,
    items: () => remains.items(),
    removeItem: (kind, name) => remains.removeItem(kind, name),
  };
}
