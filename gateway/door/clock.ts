/** Check 7: not from the future. A clock ahead would lengthen the life that the sender may ask for. */
import { GridError } from '../../schemas/errors/index.ts';
import type { Envelope } from '../rmb/envelope.ts';
import type { DoorLimits } from './limits.ts';

export function checkClock(envelope: Envelope, nowSeconds: number, limits: DoorLimits): GridError | undefined {
  const timestampSeconds = Number(envelope.timestamp);
  const differenceSeconds = timestampSeconds - nowSeconds;
  if (differenceSeconds <= limits.aheadSeconds) return undefined;
  const allowedSeconds = limits.aheadSeconds;
  return new GridError('envelope_from_future', { nowSeconds, timestampSeconds, differenceSeconds, allowedSeconds });
}
