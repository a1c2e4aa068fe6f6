/** Every workload type this node runs: a file each, a line here each. */

import type { Deployment, Workload } from '../../schemas/deployment.ts';
import { GridError } from '../../schemas/errors/index.ts';
import { workloadId } from '../../schemas/ids.ts';
import type { DeploymentRequest, WorkloadRequest } from '../plan/request.ts';
import { networkDriver } from './network.ts';
import { volumeDriver } from './volume.ts';
import type { WorkloadDriver } from './workload.ts';
import { zmachineDriver } from './zmachine.ts';
import { zmountDriver } from './zmount.ts';

export const workloadDrivers: ReadonlyMap<string, WorkloadDriver> = new Map(
  [zmountDriver, volumeDriver, networkDriver, zmachineDriver].map((driver) => [driver.type, driver]),
);

/** What the node offers, in the words of `zos.system.node_features_get`: the types it runs, and more. */
export const nodeFeatures: readonly string[] = [...workloadDrivers.keys(), 'wireguard'];

/** The driver of a type; throws `workload_unsupported`. */
export function driverOf(workload: string, type: string): WorkloadDriver {
  const driver = workloadDrivers.get(type);
  if (driver !== undefined) return driver;
  throw new GridError('workload_unsupported', { workload, type, supported: [...workloadDrivers.keys()] });
}

/** What a validated deployment asks of the node. Types this node does not run ask for nothing; the plan refuses them. */
export function requestOf(deployment: Deployment): DeploymentRequest {
  const { twin_id: twin, contract_id: contract } = deployment;
  return {
    twin,
    contract,
    workloads: deployment.workloads.map((workload) => requestOfWorkload(twin, contract, workload)),
  };
}

/** What one of its workloads asks for. */
export function requestOfWorkload(twin: number, contract: bigint, workload: Workload): WorkloadRequest {
  const { name, type } = workload;
  const driver = workloadDrivers.get(type);
  if (driver !== undefined) return driver.request(workload, workloadId(twin, contract, name));
  return { name, type, vcpus: 0, memoryBytes: 0, publicIps: 0, allocations: [], mounts: [], features: [] };
}
