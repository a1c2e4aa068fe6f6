/** The envelopes a relay writes itself. */
import { createEnvelope, type Envelope, encodeEnvelope, nowSeconds } from '../rmb/envelope.ts';
import type { Address } from '../rmb/envelope_pb.ts';

/** Texts that clients know; details belong in the log. */
export const relayTexts = {
  rateLimited: 'exceeded rate limits, dropping message',
  wrongSource: 'message wrong source',
  missingDestination: 'message with missing destination',
  longSession: 'session of the destination has more than 256 characters',
  unknownTwin: 'unknown twin destination',
  noRelay: 'relay info is not set for this twin',
  offline: 'destination offline',
  elsewhere: 'destination is on another relay that this relay does not reach',
  lookupFailed: 'failed to get twin',
  queueFailed: 'failed to queue the message',
  queueFull: 'the queue of the destination is full',
  federationFull: 'too many messages wait for other relays',
  expired: 'message has expired',
  rejected: 'remote relay rejected permanently: destination offline',
  twinGone: 'remote relay rejected permanently: self twin not found!',
  relayGone: 'remote relay rejected permanently: relay is not set for this twin',
} as const;

const ERROR_LIFETIME_SECONDS = 300n;
const PONG_TEXT = Buffer.from('hello world');

/**
 * An error for the sender of a request: unsigned and without a source, as
 * relays have no key. What comes of federation names no destination either.
 */
export function errorReply(uid: string, to: Address | undefined, text: string): Uint8Array {
  return encodeEnvelope(
    createEnvelope({
      uid,
      timestamp: BigInt(nowSeconds()),
      expiration: ERROR_LIFETIME_SECONDS,
      ...(to === undefined ? {} : { destination: to }),
      message: { case: 'error', value: { code: 0, message: text } },
    }),
  );
}

/** The ping turned into a pong: addresses swapped, everything else kept. */
export function pongReply(ping: Envelope): Uint8Array {
  const { source, destination } = ping;
  const pong: Envelope = {
    ...ping,
    message: { case: 'pong', value: { $typeName: 'Pong' } },
    payload: { case: 'plain', value: PONG_TEXT },
  };
  if (destination === undefined) delete pong.source;
  else pong.source = destination;
  if (source === undefined) delete pong.destination;
  else pong.destination = source;
  return encodeEnvelope(pong);
}

/** Whether the tags have the token `fail-fast`, split at commas and white space. */
export function hasFailFast(tags: string | undefined): boolean {
  return tags?.split(/[,\s]+/).includes('fail-fast') ?? false;
}
