/** The golden envelopes, their signers, and what a verdict on a change of them needs. */
import { readFileSync } from 'node:fs';
import { type Envelope, Identity } from '../../gateway/rmb/index.ts';

export interface SignedVector {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly account: Uint8Array;
}

interface VectorFile {
  readonly keys: Readonly<Record<string, { readonly secret: string }>>;
  readonly envelopes: readonly {
    readonly name: string;
    readonly envelope_hex: string;
    readonly account_public_hex?: string;
    readonly challenge_md5_hex?: string;
  }[];
}

const file = JSON.parse(readFileSync(new URL('../vectors/rmb.json', import.meta.url), 'utf8')) as VectorFile;
const fromHex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));

export const signedVectors: readonly SignedVector[] = file.envelopes
  .filter(({ challenge_md5_hex }) => challenge_md5_hex !== undefined)
  .map(({ name, envelope_hex, account_public_hex }) => ({
    name,
    bytes: fromHex(envelope_hex),
    account: fromHex(account_public_hex ?? ''),
  }));

/** A public sample key: never fund it. */
export function vectorIdentity(name: 'A' | 'B' | 'N', keyType: 'ed25519' | 'sr25519'): Promise<Identity> {
  return Identity.fromSecret(file.keys[name]?.secret ?? '', keyType);
}

/** The bytes whose MD5 is signed, in the wire's order. Written a second time here: the first is what is under test. */
export function signedText(envelope: Envelope): Buffer {
  const { message, payload } = envelope;
  const address = (value: Envelope['source']): string => `${value?.twin}${value?.connection ?? ''}`;
  const kind =
    message.case === 'request'
      ? message.value.command
      : message.case === 'error'
        ? `${message.value.code}${message.value.message}`
        : '';
  return Buffer.concat([
    Buffer.from(`${envelope.uid}${envelope.tags ?? ''}${envelope.timestamp}${envelope.expiration}`),
    Buffer.from(`${address(envelope.source)}${address(envelope.destination)}${kind}`),
    Buffer.from(`${envelope.schema ?? ''}${envelope.federation ?? ''}`),
    payload.case === undefined ? Buffer.alloc(0) : payload.value,
    Buffer.from(envelope.relays.join('')),
  ]);
}

/** What an envelope says, field by field; the encoding and unknown fields are left out. */
export function meaning(envelope: Envelope): Readonly<Record<string, string>> {
  const { message, payload, source, destination } = envelope;
  const bytes = (value: Uint8Array | undefined): string =>
    value === undefined ? '-' : Buffer.from(value).toString('hex');
  return {
    uid: envelope.uid,
    tags: JSON.stringify(envelope.tags),
    timestamp: `${envelope.timestamp}`,
    expiration: `${envelope.expiration}`,
    source: JSON.stringify([source?.twin, source?.connection]),
    destination: JSON.stringify([destination?.twin, destination?.connection]),
    message: JSON.stringify([message.case, message.value], (key, value) => (key.startsWith('$') ? undefined : value)),
    signature: bytes(envelope.signature),
    schema: JSON.stringify(envelope.schema),
    federation: JSON.stringify(envelope.federation),
    payload: `${payload.case} ${bytes(payload.value)}`,
    relays: JSON.stringify(envelope.relays),
  };
}

/**
 * The ambiguity that the wire has: the signed text is the same to the byte,
 * only its parts, the kind, the kind of payload, or what is absent and what is
 * empty differ. No other change of an envelope may verify.
 */
export function sameSignedText(one: Envelope, other: Envelope): boolean {
  return (
    Buffer.compare(signedText(one), signedText(other)) === 0 &&
    Buffer.compare(one.signature ?? Buffer.alloc(0), other.signature ?? Buffer.alloc(0)) === 0
  );
}
