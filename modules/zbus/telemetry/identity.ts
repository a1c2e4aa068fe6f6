/**
 * Trace and span ids that every process makes from the correlation id alone, so that what goes on
 * after a restart is part of the same trace: docs/decisions/0014-trace-ids-are-the-requests.md.
 */
import { createHash } from 'node:crypto';

const HEX32 = /^[0-9a-f]{32}$/;
const NONE = /^0+$/;

/** 32 hex digits: those of a UUID, or of 32 such digits, as they are; a hash of any other text. */
export function traceIdOf(correlation: string): string {
  const digits = correlation.replaceAll('-', '').toLowerCase();
  if (HEX32.test(digits) && !NONE.test(digits)) return digits;
  return hashed(correlation).slice(0, 32);
}

/** 16 hex digits: the span that all others of the request are below. */
export function firstSpanOf(correlation: string): string {
  return hashed(`first span of ${correlation}`).slice(0, 16);
}

function hashed(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
