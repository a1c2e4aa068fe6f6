/** Check 1: no larger than a request needs to be. */
import { GridError } from '../../schemas/errors/index.ts';
import type { DoorLimits } from './limits.ts';

export function checkSize(bytes: Uint8Array, limits: DoorLimits): GridError | undefined {
  if (bytes.length <= limits.sizeBytes) return undefined;
  return new GridError('envelope_too_large', { sizeBytes: bytes.length, limitBytes: limits.sizeBytes });
}
