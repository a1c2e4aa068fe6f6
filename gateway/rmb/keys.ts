/** A twin's secret: made from words or a hex seed, never shown. */
import { bytesOfHex, hexOf } from './hex.ts';
import type { Schnorr } from './platform/interface.ts';
import { platform } from './platform.ts';
import { type KeyType, keyTypes, SIGNATURE_BYTES, signaturePrefix } from './signature-form.ts';

export { type KeyType, keyTypes, signaturePrefix };

function miniSecretOf(text: string, schnorr: Schnorr | undefined): Uint8Array {
  const words = text.split(/\s+/).join(' ');
  if (schnorr?.bip39Validate(words) !== true) throw new KeyError('the words are not a valid English BIP39 phrase');
  return schnorr.bip39ToMiniSecret(words, '');
}

/** The secret half of a twin. Signs and agrees on keys; its bytes do not come out. */
export class Identity {
  readonly keyType: KeyType;
  /** 32 bytes, the account on the chain. */
  readonly publicKey: Uint8Array;
  /** 33 bytes, the compressed secp256k1 point others encrypt to. */
  readonly encryptionKey: Uint8Array;
  readonly #sign: (message: Uint8Array) => Uint8Array;
  readonly #agree: (otherKey: Uint8Array) => Uint8Array;

  private constructor(keyType: KeyType, miniSecret: Uint8Array, schnorr: Schnorr | undefined) {
    this.keyType = keyType;
    const agreement = platform.secp256k1(miniSecret);
    this.encryptionKey = agreement.publicKey;
    this.#agree = (otherKey) => agreement.agree(otherKey);
    if (schnorr === undefined) {
      const key = platform.ed25519(miniSecret);
      this.publicKey = key.publicKey;
      this.#sign = (message) => key.sign(message);
    } else {
      const pair = schnorr.sr25519KeypairFromSeed(miniSecret);
      const secretKey = pair.slice(0, 64);
      const publicKey = pair.slice(64);
      this.publicKey = publicKey;
      this.#sign = (message) => schnorr.sr25519Sign(publicKey, secretKey, message);
    }
  }

  /**
   * The identity of BIP39 English words or of 64 hex digits with or without
   * `0x`. Words give the network's mini secret (from the entropy, not the usual
   * BIP39 seed). Throws `KeyError`, which never repeats the secret.
   */
  static async fromSecret(secret: string, keyType: KeyType): Promise<Identity> {
    const text = secret.trim();
    const hex = /^(?:0x)?([0-9a-fA-F]{64})$/.exec(text)?.[1];
    if (hex === undefined && text.startsWith('0x')) throw new KeyError('the seed is not 0x and 64 hex digits');
    const schnorr = keyType === 'sr25519' || hex === undefined ? await platform.schnorr() : undefined;
    const miniSecret = (hex === undefined ? undefined : bytesOfHex(hex)) ?? miniSecretOf(text, schnorr);
    try {
      return new Identity(keyType, miniSecret, keyType === 'sr25519' ? schnorr : undefined);
    } catch {
      throw new KeyError('the seed is not a valid secp256k1 scalar');
    }
  }

  /** 65 bytes: the type byte and the signature over `message` as it is. */
  sign(message: Uint8Array): Uint8Array {
    const signature = new Uint8Array(SIGNATURE_BYTES);
    signature[0] = signaturePrefix[this.keyType];
    signature.set(this.#sign(message), 1);
    return signature;
  }

  /** The 32-byte x coordinate shared with the owner of `otherKey`. Throws for bytes that are no point. */
  agree(otherKey: Uint8Array): Uint8Array {
    return this.#agree(otherKey);
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return `Identity(${this.keyType} ${hexOf(this.publicKey)})`;
  }

  toJSON(): { keyType: KeyType; publicKey: string } {
    return { keyType: this.keyType, publicKey: hexOf(this.publicKey) };
  }
}

/** A secret that cannot be used, or that is not where it should be. */
export class KeyError extends Error {
  override readonly name = 'KeyError';
}
