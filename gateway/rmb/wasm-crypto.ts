/**
 * `@polkadot/wasm-crypto` in its CommonJS form: the same package, but its
 * hundreds of small files load in half the time and memory they take as ES
 * modules. Other packages of that family are loaded in the same form, since
 * two forms in one process are two libraries.
 */
import { createRequire } from 'node:module';

export const {
  bip39Generate,
  bip39ToMiniSecret,
  bip39Validate,
  blake2b,
  sr25519KeypairFromSeed,
  sr25519Sign,
  sr25519Verify,
  twox,
  waitReady,
} = createRequire(import.meta.url)('@polkadot/wasm-crypto') as typeof import('@polkadot/wasm-crypto');
