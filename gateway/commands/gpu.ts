import { gpuList } from '../../schemas/index.ts';
import { handle } from './handler.ts';

export const gpuHandlers = [
  handle(gpuList, async (_input, { node, signal, deadlineMs }) => {
    const gpus = await node.statistics.ListGPUs({}, { signal, deadlineMs });
    return gpus.map(({ ID, Vendor, Device, Vram, Contract }) => ({
      id: ID,
      vendor: Vendor,
      device: Device,
      vram: Vram,
      contract: Contract,
    }));
  }),
];
