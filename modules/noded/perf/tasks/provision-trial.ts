/**
 * `provisiontest`: whether this node could take a deployment now. A small machine is planned by the
 * planner that decides on deployments; a small volume, disk and network of reserved names are really
 * made and taken away. Names are none that a workload can have, so nothing of a tenant is ever touched.
 */
import type { Task } from '../task.ts';

/** One thing that is made, looked at and taken away. */
export interface Trial {
  readonly what: string;
  /** Makes it, also where a crash left one. Resolves with false where a node that is in order has no room for it. */
  readonly make: (signal: AbortSignal) => Promise<boolean>;
  /** Throws where it is not as it was made. */
  readonly check: (signal: AbortSignal) => Promise<unknown>;
  /** Removes it; nothing happens where there is none. */
  readonly remove: (signal: AbortSignal) => Promise<unknown>;
}

export interface ProvisionTrialOptions {
  /** Why a small machine would not be accepted; empty where it would. */
  readonly plan: (signal: AbortSignal) => Promise<readonly string[]>;
  readonly trials: readonly Trial[];
  /** What images come from can be reached: a sentence for each that cannot. */
  readonly images: (signal: AbortSignal) => Promise<readonly string[]>;
  readonly marker: Marker;
}

/** Outlives the daemon: that a trial was begun and not taken away. */
export interface Marker {
  set(): Promise<void>;
  isSet(): Promise<boolean>;
  clear(): Promise<void>;
}

const STEP_DEADLINE_MS = 60_000;

export function provisionTrial({ plan, trials, images, marker }: ProvisionTrialOptions): Task {
  return {
    name: 'provisiontest',
    description: 'Plans a small machine; makes and removes a small volume, disk and network',
    schedule: '0 0 0 * * *',
    jitterSeconds: 1800,
    firstAfterSeconds: 900,
    deadlineMs: 15 * 60_000,
    isHeavy: true,
    run: async (signal) => {
      const errors: string[] = [];
      const step = async <T>(words: string, work: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> => {
        try {
          return await work(AbortSignal.any([signal, AbortSignal.timeout(STEP_DEADLINE_MS)]));
        } catch (error) {
          errors.push(`failed to ${words}: ${messageOf(error)}`);
          return undefined;
        }
      };
      errors.push(...((await step('plan a machine', plan)) ?? []));
      await marker.set();
      for (const { what, make, check } of trials) {
        if (signal.aborted) break;
        if ((await step(`make ${what}`, make)) === true) await step(`find ${what}`, check);
      }
      errors.push(...(await removeTrials(trials, marker)));
      signal.throwIfAborted();
      errors.push(...((await step('reach the images', images)) ?? []));
      return errors;
    },
  };
}

/** Takes everything away, also while the run is being given up. Resolves with what could not be removed. */
export async function removeTrials(trials: readonly Trial[], marker: Marker): Promise<string[]> {
  const failures: string[] = [];
  for (const { what, remove } of trials) {
    await remove(AbortSignal.timeout(STEP_DEADLINE_MS)).catch((error: unknown) =>
      failures.push(`failed to remove ${what}: ${messageOf(error)}`),
    );
  }
  if (failures.length === 0) await marker.clear();
  return failures;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
