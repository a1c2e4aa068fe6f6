/** What vmd starts for a machine, started by hand: the same programs with the same arguments and nothing around them. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { seedImage } from '../../../modules/vmd/cidata/seed.ts';
import type { MachineConfig } from '../../../modules/vmd/config.ts';
import { qemuArguments } from '../../../modules/vmd/qemu/arguments.ts';
import { end } from './child.ts';

const BOOT_DEADLINE_MS = 60_000;
const LOOK_MS = 2;
/** In a session of its own as vmd starts it, since the kernel shares processor time between sessions. */
const ALONE = { stdio: 'ignore', detached: true } as const;

/** Milliseconds until the machine was started, until the guest's first process, and of QEMU's processor time by then. */
export interface Boot {
  readonly answer: number;
  readonly process: number;
  readonly cpu: number;
}

/** The guest's first process shows itself by the file `/out` in its root file system. */
export const SCRIPT = 'echo up >/out; exec sleep 1000';

const CLOCK_TICK_MS = 10;

/** Processor time of a process; unlike the clock it does not depend on what else the host does. */
export async function processorMs(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * CLOCK_TICK_MS;
}

export async function appears(path: string): Promise<void> {
  const deadline = performance.now() + BOOT_DEADLINE_MS;
  while (!existsSync(path)) {
    if (performance.now() > deadline) throw new Error(`${path} did not appear within ${BOOT_DEADLINE_MS} ms`);
    await sleep(LOOK_MS);
  }
}

/** No other user, no control groups, console to nowhere. `folder` holds sockets and pipes while it runs. */
export async function bootByHand(folder: string, config: MachineConfig, accelerator: 'kvm' | 'tcg'): Promise<Boot> {
  const path = (name: string): string => join(folder, `hand-${name}`);
  const root = config.boot.path;
  execFileSync('mkfifo', [path('con.in'), path('con.out')]);
  const started: ChildProcess[] = [];
  try {
    const since = performance.now();
    await writeFile(path('seed'), seedImage(config));
    const share = ['-o', `source=${root}`, '-o', 'cache=auto', '-o', 'xattr', '-f'];
    started.push(spawn('/usr/lib/qemu/virtiofsd', [`--socket-path=${path('fs')}`, ...share], ALONE));
    await appears(path('fs'));
    started.push(spawn('cat', [path('con.out')], ALONE));
    const args = qemuArguments({
      config,
      accelerator,
      seed: path('seed'),
      control: path('qmp'),
      console: path('con'),
      shareSockets: [path('fs')],
      uncached: new Set(),
      paused: false,
    });
    const qemu = spawn('/usr/bin/qemu-system-x86_64', args, ALONE);
    started.push(qemu);
    const answer = performance.now() - since;
    await appears(join(root, 'out'));
    return { answer, process: performance.now() - since, cpu: await processorMs(qemu.pid ?? 0) };
  } finally {
    for (const child of started.reverse()) await end(child);
    for (const name of ['con.in', 'con.out', 'seed', 'fs', 'qmp']) await rm(path(name), { force: true });
    await rm(join('/var/run/virtiofsd', `${path('fs').replaceAll('/', '.')}.pid`), { force: true });
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return Math.round(sorted[Math.floor(sorted.length / 2)] ?? 0);
}
