/** zmount: a disk file of storaged. */
import type { Workload } from '../../schemas/deployment.ts';
import { loadData } from '../../schemas/validate.ts';
import { zmount } from '../../schemas/workloads/zmount.ts';
import { resizeStep } from './resize.ts';
import { removeConfirmed, type WorkloadDriver } from './workload.ts';

const sizeOf = (workload: Workload): number => Number(loadData(zmount, workload).size);

export const zmountDriver: WorkloadDriver = {
  type: zmount.name,
  request: (workload, id) => {
    const size = sizeOf(workload);
    return {
      name: workload.name,
      type: workload.type,
      vcpus: 0,
      memoryBytes: 0,
      publicIps: 0,
      allocations: [{ resource: id, kind: 'disk', media: 'ssd', bytes: size }],
      mounts: [],
      features: [],
    };
  },
  work: ({ id, workload, daemons: { storage } }) => {
    const size = sizeOf(workload);
    return {
      present: (calling) => storage.DiskExists({ name: id }, calling),
      steps: [
        {
          name: 'disk',
          stage: 'storage',
          deadlineMs: 60_000,
          allocatesBytes: size,
          ensure: async (calling) => {
            if (await storage.DiskExists({ name: id }, calling)) return;
            await storage.DiskCreate({ name: id, size }, calling);
          },
          hasData: (calling) => storage.DiskExists({ name: id }, calling),
          undo: (calling) =>
            removeConfirmed(
              `disk ${id}`,
              () => storage.DiskDelete({ name: id }, calling),
              () => storage.DiskExists({ name: id }, calling),
            ),
        },
      ],
      result: () => Promise.resolve(JSON.stringify({ volume_id: id })),
    };
  },
  change: ({ id, workload, daemons: { storage } }, to) =>
    resizeStep(sizeOf(workload), sizeOf(to.workload), (size, calling) =>
      // Never shrinks a disk: one that grew behind a call that was given up is found out so.
      storage.DiskResize({ name: id, size }, calling),
    ),
};
