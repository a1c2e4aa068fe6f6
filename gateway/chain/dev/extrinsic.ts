/** Reads a submitted transaction and checks who signed it. */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { sr25519Verify } from '../../rmb/wasm-crypto.ts';
import { runtimeVersion } from './description/system.ts';
import { type Era, EraCodec, eraBirth } from './description/transaction.ts';
import { MultiAddress, MultiSignature, RuntimeCall, type RuntimeCallValue } from './description/types.ts';
import { Reader, ScaleError, Writer } from './scale/bytes.ts';
import { compact, encode, u32, u128, type ValueOf } from './scale/codec.ts';
import { blake2_256, toHex } from './scale/hashing.ts';

export interface Transaction {
  /** Hash of the bytes below. */
  readonly hash: string;
  /** The transaction with its length prefix, as it stands in a block. */
  readonly bytes: Uint8Array;
  readonly who: Uint8Array;
  readonly signature: ValueOf<typeof MultiSignature>;
  readonly era: Era;
  readonly nonce: number;
  readonly tip: bigint;
  readonly call: RuntimeCallValue;
  readonly callBytes: Uint8Array;
}

const nonceCodec = compact(u32);
const tipCodec = compact(u128);
const SIGNED_V4 = 0x84;
const UNSIGNED_V4 = 0x04;

/** Throws `ScaleError` for anything that is not one signed version-4 extrinsic. */
export function readTransaction(bytes: Uint8Array): Transaction {
  const input = new Reader(bytes);
  if (input.length() !== input.remaining) throw new ScaleError('length prefix does not match');
  const version = input.byte();
  if (version !== SIGNED_V4) throw new ScaleError(`extrinsic of version byte ${version}`);
  const address = MultiAddress.decode(input);
  if (address.kind !== 'Id') throw new ScaleError(`address of kind ${address.kind}`);
  const signature = MultiSignature.decode(input);
  const era = EraCodec.decode(input);
  const nonce = nonceCodec.decode(input);
  const tip = tipCodec.decode(input);
  const callBytes = bytes.slice(input.position);
  const call = RuntimeCall.decode(input);
  if (input.remaining > 0) throw new ScaleError(`${input.remaining} bytes after the call`);
  return { hash: toHex(blake2_256(bytes)), bytes, who: address.value[0], signature, era, nonce, tip, call, callBytes };
}

/** An inherent: a call that the block's author puts in without a signature. */
export function inherent(call: RuntimeCallValue): Uint8Array {
  const body = encode(RuntimeCall, call);
  const out = new Writer();
  out.compact(body.length + 1);
  out.bytes(new Uint8Array([UNSIGNED_V4]));
  out.bytes(body);
  return out.done();
}

/** What the chain must know to check a signature. */
export interface SigningFacts {
  readonly genesis: Uint8Array;
  /** Version of the runtime that will run it. */
  readonly specVersion: number;
  readonly number: number;
  /** Hash of a block, null when it is unknown or pruned. */
  readonly blockHash: (number: number) => Uint8Array | null;
}

/** Bytes that were signed; null when the era began in a block that is not known. */
export function signedPayload(transaction: Transaction, facts: SigningFacts): Uint8Array | null {
  const { era } = transaction;
  const birth = era.kind === 'immortal' ? facts.genesis : facts.blockHash(eraBirth(era, facts.number));
  if (birth === null) return null;
  const out = new Writer();
  out.bytes(transaction.callBytes);
  EraCodec.encode(era, out);
  nonceCodec.encode(transaction.nonce, out);
  tipCodec.encode(transaction.tip, out);
  u32.encode(facts.specVersion, out);
  u32.encode(runtimeVersion.transaction_version, out);
  out.bytes(facts.genesis);
  out.bytes(birth);
  const payload = out.done();
  return payload.length > 256 ? blake2_256(payload) : payload;
}

/** DER header of an ed25519 public key. */
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex');

function ed25519Key(publicKey: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([ED25519_SPKI, publicKey]), format: 'der', type: 'spki' });
}

export function signatureIsGood(transaction: Transaction, payload: Uint8Array): boolean {
  const { signature, who } = transaction;
  try {
    if (signature.kind === 'Ed25519') return verify(null, payload, ed25519Key(who), signature.value[0]);
    if (signature.kind === 'Sr25519') return sr25519Verify(signature.value[0], payload, who);
    return false;
  } catch {
    // A key that is no point on the curve cannot have signed anything.
    return false;
  }
}
