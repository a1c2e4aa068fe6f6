/** Processes by pid and start time, so that a reused pid is never taken for ours. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface ProcessMark {
  readonly pid: number;
  /** When the process started: clock ticks after boot, field 22 of /proc/PID/stat; `ps`'s words where there is no /proc. */
  readonly startTicks: string;
}

const PS_DEADLINE_MS = 5_000;

/** The mark of a living process; undefined when it is gone or a zombie. */
export function markProcess(pid: number): ProcessMark | undefined {
  return process.platform === 'linux' ? markByProc(pid) : markByPs(pid);
}

function markByProc(pid: number): ProcessMark | undefined {
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

function markByPs(pid: number): ProcessMark | undefined {
  let line: string;
  try {
    line = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', `${pid}`], {
      encoding: 'utf8',
      timeout: PS_DEADLINE_MS,
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, LC_ALL: 'C' },
    }).trim();
  } catch {
    return undefined;
  }
  const [, state = '', start = ''] = /^(\S+)\s+(.+)$/.exec(line) ?? [];
  return start === '' || state.startsWith('Z') ? undefined : { pid, startTicks: start };
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
