/** When a crashed machine is started again, and when no more. Pure. */

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
