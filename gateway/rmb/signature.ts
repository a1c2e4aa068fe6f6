/** Verifies the 65-byte signatures of envelopes and tokens, both key types. */
import { createPublicKey, type KeyObject, verify as verifyWithKey } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { findSignatureFormFault, type SignatureFault, signaturePrefix } from './signature-form.ts';
import { Sr25519Pool, type Sr25519PoolOptions, VerifierBusyError } from './sr25519-pool.ts';

export { findSignatureFormFault, type SignatureFault, VerifierBusyError };

const REMEMBERED_KEYS = 4096;

// SubjectPublicKeyInfo around a bare ed25519 key.
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex');

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
