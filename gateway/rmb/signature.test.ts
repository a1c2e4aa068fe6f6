import { randomBytes } from 'node:crypto';
import { verify as scureVerify } from '@scure/sr25519';
import nacl from 'tweetnacl';
import { afterAll, describe, expect, it } from 'vitest';
import { Identity, keyTypes } from './keys.ts';
import { SignatureVerifier, VerifierBusyError } from './signature.ts';
import { Sr25519Pool } from './sr25519-pool.ts';

const verifier = new SignatureVerifier({ threads: 2 });
afterAll(() => verifier.close());

const oracle = {
  ed25519: (account: Uint8Array, message: Uint8Array, signature: Uint8Array) =>
    nacl.sign.detached.verify(message, signature, account),
  sr25519: (account: Uint8Array, message: Uint8Array, signature: Uint8Array) => {
    try {
      return scureVerify(message, signature, account);
    } catch {
      return false;
    }
  },
};

describe('signatures', () => {
  for (const keyType of keyTypes) {
    it(`of ${keyType} get the oracle's verdict, good, damaged and random`, async () => {
      for (let turn = 0; turn < 25; turn += 1) {
        const identity = await Identity.fromSecret(randomBytes(32).toString('hex'), keyType);
        const message = randomBytes(16);
        const signature = identity.sign(message);
        const damaged = Uint8Array.from(signature);
        const at = 1 + ((turn * 7) % 64);
        damaged[at] = (damaged[at] ?? 0) ^ (1 << (turn % 8));
        const noise = Uint8Array.from([signature[0] ?? 0, ...randomBytes(64)]);
        for (const candidate of [signature, damaged, noise]) {
          const expected = oracle[keyType](identity.publicKey, message, candidate.subarray(1));
          const fault = await verifier.verify(identity.publicKey, message, candidate);
          expect(fault === undefined).toBe(expected);
        }
        const otherType = Uint8Array.from(signature);
        otherType[0] = keyType === 'ed25519' ? 0x73 : 0x65;
        expect(await verifier.verify(identity.publicKey, message, otherType)).toBeDefined();
      }
    });
  }

  it('of accounts that are no keys are refused', async () => {
    for (const prefix of [0x65, 0x73]) {
      const signature = Uint8Array.from([prefix, ...randomBytes(64)]);
      for (const account of [new Uint8Array(0), new Uint8Array(31), Buffer.alloc(32, 255)]) {
        expect(await verifier.verify(account, randomBytes(16), signature)).toMatch(/failed$/);
      }
    }
  });

  it('are verified side by side, and the pool has a bound and an end', async () => {
    const identity = await Identity.fromSecret(randomBytes(32).toString('hex'), 'sr25519');
    const message = randomBytes(16);
    const signature = identity.sign(message).slice(1);
    const pool = new Sr25519Pool({ threads: 1, limit: 100 });
    const asked = Array.from({ length: 101 }, () => pool.verify(identity.publicKey, message, signature));
    const settled = await Promise.allSettled(asked);
    expect(settled.filter(({ status }) => status === 'fulfilled').length).toBe(100);
    expect(settled[100]).toMatchObject({ reason: expect.any(VerifierBusyError) });
    const late = pool.verify(identity.publicKey, message, signature);
    const ended = expect(late).rejects.toBeInstanceOf(VerifierBusyError);
    await pool.close();
    await ended;
    await expect(pool.verify(identity.publicKey, message, signature)).rejects.toBeInstanceOf(VerifierBusyError);
  });
});
