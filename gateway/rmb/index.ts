/** RMB for clients and services: identities, envelopes, and a peer that calls and serves. */
export * from './browser.ts';
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
export {
  type EnvelopeReport,
  inspectEnvelope,
  inspectToken,
  type SignatureReport,
  type TokenReport,
  type TwinKey,
} from './inspect.ts';
export { SignatureVerifier } from './signature.ts';
