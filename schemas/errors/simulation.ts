/** What a simulated node says where a real one would have acted. Numbers 1400 to 1499. */
import { z } from 'zod';
import { entry } from './table.ts';

export const simulationErrors = {
  simulation_told_to_fail: entry({
    number: 1400,
    stage: 'host',
    fault: 'operator',
    retryable: false,
    details: z.object({ call: z.string(), pattern: z.string() }),
    message: ({ call, pattern }) => `the simulated node was told to fail this: ${call} (--fail ${pattern})`,
  }),
  simulation_cannot: entry({
    number: 1401,
    stage: 'host',
    fault: 'caller',
    retryable: false,
    details: z.object({ what: z.string(), reason: z.string() }),
    message: ({ what, reason }) => `a simulated node has no ${what}: ${reason}`,
    remedy: 'ask a node that runs on a machine of its own',
  }),
};
