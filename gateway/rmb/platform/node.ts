/** Node: its own cryptography, `ws`, and worker threads for sr25519. */
import {
  createCipheriv,
  createDecipheriv,
  createECDH,
  createHash,
  createPrivateKey,
  createSecretKey,
  hash,
  type KeyObject,
  randomFillSync,
  randomUUID,
  sign as signWithKey,
} from 'node:crypto';
import { SignatureVerifier } from '../signature.ts';
import type { Platform } from './interface.ts';
import { dialWithWs } from './node-line.ts';

const TAG_BYTES = 16;

// PKCS#8 around a bare ed25519 seed.
const ED25519_PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');

/** Where the parts of a challenge are put together: nothing waits while it is in use. */
const scratch = Buffer.alloc(16 * 1024);

const RANDOM_POOL_BYTES = 4096;
let randomPool = Buffer.alloc(0);
let randomAt = 0;

export const platform: Platform = {
  md5(parts) {
    // One call for all of them costs half as much as an object that takes them one by one.
    const size = parts.reduce((sum, part) => sum + (typeof part === 'string' ? 3 * part.length : part.length), 0);
    if (size > scratch.length) return md5OfMany(parts);
    let at = 0;
    for (const part of parts) {
      if (typeof part === 'string') at += scratch.write(part, at, 'utf8');
      else {
        scratch.set(part, at);
        at += part.length;
      }
    }
    return hash('md5', scratch.subarray(0, at), 'buffer');
  },
  sha256: (bytes) => hash('sha256', bytes, 'buffer'),
  randomBytes,
  uuid: () => randomUUID(),
  payloadKey(bytes) {
    // Not the bytes themselves: Node takes four times as long to find out that they are no key object.
    const key = createSecretKey(bytes);
    return {
      seal(nonce, plain) {
        const cipher = createCipheriv('aes-256-gcm', key, nonce);
        return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
      },
      unseal(nonce, sealed) {
        const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
        const end = sealed.length - TAG_BYTES;
        decipher.setAuthTag(sealed.subarray(end));
        return Buffer.concat([decipher.update(sealed.subarray(0, end)), decipher.final()]);
      },
    };
  },
  ed25519(seed) {
    const key = createPrivateKey({ key: Buffer.concat([ED25519_PKCS8, seed]), format: 'der', type: 'pkcs8' });
    return { publicKey: ed25519PublicKey(key), sign: (message) => signWithKey(null, message, key) };
  },
  secp256k1(secret) {
    const curve = createECDH('secp256k1');
    curve.setPrivateKey(secret);
    return {
      publicKey: new Uint8Array(curve.getPublicKey(null, 'compressed')),
      agree: (otherKey) => curve.computeSecret(otherKey),
    };
  },
  /** A node with an ed25519 seed is spared 60 MiB. */
  async schnorr() {
    const schnorr = await import('../wasm-crypto.ts');
    await schnorr.waitReady();
    return schnorr;
  },
  newVerifier: () => new SignatureVerifier(),
  encodeBase64url: (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url'),
  decodeBase64url: (text) => Buffer.from(text, 'base64url'),
  dial: dialWithWs,
};

function md5OfMany(parts: readonly (string | Uint8Array)[]): Uint8Array {
  const md5 = createHash('md5');
  for (const part of parts) {
    if (typeof part === 'string') md5.update(part, 'utf8');
    else md5.update(part);
  }
  return md5.digest();
}

/** From a pool, as asking for a few bytes costs as much as for thousands. No byte is given twice. */
function randomBytes(count: number): Uint8Array {
  if (randomAt + count > randomPool.length) {
    randomPool = randomFillSync(Buffer.alloc(Math.max(RANDOM_POOL_BYTES, count)));
    randomAt = 0;
  }
  randomAt += count;
  return randomPool.subarray(randomAt - count, randomAt);
}

function ed25519PublicKey(key: KeyObject): Uint8Array {
  const x = key.export({ format: 'jwk' }).x;
  return new Uint8Array(Buffer.from(x ?? '', 'base64url'));
}
