/**
 * RMB for clients and services, as it works in browsers too: identities,
 * envelopes, tokens, and a peer that calls and serves. `index.ts` adds what
 * only Node has.
 */
export { type Answer, refusalAnswer } from './answer.ts';
export { type ChallengePiece, challenge, challengePieces } from './challenge.ts';
export { CipherError, PayloadCipher } from './cipher.ts';
export {
  type CallRequest,
  type ClientCounts,
  type ClientLog,
  type IncomingRequest,
  type JsonCallRequest,
  newUid,
  type PostedRequest,
  type RequestHandler,
  RmbClient,
  type RmbClientOptions,
} from './client.ts';
export {
  address,
  createEnvelope,
  decodeEnvelope,
  type Envelope,
  encodeEnvelope,
  findFieldProblem,
  formatAddress,
  parseAddress,
  remainingSeconds,
  stamp,
} from './envelope.ts';
export { RmbError, type RmbErrorKind } from './errors.ts';
export { bytesOfHex, hexOf } from './hex.ts';
export { Identity, KeyError, type KeyType } from './keys.ts';
export type { RelayPing } from './pings.ts';
export type { Verifier } from './platform/interface.ts';
export { platform } from './platform.ts';
export type { SignatureFault } from './signature-form.ts';
export { createToken, parseToken, type Token, TokenError } from './token.ts';
export { parseRelayDomains, TwinCache, type TwinCacheOptions, type TwinRecord, type TwinSource } from './twins.ts';
