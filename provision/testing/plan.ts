/** Requests in the planner's words, for tests of plans. */
import type { Plan, Refusal } from '../plan/plan.ts';
import type { DeploymentRequest, WorkloadRequest } from '../plan/request.ts';

export function workload(name: string, type: string, given: Partial<WorkloadRequest> = {}): WorkloadRequest {
  return { name, type, vcpus: 0, memoryBytes: 0, publicIps: 0, allocations: [], mounts: [], features: [], ...given };
}

export function disk(name: string, bytes: number): WorkloadRequest {
  return workload(name, 'zmount', { allocations: [{ resource: `7-1-${name}`, kind: 'disk', media: 'ssd', bytes }] });
}

export function network(name: string, port = 0, subnet = '10.1.2.0/24'): WorkloadRequest {
  return workload(name, 'network', { network: { name, subnet, range: '10.1.0.0/16', wireguardPort: port } });
}

export const request = (workloads: readonly WorkloadRequest[], contract = 1n, twin = 7): DeploymentRequest => ({
  twin,
  contract,
  workloads,
});

export function refusals(plan: Plan): readonly Refusal[] {
  return plan.fits ? [] : plan.refusals;
}

export const codes = (plan: Plan): string[] => refusals(plan).map((one) => one.code);
