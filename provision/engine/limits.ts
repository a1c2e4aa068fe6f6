/** How much the engine does at once, and how long it tries. */
import type { StepStage } from '../workloads/workload.ts';
import type { RetryBudget } from './attempt.ts';

/** Places on the whole node, and how many of them one twin may have. */
export type PlaceLimits = readonly [all: number, ofOneTwin: number];

export interface EngineLimits {
  /** Deployments that are made or changed at once. */
  readonly lanes: PlaceLimits;
  /** Deployments, besides, that are removed, paused or resumed at once: these wait behind nothing else. */
  readonly urgentLanes: PlaceLimits;
  /** Deployments, besides, that are looked for on the host at once. */
  readonly verifyingLanes: PlaceLimits;
  /** Steps of one stage that run at once: one twin's slow images never hold up another's, nor its own disks. */
  readonly steps: Readonly<Record<StepStage, PlaceLimits>>;
  readonly retry: RetryBudget;
  /** Milliseconds a machine waits for a network of another deployment. */
  readonly dependencyWaitMs: number;
  /** Milliseconds between two tries to do what could not be done, doubled up to the second number. */
  readonly laterMs: readonly [number, number];
  readonly poison: PoisonLimits;
  /** Milliseconds that steps under way have to end when the engine stops; none begins then. */
  readonly stopGraceMs: number;
  /** Milliseconds after which the engine stops whatever does not end. */
  readonly stopDeadlineMs: number;
}

export interface PoisonLimits {
  /** Failures nobody foresaw, one after another, after which a deployment is parked. */
  readonly failures: number;
  /** Deaths of the process while it was worked on, after which it runs alone. */
  readonly suspectCrashes: number;
  /** And after which it is parked. */
  readonly crashes: number;
  /** Milliseconds until what is parked is tried again, unless something is asked of it before. */
  readonly parkMs: number;
  /** Milliseconds that others may have to come to rest before one runs alone, and that it runs alone at most. */
  readonly aloneMs: number;
}

export const ENGINE_LIMITS: EngineLimits = {
  lanes: [128, 64],
  urgentLanes: [64, 32],
  verifyingLanes: [16, 16],
  steps: {
    storage: [48, 32],
    network: [48, 32],
    flist: [24, 8],
    machine: [32, 16],
  },
  retry: { budgetMs: 60_000, firstDelayMs: 200, maxDelayMs: 5_000 },
  dependencyWaitMs: 120_000,
  laterMs: [500, 30_000],
  poison: { failures: 5, suspectCrashes: 2, crashes: 3, parkMs: 600_000, aloneMs: 15_000 },
  stopGraceMs: 1_000,
  stopDeadlineMs: 5_000,
};
