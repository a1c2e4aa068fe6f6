/** From `Run` to the guest's first user process, beside the same QEMU started by hand in the same run. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { seedImage } from '../../modules/vmd/cidata/seed.ts';
import { machineConfig } from '../../modules/vmd/config.ts';
import { Machines } from '../../modules/vmd/machines.ts';
import { qemuArguments } from '../../modules/vmd/qemu/arguments.ts';
import { probeKvm } from '../../modules/vmd/qemu/kvm.ts';
import { makeRig, type Rig, testVM } from '../../modules/vmd/testing/rig.ts';

const ROUNDS = 3;
const BOOT_DEADLINE_MS = 60_000;
const LOOK_MS = 2;
/** In a session of its own as vmd starts it, since the kernel shares processor time between sessions. */
const ALONE = { stdio: 'ignore', detached: true } as const;

/** Milliseconds, medians of three rounds that alternate between the two ways. */
export async function bench(): Promise<{ name: string; metrics: Record<string, number> }> {
  const rig = await makeRig();
  try {
    const accelerator = (await probeKvm({ stateDir: rig.state })).works ? 'kvm' : 'tcg';
    const ours: Boot[] = [];
    const byHand: Boot[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      // Whoever goes second finds warm caches, so they take turns.
      if (round % 2 === 1) byHand.push(await startedByHand(rig, accelerator, round));
      ours.push(await throughRun(rig, accelerator, round));
      if (round % 2 === 0) byHand.push(await startedByHand(rig, accelerator, round));
    }
    const runToProcess = median(ours.map(({ process }) => process));
    const handToProcess = median(byHand.map(({ process }) => process));
    return {
      name: 'boot',
      metrics: {
        run_answer_ms: median(ours.map(({ answer }) => answer)),
        run_to_first_process_ms: runToProcess,
        by_hand_to_first_process_ms: handToProcess,
        overhead_ms: runToProcess - handToProcess,
        run_qemu_cpu_ms: median(ours.map(({ cpu }) => cpu)),
        by_hand_qemu_cpu_ms: median(byHand.map(({ cpu }) => cpu)),
        kvm: accelerator === 'kvm' ? 1 : 0,
      },
    };
  } finally {
    await rig.close();
  }
}

/** Milliseconds until `Run` answered, until the guest's first process, and of QEMU's processor time by then. */
interface Boot {
  readonly answer: number;
  readonly process: number;
  readonly cpu: number;
}

const CLOCK_TICK_MS = 10;

/** Processor time of a process; unlike the clock it does not depend on what else the host does. */
async function processorMs(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * CLOCK_TICK_MS;
}

const SCRIPT = 'echo up >/out; exec sleep 1000';

async function throughRun(rig: Rig, accelerator: 'kvm' | 'tcg', round: number): Promise<Boot> {
  const root = await rig.root(`run${round}`, SCRIPT);
  const log = pino({ level: 'silent' });
  const gaveUp = (): Promise<void> => Promise.resolve();
  const machines = await Machines.open({ stateDir: rig.state, log, accelerator, user: 'own', gaveUp });
  try {
    const since = performance.now();
    await machines.run(machineConfig(testVM(rig, `bench${round}`, root)));
    const answer = performance.now() - since;
    await appears(join(root, 'out'));
    const process = performance.now() - since;
    const record = JSON.parse(await readFile(join(rig.state, 'vmd/vms', `bench${round}.json`), 'utf8')) as {
      processes: { role: string; pid: number }[];
    };
    const qemu = record.processes.find(({ role }) => role === 'qemu');
    return { answer, process, cpu: qemu === undefined ? 0 : await processorMs(qemu.pid) };
  } finally {
    await machines.delete(`bench${round}`);
    await machines.close();
  }
}

/** The same programs and arguments without vmd: no other user, no control groups, console to a file. */
async function startedByHand(rig: Rig, accelerator: 'kvm' | 'tcg', round: number): Promise<Boot> {
  const root = await rig.root(`hand${round}`, SCRIPT);
  const config = machineConfig(testVM(rig, `hand${round}`, root));
  const path = (name: string): string => join(rig.state, `hand-${name}`);
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
    for (const child of started.reverse()) {
      const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
      child.kill('SIGKILL');
      await ended;
    }
    for (const name of ['con.in', 'con.out', 'seed', 'fs', 'qmp']) await rm(path(name), { force: true });
    await rm(join('/var/run/virtiofsd', `${path('fs').replaceAll('/', '.')}.pid`), { force: true });
  }
}

async function appears(path: string): Promise<void> {
  const deadline = performance.now() + BOOT_DEADLINE_MS;
  while (!existsSync(path)) {
    if (performance.now() > deadline) throw new Error(`${path} did not appear within ${BOOT_DEADLINE_MS} ms`);
    await sleep(LOOK_MS);
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return Math.round(sorted[Math.floor(sorted.length / 2)] ?? 0);
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await bench())}\n`);
