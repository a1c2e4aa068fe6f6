import { storagePools } from '../../schemas/index.ts';
import { handle } from './handler.ts';

export const storageHandlers = [
  handle(storagePools, async (_input, { node, signal, deadlineMs }) => {
    const pools = await node.storage.Metrics({}, { signal, deadlineMs });
    return pools.map((pool) => ({ name: pool.Name, type: pool.Type, size: pool.Size, used: pool.Used }));
  }),
];
