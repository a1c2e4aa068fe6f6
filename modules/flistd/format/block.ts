/**
 * One block of a flist, version 2: a file's bytes, compressed, then encrypted
 * under their own hash, stored under the hash of the result.
 *
 *     key  = BLAKE2b-256(plain)
 *     blob = AES-256-GCM(key, nonce = key[0..12], snappy(plain)), tag appended
 *     id   = BLAKE2b-256(blob)
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { createBLAKE2b } from 'hash-wasm';
import { compress, uncompress } from 'snappyjs';

/** Every block of a file but the last has this many plain bytes. */
export const BLOCK_BYTES = 512 * 1024;
export const ID_BYTES = 32;
export const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Snappy adds at most a sixth and a header. */
export const BLOB_LIMIT_BYTES = BLOCK_BYTES + Math.ceil(BLOCK_BYTES / 6) + 64 + TAG_BYTES;

const hasher = await createBLAKE2b(256);

function blake2b(data: Uint8Array): Buffer {
  return Buffer.from(hasher.init().update(data).digest('binary'));
}

export interface EncodedBlock {
  readonly id: Buffer;
  readonly key: Buffer;
  readonly blob: Buffer;
}

/** A block that is not what its id and key promise; the text says which check failed. */
export class BlockError extends Error {
  override readonly name = 'BlockError';
}

/** Encodes 1 to `BLOCK_BYTES` plain bytes. */
export function encodeBlock(plain: Uint8Array): EncodedBlock {
  const key = blake2b(plain);
  const cipher = createCipheriv('aes-256-gcm', key, key.subarray(0, NONCE_BYTES));
  const blob = Buffer.concat([cipher.update(compress(plain)), cipher.final(), cipher.getAuthTag()]);
  return { id: blake2b(blob), key, blob };
}

/** The plain bytes of a stored block, every hash checked. Throws `BlockError`. */
export function decodeBlock(id: Uint8Array, key: Uint8Array, blob: Uint8Array): Uint8Array {
  if (!blake2b(blob).equals(id)) throw new BlockError(`its ${blob.length} bytes do not hash to its id`);
  if (blob.length <= TAG_BYTES) throw new BlockError(`it has only ${blob.length} bytes`);
  let compressed: Buffer;
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, key.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
    decipher.setAuthTag(blob.subarray(blob.length - TAG_BYTES));
    compressed = Buffer.concat([decipher.update(blob.subarray(0, blob.length - TAG_BYTES)), decipher.final()]);
  } catch {
    throw new BlockError('its key does not open it');
  }
  let plain: Uint8Array;
  try {
    plain = uncompress(compressed, BLOCK_BYTES);
  } catch (error) {
    throw new BlockError(`it does not decompress: ${(error as Error).message}`);
  }
  if (!blake2b(plain).equals(key)) throw new BlockError('its content does not hash to its key');
  return plain;
}
