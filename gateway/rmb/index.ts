/** RMB for clients and services: identities, envelopes, and a peer that calls and serves. */
export { type Answer, refusalAnswer } from './answer.ts';
export { challenge } from './challenge.ts';
export { CipherError, PayloadCipher } from './cipher.ts';
export {
  type CallRequest,
  type IncomingRequest,
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
  formatAddress,
  parseAddress,
} from './envelope.ts';
export { RmbError, type RmbErrorKind } from './errors.ts';
export {
  type IdentityOptions,
  identityOptions,
  type KeyFile,
  readIdentity,
  readKey,
  readKeyFile,
  refuseSecretArguments,
  writeKeyFile,
} from './identity-source.ts';
export { Identity, KeyError, type KeyType } from './keys.ts';
export { SignatureVerifier } from './signature.ts';
export { createToken, parseToken, type Token, TokenError } from './token.ts';
export { parseRelayDomains, TwinCache, type TwinCacheOptions, type TwinRecord, type TwinSource } from './twins.ts';
