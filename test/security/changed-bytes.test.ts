/**
 * No change of a signed envelope's bytes verifies, but for the ambiguity of the
 * wire: whatever verifies has the same signed text to the byte.
 */
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterAll, describe, expect, it } from 'vitest';
import { Door } from '../../gateway/door/door.ts';
import { TestChain } from '../../gateway/relay/testing/world.ts';
import {
  address,
  challenge,
  createEnvelope,
  decodeEnvelope,
  type Envelope,
  encodeEnvelope,
  Identity,
  PayloadCipher,
  SignatureVerifier,
} from '../../gateway/rmb/index.ts';
import { GridError } from '../../schemas/errors/index.ts';
import { meaning, sameSignedText, signedText, signedVectors, vectorIdentity } from './vector-envelopes.ts';

const verifier = new SignatureVerifier({ threads: 1, limit: 100_000 });
afterAll(() => verifier.close());

const NOW = 1_700_000_000;
const kinds = ['request', 'response', 'error', 'ping'] as const;

interface Signed {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly account: Uint8Array;
}

/** One of each kind, signed with each key type. */
async function madeEnvelopes(): Promise<Signed[]> {
  const made: Signed[] = [];
  for (const keyType of ['ed25519', 'sr25519'] as const) {
    const identity = await vectorIdentity('A', keyType);
    for (const kind of kinds) {
      const envelope = createEnvelope({
        uid: `u-${kind}`,
        tags: kind === 'request' ? 'fail-fast' : undefined,
        timestamp: BigInt(NOW),
        expiration: 60n,
        source: address(7, 's1'),
        destination: address(17),
        message:
          kind === 'request'
            ? { case: kind, value: { command: 'zos.deployment.get' } }
            : kind === 'error'
              ? { case: kind, value: { code: 42, message: 'no' } }
              : { case: kind, value: {} },
        schema: 'application/json',
        federation: kind === 'request' ? 'r.example.com' : undefined,
        payload:
          kind === 'response'
            ? { case: 'cipher', value: randomBytes(40) }
            : { case: 'plain', value: Buffer.from('{"contract_id":1}') },
        relays: kind === 'request' ? ['a.example.com', 'b.example.com'] : [],
      });
      envelope.signature = identity.sign(challenge(envelope));
      made.push({ name: `${kind} ${keyType}`, bytes: encodeEnvelope(envelope), account: identity.publicKey });
    }
  }
  return made;
}

/** Every byte flipped in some bits, set to ends, taken out, doubled, and with a byte put before it. */
function* everyChange(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    for (const value of [1, 8, 32, 128].map((bit) => byte ^ bit).concat([0, 0xff])) {
      if (value === byte) continue;
      const changed = Uint8Array.from(bytes);
      changed[at] = value;
      yield changed;
    }
    const before = bytes.subarray(0, at);
    yield Buffer.concat([before, bytes.subarray(at + 1)]);
    for (const value of [byte, 0, 0x30]) yield Buffer.concat([before, Uint8Array.of(value), bytes.subarray(at)]);
  }
  yield Buffer.concat([bytes, Uint8Array.of(0)]);
  yield Buffer.concat([bytes, bytes]);
}

function decoded(bytes: Uint8Array): Envelope | undefined {
  try {
    return decodeEnvelope(bytes);
  } catch (error) {
    if (!(error instanceof GridError)) throw error;
    return undefined;
  }
}

async function verifies(envelope: Envelope, account: Uint8Array): Promise<boolean> {
  // Without an address there is no text that peers agree on, and the door has refused it before.
  if (envelope.source === undefined || envelope.destination === undefined) return false;
  return (await verifier.verify(account, challenge(envelope), envelope.signature)) === undefined;
}

interface Tally {
  undecodable: number;
  refused: number;
  same: number;
  ambiguous: number;
}

/** Judges changes of one signed envelope; throws nothing away: each must fall into one of four boxes. */
async function judge(original: Signed, changes: Iterable<Uint8Array>): Promise<Tally> {
  const first = decodeEnvelope(original.bytes);
  const tally: Tally = { undecodable: 0, refused: 0, same: 0, ambiguous: 0 };
  const wrong: string[] = [];
  let waiting: Promise<void>[] = [];
  for (const bytes of changes) {
    const envelope = decoded(bytes);
    if (envelope === undefined) {
      tally.undecodable += 1;
      continue;
    }
    waiting.push(
      verifies(envelope, original.account).then((good) => {
        const ambiguous = sameSignedText(first, envelope);
        if (good !== ambiguous) wrong.push(`${good} ${Buffer.from(bytes).toString('hex')}`);
        if (!good) tally.refused += 1;
        else if (JSON.stringify(meaning(envelope)) === JSON.stringify(meaning(first))) tally.same += 1;
        else tally.ambiguous += 1;
      }),
    );
    if (waiting.length < 512) continue;
    await Promise.all(waiting);
    waiting = [];
  }
  await Promise.all(waiting);
  expect(wrong).toEqual([]);
  return tally;
}

