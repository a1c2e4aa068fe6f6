/** A deployment in the hands of its lane. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Deployment } from '../../schemas/deployment.ts';
import type { DeploymentRecord } from '../store/journal.ts';
import { standingDeployment } from '../store/signed.ts';

/** What a lane gives those who work for it. */
export interface Hands {
  /** What is under way ends when it aborts. */
  readonly signal: AbortSignal;
  /** No step begins once it aborted. */
  readonly ending: AbortSignal;
  /** Runs what only waits; the lane gives its place away for that long. */
  readonly rest: <T>(waiting: () => Promise<T>) => Promise<T>;
  /** Hears of each workload that is known to be on the host. */
  readonly seen: (workload: string) => void;
}

export interface Job extends Hands {
  readonly record: DeploymentRecord;
  /** What of it is in force, with its states. */
  readonly standing: Deployment;
}

/** Throws when the journal's document can not be read. */
export function jobOf(record: DeploymentRecord, hands: Hands): Job {
  const { signal, ending, rest, seen } = hands;
  return { record, standing: standingDeployment(record), signal, ending, rest, seen };
}

/** Waits with empty hands. Throws when the job ends meanwhile. */
export function pauseIn({ ending, rest }: Hands, ms: number): Promise<void> {
  return rest(() => sleep(ms, undefined, { signal: ending }));
}
