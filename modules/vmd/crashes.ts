/** When a crashed machine is started again, and when no more. Pure. */

import { HostCommandError } from '../host/run.ts';

export interface CrashPolicy {
  /** Crashes within this time count together; it slides. */
  readonly windowMs: number;
  /** Wait before the first, second, … restart; one more crash than waits is too many. */
  readonly backOffMs: readonly number[];
}

/** Three restarts, given up at the fourth crash within two minutes, as on the grid. */
export const CRASH_POLICY: CrashPolicy = { windowMs: 120_000, backOffMs: [500, 2000, 5000] };

export interface CrashVerdict {
  /** Times of the crashes that count from now on. */
  readonly crashes: readonly number[];
  /** Milliseconds until the restart, `undefined` where it is given up. */
  readonly restartInMs: number | undefined;
}

export function judgeCrash(crashes: readonly number[], now: number, policy: CrashPolicy): CrashVerdict {
  const counted = [...crashes.filter((at) => at > now - policy.windowMs && at <= now), now];
  return { crashes: counted, restartInMs: policy.backOffMs[counted.length - 1] };
}

/** Milliseconds until the next look whether a full host has space again. */
export const HOST_FULL_RETRY_MS = 5000;

/** Whether a start failed because the host's disk is full: no fault of the machine, so it does not count. */
export function isHostFull(error: unknown): boolean {
  if (error instanceof HostCommandError) return error.stderr.includes('No space left on device');
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** What of a failure may reach a tenant: the texts of system calls and host programs name paths of this host. */
export function shownReason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'syscall' in error || error instanceof HostCommandError ? "the node's log says how" : error.message;
}
