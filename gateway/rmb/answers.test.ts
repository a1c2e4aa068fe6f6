import { randomBytes } from 'node:crypto';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { GridError } from '../../schemas/errors/index.ts';
import { refusalAnswer } from './answer.ts';
import { type PendingCall, receiveAnswer } from './answers.ts';
import { challenge } from './challenge.ts';
import { PayloadCipher } from './cipher.ts';
import { address, createEnvelope, type Envelope } from './envelope.ts';
import { RmbError } from './errors.ts';
import { Identity } from './keys.ts';
import { SignatureVerifier } from './signature.ts';
import type { TwinRecord } from './twins.ts';

const verifier = new SignatureVerifier({ threads: 1 });
afterAll(() => verifier.close());

const self = { twinId: 7, session: 'cli' };
const newIdentity = (): Promise<Identity> => Identity.fromSecret(randomBytes(32).toString('hex'), 'ed25519');
let mine: Identity;
let node: Identity;
let records: Map<number, TwinRecord>;
let freshAsked: number;

function put(id: number, { publicKey, encryptionKey }: Identity): void {
  records.set(id, { id, account: publicKey, relay: [], encryptionKey });
}

beforeEach(async () => {
  [mine, node] = [await newIdentity(), await newIdentity()];
  records = new Map();
  freshAsked = 0;
  put(7, mine);
  put(17, node);
});

const call = (session?: string): PendingCall => ({ twin: 17, session, answersSeen: 0, settle: () => undefined });

function answer(change: Record<string, unknown> = {}, signer = node): Envelope {
  const envelope = createEnvelope({
    uid: 'u',
    timestamp: 1_700_000_000n,
    expiration: 300n,
    source: address(17),
    destination: address(7, 'cli'),
    message: { case: 'response', value: {} },
    schema: 'application/json',
    payload: { case: 'plain', value: Buffer.from('"yes"') },
  });
  Object.assign(envelope, change);
  if (!('signature' in change)) {
    try {
      envelope.signature = signer.sign(challenge(envelope));
    } catch {
      // An address is missing: such an answer cannot be signed.
    }
  }
  return envelope;
}

function receive(envelope: Envelope, pending = call(), stale?: TwinRecord) {
  return receiveAnswer(envelope, pending, self, {
    twins: {
      twin: async (id, options) => {
        if (options?.fresh === true) freshAsked += 1;
        return options?.fresh === true || stale === undefined ? records.get(id) : stale;
      },
    },
    verifier,
    cipher: new PayloadCipher(mine),
  });
}

