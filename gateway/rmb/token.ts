/** The signed token a peer shows a relay when it connects. */
import { z } from 'zod';
import type { Identity } from './keys.ts';
import { platform } from './platform.ts';
import { SIGNATURE_BYTES, signaturePrefix } from './signature-form.ts';

/** Seconds our own tokens live: long enough for one handshake. */
const TOKEN_LIFETIME_SECONDS = 60;

interface TokenClaims {
  /** Twin id. */
  readonly sub: number;
  /** Session; absent and empty differ. */
  readonly sid?: string;
  readonly iat: number;
  readonly exp: number;
}

export interface Token {
  readonly claims: TokenClaims;
  /** The ASCII bytes that were signed. */
  readonly signed: Uint8Array;
  /** Type byte and 64 bytes. */
  readonly signature: Uint8Array;
}

/** A text that is no token. */
export class TokenError extends Error {
  override readonly name = 'TokenError';
}

const encoder = new TextEncoder();

// Only a label: no RSA is involved.
const HEADER = encode({ alg: 'RS512', typ: 'JWT' });

const LABEL = 'RS512';
/** Other labels that the network's relays name when they refuse them. */
const OTHER_LABELS = /^(?:HS(?:256|384|512)|RS(?:256|384)|ES(?:256|384|512)|PS(?:256|384|512)|none)$/;
const Header = z.object({ alg: z.string(), typ: z.literal('JWT').optional() });
const Claims = z.object({
  sub: z.int().min(0).max(0xffff_ffff),
  sid: z.string().max(256).nullish(),
  iat: z.int(),
  exp: z.int(),
});

export function createToken(identity: Identity, twinId: number, session: string | undefined, now: number): string {
  const exp = now + TOKEN_LIFETIME_SECONDS;
  const claims = session === undefined ? { exp, iat: now, sub: twinId } : { exp, iat: now, sid: session, sub: twinId };
  const signed = `${HEADER}.${encode(claims)}`;
  const signature = identity.sign(encoder.encode(signed));
  return `${signed}.${platform.encodeBase64url(signature)}`;
}

/**
 * Reads a token of any of the three known clients. Nothing is verified beyond
 * its form. Throws `TokenError`.
 */
export function parseToken(text: string): Token {
  const parts = text.split('.');
  const [header, claims, signature] = parts;
  if (parts.length !== 3 || header === undefined || claims === undefined || signature === undefined) {
    throw new TokenError('No header, claims or signature component found in token string');
  }
  const head = Header.safeParse(decodeJson(header));
  if (!head.success) throw new TokenError('JSON error: malformed header');
  const { alg } = head.data;
  if (alg !== LABEL) {
    const isKnown = OTHER_LABELS.test(alg);
    const shown = `${alg.charAt(0).toUpperCase()}${alg.slice(1).toLowerCase()}`;
    throw new TokenError(
      isKnown ? `Expected algorithm type ${shown} but found Rs512` : 'JSON error: unknown algorithm',
    );
  }
  const body = Claims.safeParse(decodeJson(claims));
  if (!body.success) {
    const issue = body.error.issues[0];
    throw new TokenError(`claim ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'malformed'}`);
  }
  const { sub, sid, iat, exp } = body.data;
  const bytes = decode(signature);
  const known = bytes[0] === signaturePrefix.ed25519 || bytes[0] === signaturePrefix.sr25519;
  if (bytes.length !== SIGNATURE_BYTES || !known) throw new TokenError('Invalid signature');
  return {
    claims: { sub, iat, exp, ...(typeof sid === 'string' ? { sid } : {}) },
    signed: encoder.encode(`${header}.${claims}`),
    signature: bytes,
  };
}

function encode(value: unknown): string {
  return platform.encodeBase64url(encoder.encode(JSON.stringify(value)));
}

/** Strict base64url without padding; decoders skip what they do not know. */
function decode(text: string): Uint8Array {
  const bytes = platform.decodeBase64url(text);
  if (platform.encodeBase64url(bytes) !== text) throw new TokenError('Base64 error: Invalid byte or padding');
  return bytes;
}

function decodeJson(part: string): unknown {
  const bytes = decode(part);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw new TokenError('JSON error: malformed');
  }
}
