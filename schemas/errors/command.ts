/** Refusals of the command table. Numbers 1200 to 1299; 0 where clients know the text. */
import { z } from 'zod';
import { entry } from './table.ts';

export const commandErrors = {
  command_unknown: entry({
    number: 0,
    stage: 'command',
    fault: 'caller',
    retryable: false,
    details: z.object({ command: z.string() }),
    message: () => 'function is not found',
  }),
  command_unauthorized: entry({
    number: 0,
    stage: 'command',
    fault: 'caller',
    retryable: false,
    details: z.object({ command: z.string(), twin: z.int() }),
    message: () => 'unauthorized',
  }),
  payload_undecodable: entry({
    number: 0,
    stage: 'command',
    fault: 'caller',
    retryable: false,
    details: z.object({ command: z.string(), field: z.string(), words: z.string(), reason: z.string() }),
    // Existing clients know how this sentence begins; which words they are depends on the command.
    message: (d) => `${d.words}: ${d.reason}`,
  }),
  command_failed: entry({
    number: 0,
    stage: 'command',
    fault: 'node',
    retryable: true,
    details: z.object({ command: z.string(), reason: z.string() }),
    message: (d) => `handler panicked with: ${d.reason}`,
  }),
  command_deadline: entry({
    number: 1201,
    stage: 'command',
    fault: 'node',
    retryable: true,
    details: z.object({ command: z.string(), deadlineMs: z.int() }),
    message: (d) => `${d.command} was not finished within ${d.deadlineMs} ms`,
    remedy: 'ask again; what was accepted goes on',
  }),
  /** Of commands that take long, fewer may run at once than of others. */
  command_places: entry({
    number: 1202,
    stage: 'command',
    fault: 'caller',
    retryable: true,
    details: z.object({
      command: z.string(),
      twin: z.int().nonnegative(),
      whose: z.enum(['twin', 'all']),
      running: z.int().nonnegative(),
      limit: z.int().positive(),
      retryAfterSeconds: z.int(),
    }),
    message: (d) =>
      `${d.whose === 'twin' ? `twin ${d.twin} has` : 'the node has'} ${d.running} requests like ${d.command} running, the limit is ${d.limit}`,
    remedy: 'wait for an answer before the next one; zos.limits.get has the numbers',
  }),
} as const;
