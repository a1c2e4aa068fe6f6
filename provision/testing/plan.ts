/** Requests in the planner's words, for tests of plans. */
import type { Reservation } from '../plan/capacity.ts';
import { Ledger } from '../plan/ledger.ts';
import type { Plan } from '../plan/plan.ts';
import type { Refusal } from '../plan/refusal.ts';
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

/** Books of deployments that stay. */
export function ledgerOf(reservations: readonly Reservation[]): Ledger {
  const ledger = new Ledger();
  for (const { twin, contract, workloads } of reservations) {
    const lines = workloads.map((holds) => ({ holds, stands: holds.state === 'committed', isLeaving: false }));
    ledger.replace(`${twin}-${contract}`, { twin, contract, lines });
  }
  return ledger;
}
