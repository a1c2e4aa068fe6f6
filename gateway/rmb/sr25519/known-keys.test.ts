import { randomBytes } from 'node:crypto';
import { ed25519, RistrettoPoint } from '@noble/curves/ed25519';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { Identity } from '../keys.ts';
import { sr25519Verify, waitReady } from '../wasm-crypto.ts';
import { FIELD_BYTES, LIMBS, loadCurve, SCRATCH_BYTES } from './curve-module.ts';
import { KnownKeys } from './known-keys.ts';
import { Sr25519Verifier } from './verifier.ts';
import { Memory } from './web-assembly.ts';

const P = 2n ** 255n - 19n;
const ORDER = ed25519.CURVE.n;

beforeAll(async () => {
  await waitReady();
});

const newIdentity = (): Promise<Identity> => Identity.fromSecret(randomBytes(32).toString('hex'), 'sr25519');

function library(account: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    return sr25519Verify(signature, message, account);
  } catch {
    return false;
  }
}

describe('field elements', () => {
  const memory = new Memory({ initial: 1 });
  const limbs = new Int32Array(memory.buffer);
  const curve = loadCurve(memory);
  const [a, b, out] = [0, 1, 2].map((index) => SCRATCH_BYTES + index * FIELD_BYTES) as [number, number, number];
  const write = (at: number, values: readonly number[]): bigint => {
    limbs.set(values, at / 4);
    return read(at);
  };
  const read = (at: number): bigint => {
    let [value, shift] = [0n, 0n];
    for (let limb = 0; limb < LIMBS; limb += 1) {
      value += BigInt(limbs[at / 4 + limb] ?? 0) << shift;
      shift += limb % 2 === 0 ? 26n : 25n;
    }
    return ((value % P) + P) % P;
  };
  /** Limbs as far out as sums of three products can be, most of all their ends. */
  const sums = fc.tuple(
    ...Array.from({ length: LIMBS }, (_, limb) => {
      const most = Math.floor(3.03 * 2 ** (limb % 2 === 0 ? 25 : 24));
      return fc.oneof(fc.integer({ min: -most, max: most }), fc.constantFrom(-most, most, 0, -1, 1));
    }),
  );

  it('are multiplied as numbers are, up to the largest limbs there can be, and come out small', () => {
    fc.assert(
      fc.property(sums, sums, (left, right) => {
        const product = (write(a, left) * write(b, right)) % P;
        curve.mul(out, a, b);
        expect(read(out)).toBe(product);
        for (const [index, limb] of limbs.subarray(out / 4, out / 4 + LIMBS).entries()) {
          expect(Math.abs(limb)).toBeLessThan(1.01 * 2 ** (index % 2 === 0 ? 25 : 24));
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('are added, subtracted and squared in place', () => {
    fc.assert(
      fc.property(sums, sums, fc.integer({ min: 1, max: 9 }), (left, right, count) => {
        const [one, other] = [write(a, left), write(b, right)];
        curve.add(out, a, b);
        expect(read(out)).toBe((one + other) % P);
        curve.sub(out, a, b);
        expect(read(out)).toBe((one - other + P) % P);
        curve.squares(a, count);
        let square = one;
        for (let times = 0; times < count; times += 1) square = (square * square) % P;
        expect(read(a)).toBe(square);
      }),
      { numRuns: 300 },
    );
  });
});

describe('keys that sign often', () => {
  const keys = new KnownKeys(4);

  it('get the verdicts of the library, for each bit changed and for messages of any length', async () => {
    const identity = await newIdentity();
    const { publicKey } = identity;
    expect(keys.learn(0, publicKey)).toBe(true);
    for (const length of [0, 1, 16, 150, 166, 167, 1000]) {
      const message = randomBytes(length);
      expect(keys.verify(0, publicKey, message, identity.sign(message).subarray(1))).toBe(true);
    }
    const message = randomBytes(16);
    const signature = identity.sign(message).slice(1);
    for (let bit = 0; bit < 512; bit += 1) {
      const changed = Uint8Array.from(signature);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(library(publicKey, message, changed)).toBe(false);
      expect(keys.verify(0, publicKey, message, changed)).toBe(false);
    }
    expect(keys.verify(0, publicKey, randomBytes(16), signature)).toBe(false);
  });

  it('are told apart', async () => {
    const signers = await Promise.all([0, 1, 2, 3].map(newIdentity));
    for (const [slot, { publicKey }] of signers.entries()) expect(keys.learn(slot, publicKey)).toBe(true);
    for (const [slot, signer] of signers.entries()) {
      for (let turn = 0; turn < 20; turn += 1) {
        const message = randomBytes(16);
        const signature = signer.sign(message).subarray(1);
        expect(keys.verify(slot, signer.publicKey, message, signature)).toBe(true);
        const other = (slot + 1) % 4;
        expect(keys.verify(other, signers[other]?.publicKey ?? message, message, signature)).toBe(false);
      }
    }
  });

  it('have one encoding of each signature', async () => {
    const identity = await newIdentity();
    keys.learn(0, identity.publicKey);
    const message = randomBytes(16);
    const signature = identity.sign(message).slice(1);
    const marked = signature.slice(32);
    marked[31] = (marked[31] ?? 0) & 0x7f;
    const s = BigInt(`0x${Buffer.from(marked).reverse().toString('hex')}`);
    const withScalar = (scalar: bigint): Uint8Array => {
      const bytes = Buffer.from(scalar.toString(16).padStart(64, '0'), 'hex').reverse();
      bytes[31] = (bytes[31] ?? 0) | 0x80;
      return Uint8Array.from([...signature.subarray(0, 32), ...bytes]);
    };
    expect(keys.verify(0, identity.publicKey, message, withScalar(s))).toBe(true);
    for (let times = 1n; s + times * ORDER < 2n ** 255n; times += 1n) {
      const longer = withScalar(s + times * ORDER);
      expect(library(identity.publicKey, message, longer)).toBe(false);
      expect(keys.verify(0, identity.publicKey, message, longer)).toBe(false);
    }
    const unmarked = Uint8Array.from(signature);
    unmarked[63] = (unmarked[63] ?? 0) & 0x7f;
    expect(keys.verify(0, identity.publicKey, message, unmarked)).toBe(false);
  });

  it('are points in their one encoding', () => {
    const point = RistrettoPoint.BASE.multiply(12_345n).toBytes();
    expect(keys.learn(0, point)).toBe(true);
    const number = BigInt(`0x${Buffer.from(point).reverse().toString('hex')}`);
    const bytesOf = (value: bigint): Uint8Array =>
      Uint8Array.from(Buffer.from(value.toString(16).padStart(64, '0'), 'hex').reverse());
    // Negative, beyond the field, no point, too short.
    for (const bytes of [bytesOf(P - number), bytesOf(P + 2n), Buffer.alloc(32, 255), point.subarray(0, 31)]) {
      expect(keys.learn(0, bytes)).toBe(false);
    }
    for (let turn = 0; turn < 40; turn += 1) {
      const bytes = randomBytes(32);
      let isPoint = true;
      try {
        RistrettoPoint.fromHex(bytes.toString('hex'));
      } catch {
        isPoint = false;
      }
      expect(keys.learn(0, bytes)).toBe(isPoint);
    }
    expect(keys.learn(4, point)).toBe(false);
  });
});

describe('a verifier', () => {
  it('says the same before and after it has learnt a key, also with more keys than it has room for', async () => {
    const verifier = new Sr25519Verifier(2);
    const signers = await Promise.all(Array.from({ length: 3 }, newIdentity));
    for (let turn = 0; turn < 40; turn += 1) {
      for (const signer of signers) {
        const message = randomBytes(16);
        const signature = signer.sign(message).slice(1);
        expect(verifier.verify(signer.publicKey, message, signature)).toBe(true);
        signature[turn] = (signature[turn] ?? 0) ^ 1;
        expect(verifier.verify(signer.publicKey, message, signature)).toBe(false);
      }
    }
    expect(verifier.verify(Buffer.alloc(32, 255), randomBytes(16), randomBytes(64))).toBe(false);
  });
});
