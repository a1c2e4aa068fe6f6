/** The node's own bus failed the request. Numbers 8000 to 8099. */
import { z } from 'zod';
import { entry } from './table.ts';

export const busErrors = {
  bus_module_missing: entry({
    number: 8000,
    stage: 'bus',
    fault: 'node',
    retryable: true,
    details: z.object({ module: z.string() }),
    message: (d) => `module ${d.module} of this node does not answer`,
    remedy: 'the node restarts it by itself; try again in some seconds, or ask its farmer',
  }),
  bus_module_busy: entry({
    number: 8001,
    stage: 'bus',
    fault: 'node',
    retryable: true,
    details: z.object({ module: z.string(), reason: z.string() }),
    message: (d) => `module ${d.module} of this node is too busy: ${d.reason}`,
    remedy: 'try again in some seconds',
  }),
  bus_lost: entry({
    number: 8002,
    stage: 'bus',
    fault: 'node',
    retryable: true,
    details: z.object({ module: z.string() }),
    message: (d) => `the node's bus went away while it asked module ${d.module}`,
    remedy: 'try again in some seconds',
  }),
  bus_call_interrupted: entry({
    number: 8003,
    stage: 'bus',
    fault: 'node',
    retryable: true,
    details: z.object({ reason: z.string() }),
    message: (d) => d.reason,
    remedy: 'try again',
  }),
  module_failed: entry({
    number: 0,
    stage: 'bus',
    fault: 'node',
    retryable: true,
    details: z.object({ module: z.string(), reason: z.string() }),
    // Existing clients match on the module's own words.
    message: (d) => d.reason,
  }),
} as const;