describe('a change of a signed envelope', { timeout: 90_000 }, () => {
  it('of any one byte of the golden envelopes verifies only where the signed text is the same', async () => {
    for (const vector of signedVectors) {
      expect(Buffer.compare(signedText(decodeEnvelope(vector.bytes)), Buffer.alloc(0))).toBe(1);
      const tally = await judge(vector, everyChange(vector.bytes));
      expect(tally.refused).toBeGreaterThan(vector.bytes.length);
      // A byte more or less seldom keeps the text: a kind renumbered, a cipher called plain, a field split or unknown.
      expect(tally.ambiguous + tally.same).toBeLessThan(vector.bytes.length / 4);
    }
  });

  it('of any one byte of each kind, signed with each key type, verifies only where the signed text is the same', async () => {
    for (const made of await madeEnvelopes()) {
      const { refused, undecodable } = await judge(made, everyChange(made.bytes));
      expect(refused + undecodable).toBeGreaterThan(7 * made.bytes.length);
    }
  });

  it('of several bytes anywhere verifies only where the signed text is the same', async () => {
    const originals = [...signedVectors, ...(await madeEnvelopes())];
    const piece = fc.record({
      at: fc.nat({ max: 400 }),
      drop: fc.nat({ max: 6 }),
      put: fc.uint8Array({ maxLength: 6 }),
      from: fc.nat({ max: 400 }),
      copy: fc.nat({ max: 40 }),
    });
    const edits = fc.tuple(fc.nat({ max: originals.length - 1 }), fc.array(piece, { minLength: 1, maxLength: 4 }));
    await fc.assert(
      fc.asyncProperty(edits, async ([which, pieces]) => {
        const original = originals[which] as Signed;
        let bytes: Uint8Array = original.bytes;
        for (const { at, drop, put, from, copy } of pieces) {
          bytes = Buffer.concat([
            bytes.subarray(0, at),
            put,
            original.bytes.subarray(from, from + copy),
            bytes.subarray(at + drop),
          ]);
        }
        await judge(original, [bytes]);
      }),
      { numRuns: 2000 },
    );
  });

  it('never passes a signature of another form: each byte of the 65 counts', async () => {
    for (const { bytes, account } of signedVectors) {
      const envelope = decodeEnvelope(bytes);
      const digest = challenge(envelope);
      const signature = envelope.signature ?? new Uint8Array();
      const changed: Uint8Array[] = [new Uint8Array(0), signature.subarray(1), Buffer.concat([signature, signature])];
      for (let bit = 0; bit < signature.length * 8; bit += 1) {
        const one = Uint8Array.from(signature);
        one[bit >> 3] = (one[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        changed.push(one);
      }
      const good = await Promise.all(changed.map((one) => verifier.verify(account, digest, one)));
      expect(good.filter((fault) => fault === undefined)).toEqual([]);
    }
  });
});

describe('the door', () => {
  it('lets in no changed byte but what says the same or moves text between uid and tags', async () => {
    const chain = new TestChain();
    const user = { id: 7, identity: await Identity.fromSecret(randomBytes(32).toString('hex'), 'ed25519') };
    chain.put(7, user.identity);
    const node = await chain.add(17, 'ed25519');
    // Each change meets a door that has not seen its like: the worst a relay can do.
    const door = (): Door =>
      new Door({
        twinId: 17,
        twins: chain,
        verifier,
        cipher: new PayloadCipher(node.identity),
        answer: async () => undefined,
        log: pino({ level: 'silent' }),
        limits: { ratePerSecond: 1e6, rateBurst: 1e6 },
        now: () => NOW * 1000,
      });
    const envelope = createEnvelope({
      uid: 'abcdef',
      tags: 'gh',
      timestamp: BigInt(NOW),
      expiration: 60n,
      source: address(7, 's1'),
      destination: address(17),
      message: { case: 'request', value: { command: 'zos.deployment.get' } },
      schema: 'application/json',
      payload: { case: 'plain', value: Buffer.from('{"contract_id":1}') },
    });
    envelope.signature = user.identity.sign(challenge(envelope));
    const original = encodeEnvelope(envelope);
    const first = meaning(envelope);
    const seen = door();
    expect((await seen.admit(original)).outcome).toBe('admitted');
    const differing = new Set<string>();
    let fresh = door();
    for (const bytes of everyChange(original)) {
      const verdict = await fresh.admit(bytes);
      if (verdict.outcome !== 'admitted') continue;
      fresh = door();
      const changed = meaning(decodeEnvelope(bytes));
      for (const [field, value] of Object.entries(changed)) if (first[field] !== value) differing.add(field);
      expect(sameSignedText(envelope, decodeEnvelope(bytes))).toBe(true);
      expect(Buffer.from(verdict.request.payload).toString()).toBe('{"contract_id":1}');
      expect(verdict.request).toMatchObject({ command: 'zos.deployment.get', session: 's1', twin: { id: 7 } });
      // Whoever saw the original refuses it.
      expect(await seen.admit(bytes)).toMatchObject({ outcome: 'refused', check: 'replay' });
    }
    expect([...differing].every((field) => ['uid', 'tags', 'federation', 'relays'].includes(field))).toBe(true);
  });
});
