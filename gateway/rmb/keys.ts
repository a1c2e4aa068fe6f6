/** A twin's secret: made from words or a hex seed, never shown. */
import { createECDH, createPrivateKey, type KeyObject, sign as signWithKey } from 'node:crypto';
import { type KeyType, keyTypes, signaturePrefix } from './signature-form.ts';

export { type KeyType, keyTypes, signaturePrefix };

// PKCS#8 around a bare ed25519 seed.
const ED25519_PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');

/** Loaded when needed only: a node with an ed25519 seed is spared 60 MiB. */
type Schnorr = typeof import('./wasm-crypto.ts');

async function loadSchnorr(): Promise<Schnorr> {
  const schnorr = await import('./wasm-crypto.ts');
  await schnorr.waitReady();
  return schnorr;
}

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
    const curve = createECDH('secp256k1');
    curve.setPrivateKey(miniSecret);
    this.encryptionKey = new Uint8Array(curve.getPublicKey(null, 'compressed'));
    this.#agree = (otherKey) => curve.computeSecret(otherKey);
    if (schnorr === undefined) {
      const key = createPrivateKey({ key: Buffer.concat([ED25519_PKCS8, miniSecret]), format: 'der', type: 'pkcs8' });
      this.publicKey = ed25519PublicKey(key);
      this.#sign = (message) => signWithKey(null, message, key);
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
    const schnorr = keyType === 'sr25519' || hex === undefined ? await loadSchnorr() : undefined;
    const miniSecret = hex === undefined ? miniSecretOf(text, schnorr) : Buffer.from(hex, 'hex');
    try {
      return new Identity(keyType, miniSecret, keyType === 'sr25519' ? schnorr : undefined);
    } catch {
      throw new KeyError('the seed is not a valid secp256k1 scalar');
    }
  }

  /** 65 bytes: the type byte and the signature over `message` as it is. */
  sign(message: Uint8Array): Uint8Array {
    const signature = new Uint8Array(65);
    signature[0] = signaturePrefix[this.keyType];
    signature.set(this.#sign(message), 1);
    return signature;
  }

  /** The 32-byte x coordinate shared with the owner of `otherKey`. Throws for bytes that are no point. */
  agree(otherKey: Uint8Array): Uint8Array {
    return this.#agree(otherKey);
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return `Identity(${this.keyType} ${Buffer.from(this.publicKey).toString('hex')})`;
  }

  toJSON(): { keyType: KeyType; publicKey: string } {
    return { keyType: this.keyType, publicKey: Buffer.from(this.publicKey).toString('hex') };
  }
}

function ed25519PublicKey(key: KeyObject): Uint8Array {
  const x = key.export({ format: 'jwk' }).x;
  return new Uint8Array(Buffer.from(x ?? '', 'base64url'));
}

/** A secret that cannot be used, or that is not where it should be. */
export class KeyError extends Error {
  override readonly name = 'KeyError';
}
