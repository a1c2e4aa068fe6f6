/** What an envelope or a token says, whether it verifies and what a node would say to it: for authors of clients. */
import { GridError } from '../../schemas/errors/index.ts';
import { checkClock } from '../door/clock.ts';
import { checkLifetime } from '../door/lifetime.ts';
import { DEFAULT_DOOR_LIMITS } from '../door/limits.ts';
import { checkShape, type Ignored } from '../door/shape.ts';
import { checkFrameSize, checkPayloadSize } from '../door/size.ts';
import { type ChallengePiece, challenge, challengePieces } from './challenge.ts';
import { decodeEnvelope, type Envelope, findFieldProblem, remainingSeconds } from './envelope.ts';
import { platform } from './platform.ts';
import { findSignatureFormFault, type KeyType, keyTypes, signaturePrefix } from './signature-form.ts';
import { parseToken, TokenError } from './token.ts';

/** A twin's account, as the caller knows it. */
export interface TwinKey {
  readonly keyType: KeyType;
  /** 32 bytes. */
  readonly account: Uint8Array;
}

export type SignatureReport =
  | { readonly state: 'verified' | 'unchecked'; readonly keyType: KeyType; readonly twin: number }
  /** `reason` in the words of existing peers, with ours behind a semicolon. */
  | { readonly state: 'refused'; readonly reason: string };

export interface EnvelopeReport {
  readonly envelope: Envelope;
  readonly sizeBytes: number;
  /** What is hashed, in order. */
  readonly pieces: readonly ChallengePiece[];
  /** 16 bytes; `undefined` where an address is missing, as peers disagree then. */
  readonly challenge: Uint8Array | undefined;
  readonly signature: SignatureReport;
  /** Seconds; zero or less is expired. */
  readonly remainingSeconds: number;
  /** Why a node with the usual limits would refuse it or, where the text says so, not answer. */
  readonly problems: readonly string[];
}

export interface InspectOptions {
  readonly keys: ReadonlyMap<number, TwinKey>;
  /** Unix seconds. */
  readonly now: number;
}

/** Throws `GridError` `envelope_malformed` or `envelope_too_large`. */
export async function inspectEnvelope(bytes: Uint8Array, { keys, now }: InspectOptions): Promise<EnvelopeReport> {
  const envelope = decodeEnvelope(bytes);
  const { source, destination } = envelope;
  const digest = source === undefined || destination === undefined ? undefined : challenge(envelope);
  const signature =
    digest === undefined
      ? ({ state: 'refused', reason: 'without source and destination there is nothing that peers agree on' } as const)
      : await inspectSignature(digest, envelope.signature, source?.twin ?? 0, keys);
  return {
    envelope,
    sizeBytes: bytes.length,
    pieces: challengePieces(envelope),
    challenge: digest,
    signature,
    remainingSeconds: remainingSeconds(envelope, now),
    problems: findProblems(bytes, envelope, now),
  };
}

export interface TokenReport {
  /** Header and claims as they were written; `undefined` where they are no JSON. */
  readonly header: unknown;
  readonly claims: unknown;
  /** The text whose ASCII bytes are signed. */
  readonly signed: string;
  readonly signature: SignatureReport;
  /** Seconds; below zero it is expired. `undefined` where the token cannot be read. */
  readonly remainingSeconds: number | undefined;
  /** Why it is no token, in the words that relays answer with. */
  readonly problem: string | undefined;
}

/** Reads what can be read of a token, also of a bad one. */
export async function inspectToken(text: string, { keys, now }: InspectOptions): Promise<TokenReport> {
  const parts = text.split('.');
  const read = {
    header: readPart(parts[0]),
    claims: readPart(parts[1]),
    signed: parts.slice(0, 2).join('.'),
  };
  try {
    const token = parseToken(text);
    const signature = await inspectSignature(token.signed, token.signature, token.claims.sub, keys);
    return { ...read, signature, remainingSeconds: token.claims.exp - now, problem: undefined };
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    const signature = { state: 'refused', reason: error.message } as const;
    return { ...read, signature, remainingSeconds: undefined, problem: error.message };
  }
}

async function inspectSignature(
  message: Uint8Array,
  signature: Uint8Array | undefined,
  twin: number,
  keys: ReadonlyMap<number, TwinKey>,
): Promise<SignatureReport> {
  const fault = findSignatureFormFault(signature);
  if (fault !== undefined) return { state: 'refused', reason: fault };
  const keyType = keyTypes.find((type) => signaturePrefix[type] === signature?.[0]) ?? 'ed25519';
  const key = keys.get(twin);
  if (key === undefined) return { state: 'unchecked', keyType, twin };
  const verifier = platform.newVerifier();
  try {
    const found = await verifier.verify(key.account, message, signature);
    if (found === undefined) return { state: 'verified', keyType, twin };
    const hint = key.keyType === keyType ? '' : `; the key of twin ${twin} was given as ${key.keyType}`;
    return { state: 'refused', reason: `${found}${hint}` };
  } finally {
    await verifier.close();
  }
}

const ignoredTexts: Readonly<Record<Ignored, string>> = {
  not_a_request: 'nodes answer requests alone',
  schema: 'nodes do not answer a request whose schema is not application/json',
  no_payload: 'nodes do not answer a request that has neither plain nor cipher; an empty plain payload is one',
};

function findProblems(bytes: Uint8Array, envelope: Envelope, now: number): string[] {
  const limits = DEFAULT_DOOR_LIMITS;
  const kind = envelope.message.case;
  if (kind === 'ping' || kind === 'pong') return [];
  // An error that a relay made has no source and is not signed; it is no fault of it.
  if (kind === 'error' && envelope.source === undefined) return ['a relay made it: unsigned, it only ends a call'];
  const found =
    kind === 'response' || kind === 'error'
      ? [findFieldProblem(envelope), checkLifetime(envelope, now, limits)]
      : [
          checkFrameSize(bytes, limits),
          checkShape(envelope),
          checkPayloadSize(envelope, limits),
          checkLifetime(envelope, now, limits),
          checkClock(envelope, now, limits),
        ];
  return found.flatMap((problem) => {
    if (problem === undefined) return [];
    return problem instanceof GridError ? [problem.message] : [ignoredTexts[problem]];
  });
}

function readPart(part: string | undefined): unknown {
  if (part === undefined) return undefined;
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(platform.decodeBase64url(part)));
  } catch {
    return undefined;
  }
}
