/**
 * Signatures on their way to a worker thread: one block of bytes for many, as
 * copying objects costs more than a part of the mathematics. Each is the
 * message's length (4, little-endian), account (32), signature (64), message.
 */
const ACCOUNT_BYTES = 32;
const SIGNATURE_BYTES = 64;
const FIXED_BYTES = 4 + ACCOUNT_BYTES + SIGNATURE_BYTES;

export interface Sr25519Job {
  readonly account: Uint8Array;
  readonly message: Uint8Array;
  readonly signature: Uint8Array;
}

/** Throws where account or signature have another length. */
export function packJobs(jobs: readonly Sr25519Job[]): Uint8Array<ArrayBuffer> {
  let size = 0;
  for (const { account, message, signature } of jobs) {
    if (account.length !== ACCOUNT_BYTES || signature.length !== SIGNATURE_BYTES) {
      throw new RangeError(`an account of ${account.length} and a signature of ${signature.length} bytes`);
    }
    size += FIXED_BYTES + message.length;
  }
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const { account, message, signature } of jobs) {
    view.setUint32(at, message.length, true);
    bytes.set(account, at + 4);
    bytes.set(signature, at + 4 + ACCOUNT_BYTES);
    bytes.set(message, at + FIXED_BYTES);
    at += FIXED_BYTES + message.length;
  }
  return bytes;
}

export function unpackJobs(bytes: Uint8Array): Sr25519Job[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const jobs: Sr25519Job[] = [];
  let at = 0;
  while (at < bytes.length) {
    const end = at + FIXED_BYTES + view.getUint32(at, true);
    const accountEnd = at + 4 + ACCOUNT_BYTES;
    jobs.push({
      account: bytes.subarray(at + 4, accountEnd),
      signature: bytes.subarray(accountEnd, at + FIXED_BYTES),
      message: bytes.subarray(at + FIXED_BYTES, end),
    });
    at = end;
  }
  return jobs;
}
