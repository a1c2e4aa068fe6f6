/** What machines mount is in their deployment, can be mounted, and a disk has one machine. */
import { MINIMUM_FORMATTED_BYTES } from '../../schemas/capacity.ts';
import type { Refusal } from './refusal.ts';
import type { DeploymentRequest } from './request.ts';

const MOUNTABLE = new Set(['zmount', 'volume', 'qsfs']);

export function* checkMounts(request: DeploymentRequest): Generator<Refusal> {
  const disks = new Map<string, string>();
  for (const workload of request.workloads) {
    for (const mount of workload.mounts) {
      const target = request.workloads.find((one) => one.name === mount);
      if (target === undefined) {
        yield { code: 'mount_missing', details: { workload: workload.name, mount } };
        continue;
      }
      if (!MOUNTABLE.has(target.type)) {
        yield { code: 'mount_kind', details: { workload: workload.name, mount, type: target.type } };
      }
      if (target.type !== 'zmount') continue;
      const holder = disks.get(mount);
      const requested = target.allocations.reduce((sum, one) => sum + one.bytes, 0);
      if (holder === undefined && requested < MINIMUM_FORMATTED_BYTES) {
        const minimum = MINIMUM_FORMATTED_BYTES;
        yield { code: 'mount_too_small', details: { workload: workload.name, mount, requested, minimum } };
      }
      if (holder !== undefined) {
        yield { code: 'mount_twice', details: { workload: workload.name, mount, holder } };
      }
      disks.set(mount, workload.name);
    }
  }
}
