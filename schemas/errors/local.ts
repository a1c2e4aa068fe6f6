/** Requests that a local service behind the gateway was to answer. Numbers 1300 to 1399. */
import { z } from 'zod';
import { entry } from './table.ts';

const count = z.int().nonnegative();

export const localErrors = {
  local_service_away: entry({
    number: 1300,
    stage: 'local',
    fault: 'operator',
    retryable: true,
    details: z.object({ command: z.string() }),
    message: (d) => `the queue of the service for ${d.command} cannot be reached`,
    remedy: 'try again in some seconds',
  }),
  local_service_full: entry({
    number: 1301,
    stage: 'local',
    fault: 'node',
    retryable: true,
    details: z.object({ command: z.string(), bound: z.enum(['requests', 'twin', 'messages', 'bytes']), limit: count }),
    message: (d) => {
      const what = {
        requests: 'requests wait for their answers',
        twin: 'requests of this twin wait for their answers',
        messages: 'messages wait for the service',
        bytes: 'bytes wait for the service',
      }[d.bound];
      return `the service for ${d.command} is too busy: ${d.limit} ${what}`;
    },
    remedy: 'try again later, or wait for answers before the next request',
  }),
  local_service_answer: entry({
    number: 1302,
    stage: 'local',
    fault: 'node',
    retryable: false,
    details: z.object({ command: z.string(), problem: z.string() }),
    message: (d) => `the service for ${d.command} gave an answer that cannot be sent: ${d.problem}`,
    remedy: 'tell who runs the service',
  }),
} as const;