describe('an answer', () => {
  it('gives its payload, plain or encrypted, however old it is', async () => {
    expect(Buffer.from((await receive(answer())) as Uint8Array).toString()).toBe('"yes"');
    const value = new PayloadCipher(node).encrypt(Buffer.from('"sealed"'), mine.encryptionKey);
    const sealed = await receive(answer({ payload: { case: 'cipher', value } }));
    expect(Buffer.from(sealed as Uint8Array).toString()).toBe('"sealed"');
    expect(await receive(answer({ payload: { case: undefined } }))).toHaveLength(0);
  });

  it('of another twin, session or for another is nobody’s', async () => {
    const other = await newIdentity();
    put(18, other);
    expect(await receive(answer({ source: address(18) }, other))).toBeUndefined();
    expect(await receive(answer({ source: address(17, 'x') }))).toBeUndefined();
    expect(await receive(answer(), call('x'))).toBeUndefined();
    expect(await receive(answer({ destination: address(7) }))).toBeUndefined();
    expect(await receive(answer({ destination: address(8, 'cli') }))).toBeUndefined();
    expect(await receive(answer({ source: undefined }))).toBeUndefined();
    expect(await receive(answer({ uid: 'a\u0000' }))).toBeUndefined();
    expect(await receive(answer({ source: address(17, 'x') }), call('x'))).toBeInstanceOf(Uint8Array);
  });

  it('with a wrong signature is not believed', async () => {
    const stranger = await newIdentity();
    for (const envelope of [
      answer({}, stranger),
      answer({ signature: undefined }),
      answer({ signature: new Uint8Array(0) }),
      answer({ signature: new Uint8Array(65) }),
    ]) {
      expect(await receive(envelope)).toMatchObject({ kind: 'bad-signature' });
    }
    const changed = answer();
    changed.payload = { case: 'plain', value: Buffer.from('"no"') };
    expect(await receive(changed)).toMatchObject({ kind: 'bad-signature' });
  });

  it('of a twin with a new key is verified with the new key', async () => {
    const old = await newIdentity();
    const stale: TwinRecord = { id: 17, account: old.publicKey, relay: [], encryptionKey: null };
    expect(await receive(answer(), call(), stale)).toBeInstanceOf(Uint8Array);
    expect(freshAsked).toBe(1);
  });

  it('costs no more than a few verifications a call', async () => {
    const pending = call();
    const stranger = await newIdentity();
    for (let index = 0; index < 4; index += 1) await receive(answer({}, stranger), pending);
    expect(await receive(answer({}, stranger), pending)).toBeUndefined();
  });

  it('that cannot be decrypted says so', async () => {
    const cipher = { payload: { case: 'cipher', value: randomBytes(40) } };
    expect(await receive(answer(cipher))).toMatchObject({ kind: 'bad-answer' });
    records.set(17, { id: 17, account: node.publicKey, relay: [], encryptionKey: null });
    expect(await receive(answer(cipher))).toMatchObject({ kind: 'bad-answer' });
  });

  it('that is an error is one, typed where the type is known', async () => {
    const refusal = new GridError('twin_unknown', { twin: 9 });
    const made = refusalAnswer(refusal);
    if (made.kind !== 'error') throw new Error('not an error');
    const message = { case: 'error', value: { code: made.code, message: made.message } };
    const payload = { case: 'plain', value: Buffer.from(made.payload ?? '') };
    const got = (await receive(answer({ message, payload }))) as RmbError;
    expect(got).toBeInstanceOf(RmbError);
    expect(got).toMatchObject({ kind: 'refused', code: 1106, refusal: { code: 'twin_unknown', details: { twin: 9 } } });
    for (const text of [
      'null',
      '',
      '{"error":{"code":"of_tomorrow","details":{}}}',
      '{"error":{"code":"twin_unknown"}}',
    ]) {
      const plain = { case: 'plain', value: Buffer.from(text) };
      const other = (await receive(answer({ message, payload: plain }))) as RmbError;
      expect(other).toMatchObject({ kind: 'refused', message: made.message });
      expect(other.refusal).toBeUndefined();
    }
  });

  it('that is a signed error stays one, whatever a relay makes of its kind', async () => {
    const plain = (text: string) => ({ case: 'plain', value: Buffer.from(text) });
    const payload = plain('null');
    const failed = answer({ message: { case: 'error', value: { code: 0, message: 'no' } }, payload });
    const { signature } = failed;
    const turns: Record<string, unknown>[] = [
      { schema: '0noapplication/json', payload },
      { schema: undefined, federation: '0no', payload: plain('application/jsonnull') },
      { schema: undefined, payload: plain('0noapplication/jsonnull') },
      { schema: undefined, payload: plain(''), relays: ['0noapplication', '/jsonnull'] },
    ];
    for (const turn of turns) {
      const turned = answer({ ...turn, signature });
      expect(challenge(turned)).toEqual(challenge(failed));
      const got = await receive(turned);
      expect(got === undefined || (got instanceof RmbError && got.kind === 'bad-answer')).toBe(true);
    }
    for (const text of ['', '"yes"']) {
      expect(await receive(answer({ schema: undefined, payload: plain(text) }))).toEqual(Buffer.from(text));
    }
  });

  it('of a relay has no source and only ends the call', async () => {
    const message = { case: 'error', value: { code: 0, message: 'destination offline' } };
    const got = await receive(answer({ message, source: undefined, signature: undefined, schema: undefined }));
    expect(got).toMatchObject({ kind: 'relay-refused', code: 0, message: 'destination offline' });
    // A response without a source is nothing.
    expect(await receive(answer({ source: address(0), signature: undefined }))).toBeUndefined();
  });
});
