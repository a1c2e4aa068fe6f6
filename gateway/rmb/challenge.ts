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

function addressText(value: Address | undefined, field: string): string {
  if (value === undefined) throw new TypeError(`an envelope without ${field} has no challenge`);
  return `${value.twin}${value.connection ?? ''}`;
}
