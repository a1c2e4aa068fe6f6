/** Check 5: no larger than a request needs to be, as a frame and in its payload. */
import { GridError } from '../../schemas/errors/index.ts';
import type { Envelope } from '../rmb/envelope.ts';
import type { DoorLimits } from './limits.ts';

export function checkFrameSize(bytes: Uint8Array, limits: DoorLimits): GridError | undefined {
  if (bytes.length <= limits.sizeBytes) return undefined;
  return new GridError('envelope_too_large', { sizeBytes: bytes.length, limitBytes: limits.sizeBytes });
}

export function checkPayloadSize({ payload }: Envelope, limits: DoorLimits): GridError | undefined {
  const sizeBytes = payload.value?.length ?? 0;
  if (sizeBytes <= limits.payloadBytes) return undefined;
  return new GridError('payload_too_large', { sizeBytes, limitBytes: limits.payloadBytes });
}
