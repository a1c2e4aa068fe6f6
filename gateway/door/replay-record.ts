/**
 * A request that was let in, as bytes of one length: expiry (6), twin (4), both
 * digests (16 each), CRC-32 of these (4); numbers big-endian. One length lets
 * a reader find the next record behind a damaged one.
 */
import { crc32 } from 'node:zlib';
import { DIGEST_BYTES, type ReplayEntry } from './replay.ts';

/** First bytes of a file of records; the digit changes with the form. */
export const HEADER = Buffer.from('GRIDRPL1', 'latin1');

const TWIN_AT = 6;
const KEY_AT = TWIN_AT + 4;
const SIGNED_AT = KEY_AT + DIGEST_BYTES;
const CHECK_AT = SIGNED_AT + DIGEST_BYTES;
export const RECORD_BYTES = CHECK_AT + 4;

export function encodeRecords(entries: readonly ReplayEntry[]): Buffer {
  const bytes = Buffer.alloc(entries.length * RECORD_BYTES);
  let at = 0;
  for (const { expiresAt, twin, key, signed } of entries) {
    bytes.writeUIntBE(expiresAt, at, 6);
    bytes.writeUInt32BE(twin, at + TWIN_AT);
    bytes.write(key, at + KEY_AT, DIGEST_BYTES, 'latin1');
    bytes.write(signed, at + SIGNED_AT, DIGEST_BYTES, 'latin1');
    bytes.writeUInt32BE(crc32(bytes.subarray(at, at + CHECK_AT)), at + CHECK_AT);
    at += RECORD_BYTES;
  }
  return bytes;
}

/** The record at `at`; undefined where it is damaged. */
export function decodeRecord(bytes: Buffer, at: number): ReplayEntry | undefined {
  if (crc32(bytes.subarray(at, at + CHECK_AT)) !== bytes.readUInt32BE(at + CHECK_AT)) return undefined;
  return {
    expiresAt: bytes.readUIntBE(at, 6),
    twin: bytes.readUInt32BE(at + TWIN_AT),
    key: bytes.toString('latin1', at + KEY_AT, at + SIGNED_AT),
    signed: bytes.toString('latin1', at + SIGNED_AT, at + CHECK_AT),
  };
}
