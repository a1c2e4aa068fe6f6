import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { TestChain, type TestTwin } from '../relay/testing/world.ts';
import type { Answer } from '../rmb/answer.ts';
import { challenge } from '../rmb/challenge.ts';
import { PayloadCipher } from '../rmb/cipher.ts';
import { address, createEnvelope, type Envelope, encodeEnvelope } from '../rmb/envelope.ts';
import { SignatureVerifier } from '../rmb/signature.ts';
import { TwinCache } from '../rmb/twins.ts';
import { Door, type DoorOptions } from './door.ts';
import type { ReplayEntry } from './replay.ts';
import type { ReplayLog } from './replay-log.ts';
import type { Verdict } from './verdict.ts';

const verifier = new SignatureVerifier({ threads: 1 });
afterAll(() => verifier.close());

const NOW = 1_700_000_000;
let chain: TestChain;
let user: TestTwin;
let node: TestTwin;
let answers: { uid: string; answer: Answer }[];
let registry: Registry;

beforeEach(async () => {
  chain = new TestChain();
  user = await chain.add(7, 'ed25519');
  node = await chain.add(17, 'ed25519');
  answers = [];
  registry = new Registry();
});

function makeDoor(options: Partial<DoorOptions> = {}): Door {
  return new Door({
    twinId: 17,
    twins: new TwinCache(chain, { freshIntervalMs: 0 }),
    verifier,
    cipher: new PayloadCipher(node.identity),
    answer: async (request, _twin, answer) => {
      answers.push({ uid: request.uid, answer });
    },
    log: pino({ level: 'silent' }),
    registry,
    now: () => NOW * 1000,
    ...options,
  });
}

function request(change: Record<string, unknown> = {}, signer = user): Envelope {
  const envelope = createEnvelope({
    uid: randomBytes(8).toString('hex'),
    timestamp: BigInt(NOW),
    expiration: 60n,
    source: address(7, 'cli'),
    destination: address(17),
    message: { case: 'request', value: { command: 'zos.x' } },
    schema: 'application/json',
    payload: { case: 'plain', value: Buffer.from('{"a":1}') },
  });
  Object.assign(envelope, change);
  if (!('signature' in change) && envelope.source !== undefined && envelope.destination !== undefined) {
    envelope.signature = signer.identity.sign(challenge(envelope));
  }
  return envelope;
}

/** 65 bytes that only mathematics tells from a signature. */
const forged = (): Uint8Array => Buffer.alloc(65, 0x65);

const admit = (door: Door, envelope: Envelope): Promise<Verdict> => door.admit(encodeEnvelope(envelope));
const counted = async (check: string, code: string): Promise<number> => {
  const metric = await registry.getSingleMetric('gateway_door_refused_total')?.get();
  return metric?.values.find(({ labels }) => labels.check === check && labels.code === code)?.value ?? 0;
};

async function expectRefusal(
  verdict: Verdict,
  check: string,
  code: string,
  answered: boolean,
): Promise<Extract<Verdict, { outcome: 'refused' }>> {
  expect(verdict).toMatchObject({ outcome: 'refused', check, answered, refusal: { code } });
  expect(await counted(check, code)).toBeGreaterThan(0);
  return verdict as Extract<Verdict, { outcome: 'refused' }>;
}

