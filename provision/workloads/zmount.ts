/** zmount: a disk file of storaged. */
import { loadData } from '../../schemas/validate.ts';
import { zmount } from '../../schemas/workloads/zmount.ts';
import { removeConfirmed, type WorkloadDriver } from './workload.ts';

export const zmountDriver: WorkloadDriver = {
  type: zmount.name,
  request: (workload, id) => {
    const size = Number(loadData(zmount, workload).size);
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
    const size = Number(loadData(zmount, workload).size);
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
};
