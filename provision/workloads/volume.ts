/** volume: a folder with a quota, shared into a machine. */
import type { Workload } from '../../schemas/deployment.ts';
import { loadData } from '../../schemas/validate.ts';
import { volume } from '../../schemas/workloads/volume.ts';
import { resizeStep } from './resize.ts';
import { type Calling, type Daemons, removeConfirmed, type Step, type WorkloadDriver } from './workload.ts';

const sizeOf = (workload: Workload): number => Number(loadData(volume, workload).size);

export const volumeDriver: WorkloadDriver = {
  type: volume.name,
  request: (workload, id) => {
    const size = sizeOf(workload);
    return {
      name: workload.name,
      type: workload.type,
      vcpus: 0,
      memoryBytes: 0,
      publicIps: 0,
      allocations: [{ resource: id, kind: 'volume', media: 'ssd', bytes: size }],
      mounts: [],
      features: [],
    };
  },
  work: ({ id, workload, daemons }) => {
    const size = sizeOf(workload);
    return {
      present: (calling) => daemons.storage.VolumeExists({ name: id }, calling),
      steps: [volumeStep(daemons, 'volume', id, size)],
      result: () => Promise.resolve(JSON.stringify({ id })),
    };
  },
  change: ({ id, workload, daemons: { storage } }, to) =>
    resizeStep(sizeOf(workload), sizeOf(to.workload), (size, calling) =>
      storage.VolumeUpdate({ name: id, size }, calling),
    ),
};

/** A volume of its own name and size; `made` hears its path. */
export function volumeStep(
  { storage }: Daemons,
  step: string,
  name: string,
  size: number,
  made: (path: string) => void = () => {},
): Step {
  return {
    name: step,
    stage: 'storage',
    deadlineMs: 60_000,
    allocatesBytes: size,
    // storaged answers an existing volume unchanged.
    ensure: async (calling: Calling) => made((await storage.VolumeCreate({ name, size }, calling)).Path),
    hasData: (calling: Calling) => storage.VolumeExists({ name }, calling),
    undo: (calling: Calling) =>
      removeConfirmed(
        `volume ${name}`,
        () => storage.VolumeDelete({ name }, calling),
        () => storage.VolumeExists({ name }, calling),
      ),
  };
}
