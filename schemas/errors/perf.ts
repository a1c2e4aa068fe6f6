/** Refusals of the node's own measurements. Numbers 8100 to 8199; 0 where clients know the text. */
import { z } from 'zod';
import { entry } from './table.ts';

const task = z.string();

export const perfErrors = {
  perf_result_missing: entry({
    number: 0,
    stage: 'host',
    fault: 'caller',
    retryable: true,
    details: z.object({ task }),
    // Existing clients know this sentence.
    message: () => 'result not found',
  }),
  perf_task_unknown: entry({
    number: 8100,
    stage: 'host',
    fault: 'operator',
    retryable: false,
    details: z.object({ task, tasks: z.array(task) }),
    message: (d) => `this node has no measurement '${d.task}' (it has ${d.tasks.join(', ')})`,
  }),
  perf_run_failed: entry({
    number: 8101,
    stage: 'host',
    fault: 'node',
    retryable: true,
    details: z.object({ task, reason: z.string() }),
    message: (d) => `measurement '${d.task}' failed: ${d.reason}`,
  }),
} as const;