describe('the door', () => {
  it('admits a signed request, plain and encrypted, and knows who sent it', async () => {
    const door = makeDoor();
    const sealed = new PayloadCipher(user.identity).encrypt(Buffer.from('{"b":2}'), node.identity.encryptionKey);
    for (const [payload, text, encrypted] of [
      [{ case: 'plain', value: Buffer.from('{"a":1}') }, '{"a":1}', false],
      [{ case: 'plain', value: new Uint8Array() }, '', false],
      [{ case: 'cipher', value: sealed }, '{"b":2}', true],
    ] as const) {
      const verdict = await admit(door, request({ payload }));
      if (verdict.outcome !== 'admitted') throw new Error(JSON.stringify(verdict));
      const { twin, session, command, payload: got, expiresAtSeconds } = verdict.request;
      expect([twin.id, session, command, expiresAtSeconds]).toEqual([7, 'cli', 'zos.x', NOW + 60]);
      expect(verdict.request.encrypted).toBe(encrypted);
      expect(Buffer.from(got).toString()).toBe(text);
      verdict.request.leave();
    }
    expect(answers).toEqual([]);
  });

  it('knows a request again whose signed text was cut at other places', async () => {
    // What is signed has no separators: the end of the uid may as well be the tags.
    const door = makeDoor();
    const first = request({ uid: 'abcdef', tags: 'gh' });
    expect((await admit(door, first)).outcome).toBe('admitted');
    for (const [uid, tags] of [
      ['abcde', 'fgh'],
      ['abcdefgh', undefined],
      ['a', 'bcdefgh'],
    ] as const) {
      const shifted = request({ uid, tags, signature: first.signature });
      expect(challenge(shifted)).toEqual(challenge(first));
      await expectRefusal(await admit(door, shifted), 'replay', 'envelope_replayed', false);
    }
  });

  it('drops without a word what nodes never answer', async () => {
    const door = makeDoor();
    const drops: [change: Record<string, unknown>, reason: string][] = [
      [{ message: { case: 'response', value: {} } }, 'not_a_request'],
      [{ message: { case: 'ping', value: {} } }, 'not_a_request'],
      [{ schema: undefined }, 'schema'],
      [{ schema: 'application/json; charset=utf-8' }, 'schema'],
      [{ payload: { case: undefined } }, 'no_payload'],
    ];
    for (const [change, reason] of drops) {
      expect(await admit(door, request(change))).toEqual({ outcome: 'ignored', reason });
    }
    expect(answers).toEqual([]);
  });

  it('stays silent to who did not prove who it is', async () => {
    const door = makeDoor();
    const stranger = await chain.add(9, 'ed25519');
    const cases: [envelope: Envelope, check: string, code: string][] = [
      [request({ uid: '' }), 'shape', 'envelope_field'],
      [request({ source: undefined }), 'shape', 'envelope_field'],
      [request({ destination: address(18) }), 'destination', 'destination_not_here'],
      [request({ destination: address(17, 'x') }), 'destination', 'destination_not_here'],
      [request({ destination: address(17, '') }), 'destination', 'destination_not_here'],
      [request({ source: address(99) }), 'twin', 'twin_unknown'],
      [request({ signature: undefined }), 'signature', 'signature_invalid'],
      [request({ signature: new Uint8Array(0) }), 'signature', 'signature_invalid'],
      [request({ signature: new Uint8Array(65) }), 'signature', 'signature_invalid'],
      [request({ signature: forged() }), 'signature', 'signature_invalid'],
      [request({}, stranger), 'signature', 'signature_invalid'],
      [request({ timestamp: BigInt(NOW - 100) }, stranger), 'lifetime', 'envelope_expired'],
    ];
    for (const [envelope, check, code] of cases) await expectRefusal(await admit(door, envelope), check, code, false);
    await expectRefusal(await door.admit(Buffer.from('ffff', 'hex')), 'shape', 'envelope_malformed', false);
    chain.down = true;
    await expectRefusal(await admit(door, request({ source: address(50) })), 'twin', 'twin_lookup_failed', false);
    expect(answers).toEqual([]);
  });

  it('names both clocks to a twin whose message is too old or too new', async () => {
    const door = makeDoor();
    const cases: [change: Record<string, unknown>, check: string, code: string, words: string[]][] = [
      [
        { timestamp: BigInt(NOW - 60) },
        'lifetime',
        'envelope_expired',
        [`${NOW}`, `${NOW - 60}, 60 s earlier`, 'message has expired', "set the sender's clock"],
      ],
      [
        { timestamp: BigInt(NOW + 61) },
        'clock',
        'envelope_from_future',
        [`${NOW}`, `${NOW + 61}, 61 s later`, 'at most 60 s ahead', "set the sender's clock"],
      ],
      [{ expiration: 0n }, 'lifetime', 'envelope_lifetime', ['3600']],
      [{ expiration: 3601n }, 'lifetime', 'envelope_lifetime', ['3600']],
    ];
    for (const [change, check, code, words] of cases) {
      const { refusal } = await expectRefusal(await admit(door, request(change)), check, code, true);
      for (const word of words) expect(refusal.message).toContain(word);
      expect(answers.at(-1)?.answer).toMatchObject({ kind: 'error', code: refusal.number, message: refusal.message });
    }
    for (const change of [{ timestamp: BigInt(NOW - 59) }, { timestamp: BigInt(NOW + 60) }, { expiration: 3600n }]) {
      expect((await admit(door, request(change))).outcome).toBe('admitted');
    }
  });

  it('admits a request once, whoever sends it again', async () => {
    const door = makeDoor();
    const envelope = request();
    expect((await admit(door, envelope)).outcome).toBe('admitted');
    await expectRefusal(await admit(door, envelope), 'replay', 'envelope_replayed', false);
    const copies = await Promise.all(Array.from({ length: 5 }, () => admit(door, request({ uid: 'same' }))));
    expect(copies.filter(({ outcome }) => outcome === 'admitted').length).toBe(1);
    // Another session or twin has its own uids; a forged copy uses up nobody's.
    expect((await admit(door, request({ uid: 'same', source: address(7) }))).outcome).toBe('admitted');
    await admit(door, request({ uid: 'mine', signature: forged() }));
    expect((await admit(door, request({ uid: 'mine' }))).outcome).toBe('admitted');
    expect(answers).toEqual([]);
  });

  it('lets a request in once it is written down, and knows it in the next process', async () => {
    const written: ReplayEntry[] = [];
    let write: (() => void) | undefined;
    const replayLog: ReplayLog = {
      begin: () => written,
      append: (entry) =>
        new Promise((resolve) => {
          write = () => {
            written.push(entry);
            resolve();
          };
        }),
    };
    const envelope = request();
    let verdict: Verdict | undefined;
    const door = makeDoor({ replayLog });
    const admitting = admit(door, envelope).then((reached) => {
      verdict = reached;
    });
    await expect.poll(() => write).toBeDefined();
    await expectRefusal(await admit(door, envelope), 'replay', 'envelope_replayed', false);
    expect(verdict).toBeUndefined();
    write?.();
    await admitting;
    expect(verdict?.outcome).toBe('admitted');
    const next = makeDoor({ replayLog, registry: new Registry() });
    expect(await admit(next, envelope)).toMatchObject({ outcome: 'refused', check: 'replay' });
    expect(answers).toEqual([]);
  });

  it('remembers until expiry, within bounds', async () => {
    let now = NOW;
    const door = makeDoor({ limits: { replayEntries: 30, replayEntriesPerTwin: 20 }, now: () => now * 1000 });
    const verdicts: Verdict[] = [];
    for (let index = 0; index < 22; index += 1) {
      const verdict = await admit(door, request());
      if (verdict.outcome === 'admitted') verdict.request.leave();
      verdicts.push(verdict);
    }
    expect(verdicts.filter(({ outcome }) => outcome === 'admitted').length).toBe(20);
    await expectRefusal(verdicts[21] as Verdict, 'replay', 'replay_memory_full', true);
    now += 60;
    expect((await admit(door, request({ timestamp: BigInt(now) }))).outcome).toBe('admitted');
  });

  it('limits a twin in requests a second and at once, and says so', async () => {
    let nowMs = NOW * 1000;
    const limits = { ratePerSecond: 10, rateBurst: 5, concurrencyPerTwin: 3, tellPerSecond: 2, tellBurst: 10 };
    const door = makeDoor({ limits, now: () => nowMs });
    const held: Extract<Verdict, { outcome: 'admitted' }>[] = [];
    for (let index = 0; index < 3; index += 1) {
      held.push((await admit(door, request())) as Extract<Verdict, { outcome: 'admitted' }>);
    }
    await expectRefusal(await admit(door, request()), 'concurrency', 'concurrency_exceeded', true);
    held[0]?.request.leave();
    held[0]?.request.leave();
    expect((await admit(door, request())).outcome).toBe('admitted');
    const { refusal } = await expectRefusal(await admit(door, request()), 'rate', 'rate_exceeded', true);
    expect(refusal.details).toEqual({ twin: 7, perSecond: 10, burst: 5, retryAfterSeconds: 1 });
    expect(answers.length).toBe(2);
    // Forged requests of a twin over its rate are not told, and cost no answer.
    await expectRefusal(await admit(door, request({ signature: forged() })), 'rate', 'rate_exceeded', false);
    for (let index = 0; index < 20; index += 1) await admit(door, request());
    expect(answers.length).toBe(9);
    nowMs += 1000;
    await held[1]?.request.reply({ kind: 'response', payload: '1' });
    expect((await admit(door, request())).outcome).toBe('admitted');
  });

  it('limits all together, in number, in bytes and in requests a second', async () => {
    const busy = makeDoor({ limits: { concurrency: 2 } });
    await admit(busy, request());
    await admit(busy, request());
    await expectRefusal(await admit(busy, request()), 'concurrency', 'door_busy', true);

    registry = new Registry();
    const full = makeDoor({ limits: { bytesInAll: 5000 }, registry });
    const large = { payload: { case: 'plain', value: Buffer.alloc(3000) } };
    const first = await admit(full, request(large));
    const { refusal } = await expectRefusal(await admit(full, request(large)), 'concurrency', 'door_full', true);
    expect(refusal.details).toMatchObject({ limitBytes: 5000, retryAfterSeconds: 1 });
    if (first.outcome === 'admitted') first.request.leave();
    expect((await admit(full, request(large))).outcome).toBe('admitted');

    registry = new Registry();
    let nowMs = NOW * 1000;
    const other = await chain.add(9, 'ed25519');
    const limits = { ratePerSecondInAll: 1, rateBurstInAll: 2 };
    const slow = makeDoor({ limits, registry, now: () => nowMs });
    await admit(slow, request());
    await admit(slow, request({ source: address(9) }, other));
    await expectRefusal(await admit(slow, request()), 'rate', 'rate_exceeded_in_all', true);
    nowMs += 1000;
    expect((await admit(slow, request())).outcome).toBe('admitted');
  });

  it('tells so many refusals a second, to one twin and in all', async () => {
    const twins = await Promise.all(Array.from({ length: 8 }, (_, index) => chain.add(100 + index, 'ed25519')));
    const door = makeDoor({ limits: { tellPerSecond: 1, tellBurst: 4, tellPerSecondInAll: 10 } });
    for (const twin of twins) {
      for (let index = 0; index < 5; index += 1) {
        await admit(door, request({ source: address(twin.id), expiration: 0n }, twin));
      }
    }
    expect(answers.length).toBe(10);
  });

  it('gives places back when a check fails', async () => {
    const door = makeDoor({ limits: { concurrencyPerTwin: 1 } });
    for (let index = 0; index < 5; index += 1) await admit(door, request({ signature: forged() }));
    expect((await admit(door, request())).outcome).toBe('admitted');
  });

  it('keeps a place until the answer has left', async () => {
    let sent = (): void => undefined;
    const sending = new Promise<void>((resolve) => {
      sent = resolve;
    });
    const door = makeDoor({
      limits: { concurrencyPerTwin: 1 },
      answer: async (_request, _twin, { kind }) => (kind === 'response' ? await sending : undefined),
    });
    const verdict = await admit(door, request());
    if (verdict.outcome !== 'admitted') throw new Error('not admitted');
    const replying = verdict.request.reply({ kind: 'response', payload: '1' });
    expect(await admit(door, request())).toMatchObject({ outcome: 'refused', check: 'concurrency' });
    sent();
    await replying;
    expect((await admit(door, request())).outcome).toBe('admitted');
  });

  it('refuses too large a request, naming sizes', async () => {
    const door = makeDoor({ limits: { sizeBytes: 2000, payloadBytes: 1000 } });
    const sized = (bytes: number) => request({ payload: { case: 'plain', value: Buffer.alloc(bytes) } });
    const frame = await expectRefusal(await admit(door, sized(2000)), 'size', 'envelope_too_large', true);
    expect(frame.refusal.details).toMatchObject({ limitBytes: 2000 });
    const payload = await expectRefusal(await admit(door, sized(1001)), 'size', 'payload_too_large', true);
    expect(payload.refusal.details).toEqual({ sizeBytes: 1001, limitBytes: 1000 });
    expect((await admit(door, sized(1000))).outcome).toBe('admitted');
  });

  it('refuses what it cannot decrypt', async () => {
    const door = makeDoor();
    const cipher = (value: Uint8Array) => ({ payload: { case: 'cipher', value } });
    await expectRefusal(await admit(door, request(cipher(randomBytes(40)))), 'decrypt', 'decryption_failed', true);
    await expectRefusal(await admit(door, request(cipher(new Uint8Array(5)))), 'decrypt', 'decryption_failed', true);
    const bare = await chain.add(8, 'sr25519', { encrypted: false });
    const envelope = request({ source: address(8), ...cipher(randomBytes(40)) }, bare);
    await expectRefusal(await admit(door, envelope), 'decrypt', 'encryption_key_missing', true);
    expect((await admit(door, request({ source: address(8) }, bare))).outcome).toBe('admitted');
  });

  it('asks twins that have a key to encrypt, where the operator wants that', async () => {
    const door = makeDoor({ requireEncryption: true });
    const sealed = new PayloadCipher(user.identity).encrypt(Buffer.from('{}'), node.identity.encryptionKey);
    expect((await admit(door, request({ payload: { case: 'cipher', value: sealed } }))).outcome).toBe('admitted');
    await expectRefusal(await admit(door, request()), 'policy', 'encryption_required', true);
    const bare = await chain.add(8, 'sr25519', { encrypted: false });
    expect((await admit(door, request({ source: address(8) }, bare))).outcome).toBe('admitted');
    // The key was taken back, and no event told it.
    chain.put(7, user.identity, { encrypted: false });
    expect((await admit(door, request())).outcome).toBe('admitted');
  });

  it('answers with the key that opened the request, when that has just changed', async () => {
    const told: (Uint8Array | null)[] = [];
    const door = makeDoor({ answer: async (_request, twin) => void told.push(twin.encryptionKey) });
    expect((await admit(door, request())).outcome).toBe('admitted');
    const renewed = await chain.add(1000, 'ed25519');
    const record = chain.records.get(7);
    if (record !== undefined) chain.records.set(7, { ...record, encryptionKey: renewed.identity.encryptionKey });
    const sealed = new PayloadCipher(renewed.identity).encrypt(Buffer.from('{}'), node.identity.encryptionKey);
    const verdict = await admit(door, request({ payload: { case: 'cipher', value: sealed } }));
    if (verdict.outcome !== 'admitted') throw new Error('not admitted');
    await verdict.request.reply({ kind: 'response', payload: '1' });
    expect(told).toEqual([renewed.identity.encryptionKey]);
  });

  it('asks the chain about so many twins at once, and logs seldom that it is away', async () => {
    const lines: string[] = [];
    const log = pino({ level: 'error' }, { write: (line: string) => void lines.push(line) });
    let answer = (): void => undefined;
    const asked = new Promise<undefined>((resolve) => {
      answer = () => resolve(undefined);
    });
    let asks = 0;
    const twin = (): Promise<undefined> => {
      asks += 1;
      return asked;
    };
    const door = makeDoor({ twins: { twin }, limits: { lookups: 2 }, log });
    const of = (id: number): Promise<Verdict> => admit(door, request({ source: address(id) }));
    const waiting = [of(1), of(1), of(1), of(2)];
    for (let id = 3; id < 20; id += 1) await expectRefusal(await of(id), 'twin', 'twin_lookup_failed', false);
    expect([asks, lines.length]).toEqual([2, 1]);
    answer();
    for (const verdict of await Promise.all(waiting)) await expectRefusal(verdict, 'twin', 'twin_unknown', false);
  });

  it('lets in twins it knows while strangers keep all lookups busy', async () => {
    let answer = (): void => undefined;
    const slow = new Promise<undefined>((resolve) => {
      answer = () => resolve(undefined);
    });
    const source = { twin: (id: number) => (chain.records.has(id) ? chain.twin(id) : slow) };
    const door = makeDoor({ twins: new TwinCache(source, { freshIntervalMs: 0 }), limits: { lookups: 2 } });
    expect((await admit(door, request())).outcome).toBe('admitted');
    const strangers = [1, 2].map((id) => admit(door, request({ source: address(id) })));
    await expectRefusal(await admit(door, request({ source: address(3) })), 'twin', 'twin_lookup_failed', false);
    expect((await admit(door, request())).outcome).toBe('admitted');
    answer();
    for (const verdict of await Promise.all(strangers)) await expectRefusal(verdict, 'twin', 'twin_unknown', false);
  });

  it('lets in neither of two copies that expired while they waited', async () => {
    let nowSeconds = NOW;
    let found = (): void => undefined;
    const asked = new Promise<void>((resolve) => {
      found = resolve;
    });
    const twin = async (id: number) => {
      await asked;
      return await chain.twin(id);
    };
    const door = makeDoor({ twins: { twin }, now: () => nowSeconds * 1000 });
    const envelope = request();
    const copies = [admit(door, envelope), admit(door, envelope)];
    nowSeconds = NOW + 60;
    found();
    for (const verdict of await Promise.all(copies)) await expectRefusal(verdict, 'lifetime', 'envelope_expired', true);
  });

  it('says overloaded, to nobody in particular, when signatures cannot be verified in time', async () => {
    const narrow = new SignatureVerifier({ threads: 1, limit: 1 });
    try {
      const other = await chain.add(9, 'sr25519');
      const door = makeDoor({ verifier: narrow });
      const verdicts = await Promise.all(
        Array.from({ length: 5 }, () => admit(door, request({ source: address(9) }, other))),
      );
      expect(verdicts.filter(({ outcome }) => outcome === 'admitted').length).toBe(1);
      expect(await counted('overload', 'door_overloaded')).toBe(4);
      expect(answers).toEqual([]);
      expect((await admit(door, request({ source: address(9) }, other))).outcome).toBe('admitted');
    } finally {
      await narrow.close();
    }
  });

  it('follows a key that changed on the chain', async () => {
    const door = makeDoor();
    expect((await admit(door, request())).outcome).toBe('admitted');
    const renewed = await chain.add(7, 'sr25519');
    expect((await admit(door, request({}, renewed))).outcome).toBe('admitted');
    await expectRefusal(await admit(door, request({}, user)), 'signature', 'signature_invalid', false);
  });

  it('never throws, whatever comes', async () => {
    const door = makeDoor();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (noise) => {
        const verdict = await door.admit(noise);
        expect(verdict.outcome).not.toBe('admitted');
      }),
      { numRuns: 500 },
    );
  });
});
