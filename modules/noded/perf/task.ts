/** What a measurement is. */

/** A JSON value; numbers reach the bus as float64. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export interface Task {
  /** As clients ask for it. */
  readonly name: string;
  readonly description: string;
  /** Six fields, UTC. */
  readonly schedule: string;
  /** A scheduled run starts up to so much later, by chance: nodes that share a schedule do not all start at once. */
  readonly jitterSeconds: number;
  /** Seconds after the start of the daemon at which it runs when no result is stored. */
  readonly firstAfterSeconds: number;
  /** Milliseconds that one run may take. */
  readonly deadlineMs: number;
  /** Loads the node: never beside another such task. */
  readonly isHeavy: boolean;
  /** Measures once. What it throws is a failed run, which is tried again; what was found wrong is a result. */
  readonly run: (signal: AbortSignal) => Promise<Json>;
}

export interface TaskResult {
  readonly name: string;
  readonly description: string;
  /** Unix seconds of the end of the run. */
  readonly timestamp: number;
  readonly result: Json;
}
