/** How much the engine has to do, and who comes when. */
import type { DeploymentId } from '../store/journal.ts';
import type { Lane, Urgency } from './lane.ts';
import type { Places } from './places.ts';
import type { StepNumbers } from './steps.ts';

export interface EngineNumbers {
  /** Deployments with something to do. */
  readonly lanes: number;
  readonly running: Readonly<Record<Urgency, number>>;
  readonly queued: Readonly<Record<Urgency, number>>;
  /** Waiting for their next try. */
  readonly resting: number;
  readonly parked: number;
  /** Not looked for on the host yet. */
  readonly unverified: number;
  /** Workloads that vanished and were made again since the start. */
  readonly repairs: number;
  readonly steps: StepNumbers;
}

export type LanePlaces = Readonly<Record<Urgency, Places>>;

export function countLanes(
  all: Iterable<Lane>,
  { urgent, work, verify }: LanePlaces,
): Omit<EngineNumbers, 'repairs' | 'steps'> {
  const lanes = [...all];
  return {
    lanes: lanes.length,
    running: { urgent: urgent.taken, work: work.taken, verify: verify.taken },
    queued: { urgent: urgent.queued, work: work.queued, verify: verify.queued },
    resting: lanes.filter((lane) => lane.isResting && !lane.isParked).length,
    parked: lanes.filter((lane) => lane.isParked).length,
    unverified: lanes.filter((lane) => lane.unverified).length,
  };
}

/** How many others are served before each deployment that waits for a place, or to run alone. */
export function positionsIn(
  { urgent, work, verify }: LanePlaces,
  alone: Iterable<string>,
): ReadonlyMap<DeploymentId, number> {
  const found = new Map<DeploymentId, number>();
  for (const keys of [urgent.order(), work.order(), verify.order(), alone]) {
    let ahead = 0;
    for (const id of keys) {
      // The place of a lane that only waits for something is asked for without its name.
      if (id !== '') found.set(id, ahead);
      ahead += 1;
    }
  }
  return found;
}
