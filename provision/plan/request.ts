/** What a deployment asks of the node, in the planner's words. */
import type { AddressClaim, Allocation, NetworkClaim, ReservedWorkload } from './capacity.ts';

export interface WorkloadRequest {
  readonly name: string;
  readonly type: string;
  readonly vcpus: number;
  readonly memoryBytes: number;
  readonly publicIps: number;
  readonly allocations: readonly Allocation[];
  /** Set on a network. */
  readonly network?: NetworkClaim;
  /** Set on a machine: its private address. */
  readonly address?: AddressClaim;
  /** Names of the workloads a machine mounts. */
  readonly mounts: readonly string[];
  /** Node features asked for beside the type itself, as `mycelium`. */
  readonly features: readonly string[];
}

export interface DeploymentRequest {
  readonly twin: number;
  readonly contract: bigint;
  readonly workloads: readonly WorkloadRequest[];
}

/** What the next version of a deployment does with one workload. */
export interface UpdateOperation {
  readonly kind: 'add' | 'update' | 'remove';
  readonly workload: string;
}

/** One workload that is to be made or changed. */
export interface Ask {
  readonly wanted: WorkloadRequest;
  /** What it holds already, where it is changed. */
  readonly held: ReservedWorkload | undefined;
}

/** A deployment or an update as the rules look at it. */
export interface DeploymentAsk {
  readonly twin: number;
  readonly contract: bigint;
  /** Every workload of the version, those that stay as they are among them. */
  readonly whole: readonly WorkloadRequest[];
  readonly asks: readonly Ask[];
  /** Whether a workload's present name, port and address are given up or asked for anew. */
  readonly leaves: (workload: string) => boolean;
}
