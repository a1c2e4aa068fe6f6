/** Check 6: alive by our clock, and not for ever. */
import { GridError } from '../../schemas/errors/index.ts';
import { type Envelope, remainingSeconds } from '../rmb/envelope.ts';
import type { DoorLimits } from './limits.ts';

export function checkLifetime(envelope: Envelope, nowSeconds: number, limits: DoorLimits): GridError | undefined {
  const timestampSeconds = Number(envelope.timestamp);
  const expirationSeconds = Number(envelope.expiration);
  if (expirationSeconds < 1 || expirationSeconds > limits.lifetimeSeconds) {
    return new GridError('envelope_lifetime', { expirationSeconds, limitSeconds: limits.lifetimeSeconds });
  }
  if (remainingSeconds(envelope, nowSeconds) > 0) return undefined;
  const differenceSeconds = nowSeconds - timestampSeconds;
  return new GridError('envelope_expired', { nowSeconds, timestampSeconds, differenceSeconds, expirationSeconds });
}
