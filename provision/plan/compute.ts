/** Processors and memory. */
import type { Capacity, Snapshot } from './capacity.ts';
import type { Refusal } from './refusal.ts';
import type { WorkloadRequest } from './request.ts';

/** No machine has more vCPUs than the host has logical ones, however many are sold of each. */
export function* checkMachines(workloads: readonly WorkloadRequest[], { cpus: cores }: Snapshot): Generator<Refusal> {
  for (const { name: workload, vcpus: requested } of workloads) {
    if (requested > cores) yield { code: 'capacity_machine_cpu', details: { workload, requested, cores } };
  }
}

/** What is added, together. */
export function* checkCompute(
  added: ReadonlyArray<Pick<WorkloadRequest, 'vcpus' | 'memoryBytes'>>,
  { cpus: cores, policy: { cpuOvercommit: overcommit } }: Snapshot,
  capacity: Capacity,
): Generator<Refusal> {
  const vcpus = added.reduce((sum, one) => sum + one.vcpus, 0);
  if (vcpus > capacity.vcpus.free) {
    const { committed, pending, free: available } = capacity.vcpus;
    yield { code: 'capacity_cpu', details: { requested: vcpus, available, cores, overcommit, committed, pending } };
  }
  const memory = added.reduce((sum, one) => sum + one.memoryBytes, 0);
  if (memory > capacity.memory.free) {
    const { deficit: _, free, ...rest } = capacity.memory;
    yield { code: 'capacity_memory', details: { requested: memory, available: free, ...rest } };
  }
}
