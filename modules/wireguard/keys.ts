/** WireGuard keys: X25519, written as base64 in configurations and as hex to the device. */
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';

const KEY_BYTES = 32;
/** DER header of an X25519 private key (RFC 8410); the 32 key bytes follow it. */
const PKCS8_X25519 = Buffer.from('302e020100300506032b656e04220420', 'hex');

/** A new private key, base64. */
export function generatePrivateKey(): string {
  const { privateKey } = generateKeyPairSync('x25519');
  const der = privateKey.export({ format: 'der', type: 'pkcs8' });
  return der.subarray(der.length - KEY_BYTES).toString('base64');
}

/** The public key of a base64 private key, base64. */
export function publicKeyOf(privateKey: string): string {
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8_X25519, decodeKey(privateKey)]),
    format: 'der',
    type: 'pkcs8',
  });
  const der = createPublicKey(key).export({ format: 'der', type: 'spki' });
  return der.subarray(der.length - KEY_BYTES).toString('base64');
}

/** Whether a text is the canonical base64 of 32 bytes. */
export function isKey(text: string): boolean {
  return /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/.test(text);
}

/** The 32 bytes of a base64 key. Throws where the text is none; the text is not repeated, it may be a secret. */
export function decodeKey(text: string): Buffer {
  if (!isKey(text)) throw new Error('not a WireGuard key: 44 base64 characters of 32 bytes are expected');
  return Buffer.from(text, 'base64');
}
