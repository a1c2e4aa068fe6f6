/** The chain's hashes and the text forms of bytes and accounts. */
import { blake2b, twox } from '../../../rmb/wasm-crypto.ts';

export function blake2_256(data: Uint8Array): Uint8Array {
  return blake2b(data, new Uint8Array(0), 32);
}

/** 128-bit xxHash of a storage prefix. */
export function twox128(name: string): Uint8Array {
  return twox(new TextEncoder().encode(name), 2);
}

export type Hasher = 'blake2_128_concat' | 'twox64_concat';

/** A map key's part of a storage key: hash, then the key itself. */
export function hashKey(hasher: Hasher, key: Uint8Array): Uint8Array {
  const hash = hasher === 'blake2_128_concat' ? blake2b(key, new Uint8Array(0), 16) : twox(key, 1);
  return Buffer.concat([hash, key]);
}

export function toHex(data: Uint8Array): `0x${string}` {
  return `0x${Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex')}`;
}

/** Bytes of `0x` and an even number of hex digits; anything else throws. */
export function fromHex(hex: string): Uint8Array {
  if (!/^0x([0-9a-fA-F]{2})*$/.test(hex)) throw new RangeError('not a hex string');
  return new Uint8Array(Buffer.from(hex.slice(2), 'hex'));
}
