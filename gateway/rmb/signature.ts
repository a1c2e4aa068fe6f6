/** Verifies the 65-byte signatures of envelopes and tokens, both key types. */
import { createPublicKey, type KeyObject, verify as verifyWithKey } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { signaturePrefix } from './keys.ts';
import { Sr25519Pool, type Sr25519PoolOptions, VerifierBusyError } from './sr25519-pool.ts';

export { VerifierBusyError };

const SIGNATURE_BYTES = 65;
const REMEMBERED_KEYS = 4096;

// SubjectPublicKeyInfo around a bare ed25519 key.
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex');

/** Why a signature is not believed; texts are the ones existing peers use. */
export type SignatureFault =
  | 'message is not signed'
  | `invalid signature length, expected: 65, found: ${number}`
  | 'invalid signature type (expected either sr25519 or ed25519)'
  | 'sr25519 signature verification failed'
  | 'ed25519 signature verification failed';

export class SignatureVerifier {
  readonly #pool: Sr25519Pool;
  readonly #keys = new LRUCache<string, KeyObject>({ max: REMEMBERED_KEYS });

  constructor(options: Sr25519PoolOptions = {}) {
    this.#pool = new Sr25519Pool(options);
  }

  /**
   * `undefined` for a good signature of `message` by `account` (32 bytes), else
   * the fault. The type byte alone decides the scheme. Rejects with
   * `VerifierBusyError` where no verdict could be had.
   */
  async verify(
    account: Uint8Array,
    message: Uint8Array,
    signature: Uint8Array | undefined,
  ): Promise<SignatureFault | undefined> {
    const fault = findSignatureFormFault(signature);
    if (fault !== undefined || signature === undefined) return fault ?? 'message is not signed';
    const bytes = signature.subarray(1);
    if (signature[0] === signaturePrefix.ed25519) {
      return (await this.#verifyEd25519(account, message, bytes)) ? undefined : 'ed25519 signature verification failed';
    }
    const valid = account.length === 32 && (await this.#pool.verify(account, message, bytes));
    return valid ? undefined : 'sr25519 signature verification failed';
  }

  /** For services: what the first sr25519 signature needs is loaded before it comes. */
  warm(): void {
    this.#pool.warm();
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }

  #verifyEd25519(account: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
    return new Promise((resolve) => {
      if (account.length !== 32) return resolve(false);
      const id = Buffer.from(account).toString('base64');
      let key = this.#keys.get(id);
      if (key === undefined) {
        key = createPublicKey({ key: Buffer.concat([ED25519_SPKI, account]), format: 'der', type: 'spki' });
        this.#keys.set(id, key);
      }
      // With a callback it runs in libuv's threads. An error means bytes that are no key.
      verifyWithKey(null, message, key, signature, (error, valid) => resolve(error === null && valid));
    });
  }
}

/** What is wrong with a signature before any mathematics. */
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
