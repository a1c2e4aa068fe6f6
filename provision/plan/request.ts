/** What a deployment asks of the node, in the planner's words. */
import type { Allocation } from './capacity.ts';
import type { AddressClaim, NetworkClaim } from './holdings.ts';

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
  /** Ids of the GPUs a machine asks for. */
  readonly gpus?: readonly string[];
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
