/** The two signature schemes and the form of a signature, before any mathematics. */
export const keyTypes = ['ed25519', 'sr25519'] as const;
export type KeyType = (typeof keyTypes)[number];

/** First byte of a signature: which scheme the other 64 bytes are of. */
export const signaturePrefix: Readonly<Record<KeyType, number>> = { ed25519: 0x65, sr25519: 0x73 };

export const SIGNATURE_BYTES = 65;

/** Why a signature is not believed; texts are the ones existing peers use. */
export type SignatureFault =
  | 'message is not signed'
  | `invalid signature length, expected: 65, found: ${number}`
  | 'invalid signature type (expected either sr25519 or ed25519)'
  | 'sr25519 signature verification failed'
  | 'ed25519 signature verification failed';

/** What is wrong with a signature by its looks. */
export function findSignatureFormFault(signature: Uint8Array | undefined): SignatureFault | undefined {
  if (signature === undefined) return 'message is not signed';
  if (signature.length !== SIGNATURE_BYTES) {
    return `invalid signature length, expected: ${SIGNATURE_BYTES}, found: ${signature.length}`;
  }
  if (signature[0] !== signaturePrefix.ed25519 && signature[0] !== signaturePrefix.sr25519) {
    return 'invalid signature type (expected either sr25519 or ed25519)';
  }
  return undefined;
}
