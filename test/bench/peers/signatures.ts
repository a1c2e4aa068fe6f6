/** The signature work of one request alone: its signature verified, its answer's made. */
import { createPublicKey, verify } from 'node:crypto';
import type { KeyType } from '../../../gateway/rmb/index.ts';
import { sr25519Verify, waitReady } from '../../../gateway/rmb/wasm-crypto.ts';
import { identityOf, NODE } from './twins.ts';

const ROUNDS = 400;
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex');

/** Microseconds of processor time, as the libraries take it when called directly, with keys they know. */
export async function signatureMicros(keyType: KeyType): Promise<number> {
  const identity = await identityOf(NODE, keyType);
  const challenge = Buffer.alloc(16, 7);
  const signature = identity.sign(challenge).subarray(1);
  await waitReady();
  const der = Buffer.concat([ED25519_SPKI, identity.publicKey]);
  const key = keyType === 'ed25519' ? createPublicKey({ key: der, format: 'der', type: 'spki' }) : undefined;
  const work = (): void => {
    identity.sign(challenge);
    const good =
      key === undefined
        ? sr25519Verify(signature, challenge, identity.publicKey)
        : verify(null, challenge, key, signature);
    if (!good) throw new Error('a good signature was not verified');
  };
  for (let round = 0; round < ROUNDS / 4; round += 1) work();
  const before = process.threadCpuUsage();
  for (let round = 0; round < ROUNDS; round += 1) work();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / ROUNDS;
}
