/** Refusals of bytes that are no usable envelope. Numbers 1000 to 1099. */
import { z } from 'zod';
import { entry } from './table.ts';

export const envelopeErrors = {
  envelope_too_large: entry({
    number: 1000,
    stage: 'envelope',
    fault: 'caller',
    retryable: false,
    details: z.object({ sizeBytes: z.int().nonnegative(), limitBytes: z.int().nonnegative() }),
    message: (d) => `envelope of ${d.sizeBytes} bytes is larger than the limit of ${d.limitBytes} bytes`,
    remedy: 'send a smaller payload',
  }),
  envelope_malformed: entry({
    number: 1001,
    stage: 'envelope',
    fault: 'caller',
    retryable: false,
    details: z.object({ problem: z.string() }),
    message: (d) => `the bytes are not an envelope: ${d.problem}`,
  }),
  envelope_field: entry({
    number: 1002,
    stage: 'envelope',
    fault: 'caller',
    retryable: false,
    details: z.object({ field: z.string(), problem: z.string() }),
    message: (d) => `envelope field ${d.field} ${d.problem}`,
  }),
  answer_too_large: entry({
    number: 1003,
    stage: 'envelope',
    fault: 'caller',
    retryable: false,
    details: z.object({ sizeBytes: z.int().nonnegative(), limitBytes: z.int().nonnegative() }),
    message: (d) => `the answer of ${d.sizeBytes} bytes is larger than the ${d.limitBytes} bytes that relays pass on`,
    remedy: 'ask for less: one deployment instead of all',
  }),
  payload_too_large: entry({
    number: 1004,
    stage: 'envelope',
    fault: 'caller',
    retryable: false,
    details: z.object({ sizeBytes: z.int().nonnegative(), limitBytes: z.int().nonnegative() }),
    message: (d) => `payload of ${d.sizeBytes} bytes is larger than the limit of ${d.limitBytes} bytes`,
    remedy: 'send less in one request',
  }),
} as const;
