/** Ends a machine's processes: politely, then at once, with a bound on every wait. */
import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { GridError } from '../../schemas/errors/index.ts';
import { isAlive, killGroup, type ProcessIdentity, waitGone } from './processes.ts';
import type { Qmp } from './qemu/qmp.ts';

/** Time for a guest that listens to its power button; most container guests do not. */
const POWERDOWN_MS = 2000;
/** Time for the guest's kernel to write its disks' caches after it was asked to. */
const SYNC_MS = 300;
const QUIT_MS = 2000;
/** Time for helpers that end by themselves once QEMU is gone. */
const HELPERS_MS = 500;
const KILL_MS = 5000;
const COMMAND_MS = 1000;

/**
 * Asks the guest to power off; where it does not, asks its kernel to write
 * out and remount its disks read-only, then tells QEMU to end.
 */
export async function stopGracefully(qmp: Qmp, qemu: ProcessIdentity, paused: boolean): Promise<void> {
  try {
    if (!paused) {
      await qmp.command('system_powerdown', {}, COMMAND_MS);
      if (await waitGone([qemu], POWERDOWN_MS)) return;
      for (const key of ['s', 'u']) {
        const keys = ['alt', 'sysrq', key].map((data) => ({ type: 'qcode', data }));
        await qmp.command('send-key', { keys }, COMMAND_MS);
        await sleep(SYNC_MS);
      }
    }
    await qmp.command('quit', {}, COMMAND_MS);
  } catch {
    // It may end while it is being asked; what is left is killed by the caller.
  }
  await waitGone([qemu], QUIT_MS);
}

/** Ends what is left of a machine's processes. Throws `machine_stop_failed`. */
export async function endProcesses(name: string, processes: readonly ProcessIdentity[]): Promise<void> {
  const qemu = processes.filter(({ role }) => role === 'qemu');
  for (const identity of qemu) killGroup(identity);
  if (qemu.some(isAlive)) await waitGone(qemu, KILL_MS);
  // The console reader still empties the pipe; where QEMU never ran it waits in vain.
  if (qemu.length > 0) await waitGone(processes, HELPERS_MS);
  for (const identity of processes) killGroup(identity);
  if (await waitGone(processes, KILL_MS)) return;
  const stuck = processes.find(isAlive);
  if (stuck !== undefined) throw new GridError('machine_stop_failed', { name, pid: stuck.pid, waitedMs: KILL_MS });
}

/** Removes sockets, pipes and the seed, and the locks that share servers leave behind. */
export async function removeRuntime(runtime: string, shareLocks: readonly string[]): Promise<void> {
  for (const lock of shareLocks) await rm(lock, { force: true });
  await rm(runtime, { recursive: true, force: true });
}
