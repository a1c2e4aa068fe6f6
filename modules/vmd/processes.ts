/** Processes of machines: known by pid and start time, so a recycled pid is never signalled. */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';

export const processIdentitySchema = z.object({
  role: z.string(),
  pid: z.int().positive(),
  /** Clock ticks between boot and the process's start. */
  startTicks: z.string(),
});

export type ProcessIdentity = z.infer<typeof processIdentitySchema>;

/** Identity of a running process, `undefined` where it has ended. */
export function identify(role: string, pid: number): ProcessIdentity | undefined {
  const startTicks = startOf(pid);
  return startTicks === undefined ? undefined : { role, pid, startTicks };
}

export function isAlive({ pid, startTicks }: ProcessIdentity): boolean {
  return startOf(pid) === startTicks;
}

/**
 * Kills the process and its own children unless it has ended; whether it was
 * alive. Each process was started as the leader of its own group.
 */
export function killGroup(identity: ProcessIdentity): boolean {
  if (!isAlive(identity)) return false;
  try {
    return process.kill(-identity.pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** Milliseconds between two looks at a process that is about to end. */
const LOOK_MS = 5;

/** Whether every process has ended within `deadlineMs`. */
export async function waitGone(identities: readonly ProcessIdentity[], deadlineMs: number): Promise<boolean> {
  const deadline = performance.now() + deadlineMs;
  for (let wait = LOOK_MS; identities.some(isAlive); wait = Math.min(wait * 1.5, 100)) {
    if (performance.now() >= deadline) return false;
    await sleep(wait);
  }
  return true;
}

/** The kernel's id of this boot; processes recorded under another one are gone. */
export async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

/** Start time of a process that is not a zombie. */
function startOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field is the program's name in parentheses and may hold anything.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
