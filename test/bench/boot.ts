/** From `Run` to the guest's first user process, beside the same QEMU started by hand in the same run. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { machineConfig } from '../../modules/vmd/config.ts';
import { openQemu } from '../../modules/vmd/drivers/qemu.ts';
import { Machines } from '../../modules/vmd/machines.ts';
import { probeKvm } from '../../modules/vmd/qemu/kvm.ts';
import { makeRig, type Rig, testVM } from '../../modules/vmd/testing/rig.ts';
import { appears, type Boot, bootByHand, median, processorMs, SCRIPT } from './peers/by-hand.ts';

const ROUNDS = 3;

/** Milliseconds, medians of three rounds that alternate between the two ways. */
export async function bench(): Promise<{ name: string; metrics: Record<string, number> }> {
  const rig = await makeRig();
  try {
    const accelerator = (await probeKvm({ stateDir: rig.state })).works ? 'kvm' : 'tcg';
    const ours: Boot[] = [];
    const byHand: Boot[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      // Whoever goes second finds warm caches, so they take turns.
      if (round % 2 === 1) byHand.push(await byHandOf(rig, accelerator, round));
      ours.push(await throughRun(rig, accelerator, round));
      if (round % 2 === 0) byHand.push(await byHandOf(rig, accelerator, round));
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
        ratio: Math.round((runToProcess / handToProcess) * 100) / 100,
        run_qemu_cpu_ms: median(ours.map(({ cpu }) => cpu)),
        by_hand_qemu_cpu_ms: median(byHand.map(({ cpu }) => cpu)),
        kvm: accelerator === 'kvm' ? 1 : 0,
      },
    };
  } finally {
    await rig.close();
  }
}

async function throughRun(rig: Rig, accelerator: 'kvm' | 'tcg', round: number): Promise<Boot> {
  const root = await rig.root(`run${round}`, SCRIPT);
  const log = pino({ level: 'silent' });
  const gaveUp = (): Promise<void> => Promise.resolve();
  const driver = await openQemu({ stateDir: rig.state, log, accelerator, user: 'own', gaveUp });
  const machines = await Machines.open({ driver, log });
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

/** The same machine without vmd. */
async function byHandOf(rig: Rig, accelerator: 'kvm' | 'tcg', round: number): Promise<Boot> {
  const root = await rig.root(`hand${round}`, SCRIPT);
  return bootByHand(rig.state, machineConfig(testVM(rig, `hand${round}`, root)), accelerator);
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await bench())}\n`);
