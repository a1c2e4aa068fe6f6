/** Browsers: no secp256k1, MD5 or synchronous AES of their own, no WebSocket pings, no threads we could rely on. */
import { gcm } from '@noble/ciphers/aes.js';
import { secp256k1 } from '@noble/curves/secp256k1';
import { md5 } from '@noble/hashes/legacy';
import { sha256 } from '@noble/hashes/sha2';
import { bytesToHex } from '@noble/hashes/utils';
import nacl from 'tweetnacl';
import { findSignatureFormFault, type SignatureFault, signaturePrefix } from '../signature-form.ts';
import { dialWithBrowser } from './browser-line.ts';
import type { Platform, Schnorr, Verifier } from './interface.ts';

const encoder = new TextEncoder();

export const platform: Platform = {
  md5(parts) {
    const hash = md5.create();
    for (const part of parts) hash.update(typeof part === 'string' ? encoder.encode(part) : part);
    return hash.digest();
  },
  sha256: (bytes) => sha256(bytes),
  randomBytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
  uuid() {
    // `crypto.randomUUID` is for https pages only.
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
    bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
    return bytesToHex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  },
  payloadKey: (key) => ({
    seal: (nonce, plain) => gcm(key, nonce).encrypt(plain),
    unseal: (nonce, sealed) => gcm(key, nonce).decrypt(sealed),
  }),
  ed25519(seed) {
    const { publicKey, secretKey } = nacl.sign.keyPair.fromSeed(seed);
    return { publicKey, sign: (message) => nacl.sign.detached(message, secretKey) };
  },
  secp256k1: (secret) => ({
    publicKey: secp256k1.getPublicKey(secret, true),
    agree: (otherKey) => secp256k1.getSharedSecret(secret, otherKey, true).slice(1),
  }),
  schnorr: loadSchnorr,
  newVerifier: () => new BrowserVerifier(),
  encodeBase64url: (bytes) =>
    btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))
      .replaceAll('+', '-')
      .replaceAll('/', '_')
      .replaceAll('=', ''),
  decodeBase64url(text) {
    try {
      return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0));
    } catch {
      return new Uint8Array(0);
    }
  },
  dial: dialWithBrowser,
};

/** As a part of its own in the bundle: who meets no sr25519 key never loads it. */
async function loadSchnorr(): Promise<Schnorr> {
  const schnorr = await import('@polkadot/wasm-crypto');
  await schnorr.waitReady();
  return schnorr;
}

class BrowserVerifier implements Verifier {
  async verify(
    account: Uint8Array,
    message: Uint8Array,
    signature: Uint8Array | undefined,
  ): Promise<SignatureFault | undefined> {
    const fault = findSignatureFormFault(signature);
    if (fault !== undefined || signature === undefined) return fault ?? 'message is not signed';
    const bytes = signature.slice(1);
    if (signature[0] === signaturePrefix.ed25519) {
      const valid = account.length === 32 && nacl.sign.detached.verify(message, bytes, account);
      return valid ? undefined : 'ed25519 signature verification failed';
    }
    const schnorr = await loadSchnorr();
    try {
      if (schnorr.sr25519Verify(bytes, message, account)) return undefined;
    } catch {
      // Bytes that are no point or no signature.
    }
    return 'sr25519 signature verification failed';
  }

  async close(): Promise<void> {}
}
