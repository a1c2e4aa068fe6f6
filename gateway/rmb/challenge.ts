/** The 16 bytes a peer signs for an envelope. */
import type { Address, Envelope } from './envelope.ts';
import { platform } from './platform.ts';

/**
 * MD5 over the envelope's parts, joined without separators or lengths. The
 * order is the network's. Neither the kind nor whether the payload is
 * encrypted is covered, so a reader must not infer them from the signature.
 *
 * Throws where an address is missing: peers disagree on its text then.
 */
export function challenge(envelope: Envelope): Uint8Array {
  const { message } = envelope;
  const head =
    envelope.uid +
    (envelope.tags ?? '') +
    envelope.timestamp.toString() +
    envelope.expiration.toString() +
    addressText(envelope.source, 'source') +
    addressText(envelope.destination, 'destination') +
    (message.case === 'request' ? message.value.command : '') +
    (message.case === 'error' ? `${message.value.code}${message.value.message}` : '') +
    (envelope.schema ?? '') +
    (envelope.federation ?? '');
  const { payload, relays } = envelope;
  return platform.md5(payload.case === undefined ? [head, ...relays] : [head, payload.value, ...relays]);
}

/** One piece of what is hashed. */
export interface ChallengePiece {
  readonly field: string;
  readonly bytes: Uint8Array;
}

/** The parts `challenge` hashes, in order, each with its field; parts without a byte are there, too. */
export function challengePieces(envelope: Envelope): ChallengePiece[] {
  const { source, destination, message, payload } = envelope;
  const pieces: [field: string, value: string | Uint8Array | undefined][] = [
    ['uid', envelope.uid],
    ['tags', envelope.tags],
    ['timestamp', envelope.timestamp.toString()],
    ['expiration', envelope.expiration.toString()],
    ['source.twin', source?.twin.toString()],
    ['source.connection', source?.connection],
    ['destination.twin', destination?.twin.toString()],
    ['destination.connection', destination?.connection],
  ];
  if (message.case === 'request') pieces.push(['request.command', message.value.command]);
  if (message.case === 'error') {
    pieces.push(['error.code', message.value.code.toString()], ['error.message', message.value.message]);
  }
  pieces.push(['schema', envelope.schema], ['federation', envelope.federation]);
  if (payload.case !== undefined) pieces.push([payload.case, payload.value]);
  for (const [index, relay] of envelope.relays.entries()) pieces.push([`relays[${index}]`, relay]);
  const encoder = new TextEncoder();
  return pieces.map(([field, value = '']) => ({
    field,
    bytes: typeof value === 'string' ? encoder.encode(value) : value,
  }));
}

function addressText(value: Address | undefined, field: string): string {
  if (value === undefined) throw new TypeError(`an envelope without ${field} has no challenge`);
  return `${value.twin}${value.connection ?? ''}`;
}
