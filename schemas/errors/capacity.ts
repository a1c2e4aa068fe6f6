/** Refusals of the planner: what was asked for does not fit. Numbers 3000 to 3099. */
import { z } from 'zod';
import { entry } from './table.ts';

const bytes = z.int().nonnegative();

export const capacityErrors = {
  capacity_memory: entry({
    number: 3000,
    stage: 'capacity',
    fault: 'caller',
    retryable: true,
    details: z.object({
      requested: bytes,
      available: bytes,
      total: bytes,
      system: bytes,
      committed: bytes,
      pending: bytes,
    }),
    // Existing clients know this sentence; the numbers behind it are the whole deployment's.
    message: (d) =>
      `failed to satisfy required capacity: cannot fulfil required memory size ${d.requested} bytes out of usable ${d.available} bytes` +
      ` (total ${d.total}, system ${d.system}, committed ${d.committed}, pending ${d.pending})`,
    remedy: 'ask for less memory or choose another node',
  }),
} as const;
