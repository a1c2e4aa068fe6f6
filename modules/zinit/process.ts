/** Processes by pid and start time, so that a reused pid is never taken for ours. */
import { readFileSync } from 'node:fs';

export interface ProcessMark {
  readonly pid: number;
  /** Clock ticks after boot at which the process started, field 22 of /proc/PID/stat. */
  readonly startTicks: string;
}

/** The mark of a living process; undefined when it is gone or a zombie. */
export function markProcess(pid: number): ProcessMark | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const startTicks = fields[19];
  if (fields[0] === 'Z' || startTicks === undefined) return undefined;
  return { pid, startTicks };
}

export function isAlive(mark: ProcessMark): boolean {
  return markProcess(mark.pid)?.startTicks === mark.startTicks;
}

/** Signals the process itself, if it is still the same one; its children are its own to end. */
export function signalProcess(mark: ProcessMark, signal: NodeJS.Signals): void {
  if (!isAlive(mark)) return;
  try {
    process.kill(mark.pid, signal);
  } catch {
    // Gone meanwhile.
  }
}

/** Kills whatever is left in the process group that `leader` led. */
export function killGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch {
    // The usual case: nobody is left in the group.
  }
}
