/** Payload encryption between two twins: static secp256k1 agreement, SHA-256, AES-256-GCM. */
import { LRUCache } from 'lru-cache';
import { hexOf } from './hex.ts';
import type { Identity } from './keys.ts';
import type { PayloadKey } from './platform/interface.ts';
import { platform } from './platform.ts';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const REMEMBERED_KEYS = 2048;

/** A payload that cannot be encrypted or decrypted; the text carries no data of either side. */
export class CipherError extends Error {
  override readonly name = 'CipherError';
}

/** Encrypts for and decrypts from other twins with one identity. */
export class PayloadCipher {
  readonly #identity: Identity;
  readonly #keys = new LRUCache<string, PayloadKey>({ max: REMEMBERED_KEYS });

  constructor(identity: Identity) {
    this.#identity = identity;
  }

  /** Nonce, ciphertext and tag of `plain` for the owner of `otherKey` (SEC1 point, 33 or 65 bytes). */
  encrypt(plain: Uint8Array, otherKey: Uint8Array): Uint8Array {
    const nonce = platform.randomBytes(NONCE_BYTES);
    const sealed = this.#sharedKey(otherKey).seal(nonce, plain);
    const field = new Uint8Array(NONCE_BYTES + sealed.length);
    field.set(nonce);
    field.set(sealed, NONCE_BYTES);
    return field;
  }

  /** The plain payload. The signature must have been verified before. Throws `CipherError`. */
  decrypt(field: Uint8Array, otherKey: Uint8Array): Uint8Array {
    if (field.length < NONCE_BYTES + TAG_BYTES) throw new CipherError('invalid cipher data');
    const key = this.#sharedKey(otherKey);
    try {
      return key.unseal(field.subarray(0, NONCE_BYTES), field.subarray(NONCE_BYTES));
    } catch {
      throw new CipherError('the data does not belong to this pair of keys');
    }
  }

  #sharedKey(otherKey: Uint8Array): PayloadKey {
    const id = hexOf(otherKey);
    const known = this.#keys.get(id);
    if (known !== undefined) return known;
    let point: Uint8Array;
    try {
      point = this.#identity.agree(otherKey);
    } catch {
      throw new CipherError('the public key is not a secp256k1 point');
    }
    const key = platform.payloadKey(platform.sha256(point));
    this.#keys.set(id, key);
    return key;
  }
}
