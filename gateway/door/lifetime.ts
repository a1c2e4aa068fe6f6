/** Check 4: alive by our clock, not from the future, and not for ever. */
import { GridError } from '../../schemas/errors/index.ts';
import { type Envelope, remainingSeconds } from '../rmb/envelope.ts';
import type { DoorLimits } from './limits.ts';

export function checkLifetime(envelope: Envelope, nowSeconds: number, limits: DoorLimits): GridError | undefined {
  const timestampSeconds = Number(envelope.timestamp);
  const expirationSeconds = Number(envelope.expiration);
  if (expirationSeconds < 1 || expirationSeconds > limits.lifetimeSeconds) {
    return new GridError('envelope_lifetime', { expirationSeconds, limitSeconds: limits.lifetimeSeconds });
  }
  if (remainingSeconds(envelope, nowSeconds) <= 0) {
    return new GridError('envelope_expired', { nowSeconds, timestampSeconds, expirationSeconds });
  }
  if (timestampSeconds - nowSeconds > limits.aheadSeconds) {
    return new GridError('envelope_from_future', { nowSeconds, timestampSeconds, allowedSeconds: limits.aheadSeconds });
  }
  return undefined;
}
