/** What one signature can be made to say, since what is signed has no separators and no kind. docs/security.md. */
import { randomBytes, randomUUID } from 'node:crypto';
import type { MessageInitShape } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { handlers } from '../../gateway/commands/index.ts';
import { Door, type DoorOptions, type Verdict } from '../../gateway/door/door.ts';
import { TestChain, type TestTwin, World } from '../../gateway/relay/testing/world.ts';
import type { EnvelopeSchema } from '../../gateway/rmb/envelope_pb.ts';
import {
  address,
  challenge,
  createEnvelope,
  type Envelope,
  encodeEnvelope,
  PayloadCipher,
  SignatureVerifier,
} from '../../gateway/rmb/index.ts';
import { type Command, commands, parseInput } from '../../schemas/index.ts';
import { readings } from './readings.ts';
import { meaning, sameSignedText } from './vector-envelopes.ts';

const verifier = new SignatureVerifier({ threads: 1 });
afterAll(() => verifier.close());

const NOW = 1_700_000_000;
const NODE = 17;
const chain = new TestChain();
let node: TestTwin;
const users = new Map<number, TestTwin>();

beforeAll(async () => {
  node = await chain.add(NODE, 'ed25519');
  for (const id of [7, 71, 17, 1717, 60, 3000]) if (id !== NODE) users.set(id, await chain.add(id, 'ed25519'));
});

const makeDoor = (options: Partial<DoorOptions> = {}): Door =>
  new Door({
    twinId: NODE,
    twins: chain,
    verifier,
    cipher: new PayloadCipher(node.identity),
    answer: async () => undefined,
    log: pino({ level: 'silent' }),
    limits: { ratePerSecond: 1e6, rateBurst: 1e6 },
    now: () => NOW * 1000,
    ...options,
  });

/** Whether a door that has not seen its like lets a reading in; such a door forgets by having no room to remember. */
const amnesiac: Partial<DoorOptions> = { limits: { ratePerSecond: 1e6, rateBurst: 1e6, replayEntries: 0 } };
const passes = async (door: Door, reading: Envelope): Promise<boolean> => {
  const verdict = await door.admit(encodeEnvelope(reading));
  return verdict.outcome === 'refused' && verdict.refusal.code === 'replay_memory_full';
};

interface Wish {
  readonly uid: string;
  readonly tags: string | undefined;
  readonly life: number;
  readonly twin: number;
  readonly session: string | undefined;
  readonly to: number;
  readonly command: string;
  readonly payload: Envelope['payload'];
  readonly federation: string | undefined;
  readonly relays: string[];
}

function signed(wish: Wish): Envelope {
  const envelope = createEnvelope({
    uid: wish.uid,
    timestamp: BigInt(NOW),
    expiration: BigInt(wish.life),
    source: address(wish.twin, wish.session),
    destination: address(wish.to),
    message: { case: 'request', value: { command: wish.command } },
    schema: 'application/json',
    payload: wish.payload,
    relays: wish.relays,
    ...(wish.tags === undefined ? {} : { tags: wish.tags }),
    ...(wish.federation === undefined ? {} : { federation: wish.federation }),
  });
  return sign(envelope);
}

function sign(envelope: Envelope): Envelope {
  const signer = users.get(envelope.source?.twin ?? 0);
  if (signer === undefined) throw new Error(`twin ${envelope.source?.twin} has no key here`);
  envelope.signature = signer.identity.sign(challenge(envelope));
  return envelope;
}

/** An envelope with other fields and the same signature. */
function changed({ $typeName: _, ...envelope }: Envelope, change: MessageInitShape<typeof EnvelopeSchema>): Envelope {
  return createEnvelope({ ...envelope, ...change });
}

const host = fc.constantFrom('relay.grid.tf', 'r1.example.com', '17', 'x');
const perhaps = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });
/** What clients send, chosen so that digits meet: that is where readings part. */
const wishes: fc.Arbitrary<Wish> = fc.record({
  uid: fc.oneof(
    fc.constant('').map(() => randomUUID()),
    fc.constantFrom('1', `a${NOW}`, `a${NOW}60`, `a${NOW}607`, 'zos.system.version'),
  ),
  tags: perhaps(fc.constantFrom('', 'fail-fast', `${NOW}`)),
  life: fc.constantFrom(1, 5, 60, 300),
  twin: fc.constantFrom(7, 71, 60, 1717, 3000),
  session: perhaps(fc.constantFrom('', '7', '71', '717', '17', 'cli', `7${NOW}`, '60717', 'tf-1217')),
  to: fc.constantFrom(17, 117, 7117),
  command: fc.constantFrom(...commands.map(({ name }) => name)),
  payload: fc
    .constantFrom('{"contract_id":42}', '{"name":"a","contract_id":17}', 'null', '', '42', '["a"]', '"17zos.x"')
    .map((text) => ({ case: 'plain' as const, value: Buffer.from(text) })),
  federation: perhaps(host),
  relays: fc.array(host, { maxLength: 3 }),
});

const admitted = (verdict: Verdict): verdict is Extract<Verdict, { outcome: 'admitted' }> =>
  verdict.outcome === 'admitted';

function inputOf(command: Command, payload: Uint8Array): unknown {
  try {
    return { input: parseInput(command, payload) };
  } catch {
    return 'refused';
  }
}

describe('a signature', { timeout: 90_000 }, () => {
  it('runs no command but the signed one, of the twin that signed, with the input that was signed', async () => {
    const differing = new Set<string>();
    const door = makeDoor(amnesiac);
    let [tried, passed] = [0, 0];
    await fc.assert(
      fc.asyncProperty(wishes, async (wish) => {
        const original = signed(wish);
        for (const reading of readings(original, NODE)) {
          tried += 1;
          expect(sameSignedText(original, reading)).toBe(true);
          const { message, payload, source } = reading;
          const command = message.case === 'request' ? message.value.command : '';
          const handler = handlers.get(command);
          if (handler === undefined || !(await passes(door, reading))) continue;
          passed += 1;
          for (const [field, value] of Object.entries(meaning(reading))) {
            if (meaning(original)[field] !== value) differing.add(field);
          }
          expect([command, source?.twin]).toEqual([wish.command, wish.twin]);
          // Plain bytes in the place of a cipher are not decrypted to anything.
          const input = payload.case === 'plain' ? inputOf(handler.command, payload.value) : 'refused';
          if (input !== 'refused') expect(input).toEqual(inputOf(handler.command, wish.payload.value as Uint8Array));
        }
      }),
      { numRuns: 40, seed: 7, endOnFailure: true },
    );
    expect([tried > 1000, passed > 100]).toEqual([true, true]);
    // What a relay can change: names of the request, life, session, a longer twin's number, and parts nothing reads.
    expect(differing.size).toBeGreaterThan(3);
    for (const field of ['message', 'signature', 'schema']) expect(differing).not.toContain(field);
  });

  it('is used once, however it is read and whenever within the hour', async () => {
    let kept = 0;
    await fc.assert(
      fc.asyncProperty(wishes, async (wish) => {
        const original = signed({ ...wish, to: NODE });
        let now = NOW;
        const door = makeDoor({ now: () => now * 1000 });
        if (!admitted(await door.admit(encodeEnvelope(original)))) return;
        const copies = [...readings(original, NODE)].filter((_, index) => index % 5 === 0).map(encodeEnvelope);
        for (const later of [0, 1, wish.life, wish.life + 1, 301, 608, 1800, 3540]) {
          now = NOW + later;
          for (const copy of copies) {
            const verdict = await door.admit(copy);
            if (verdict.outcome === 'refused' && verdict.check === 'replay' && later > wish.life) kept += 1;
            expect(verdict.outcome).not.toBe('admitted');
          }
        }
      }),
      { numRuns: 30, endOnFailure: true },
    );
    // Some readings live longer than the original: these were still known.
    expect(kept).toBeGreaterThan(0);
  });

  it('of twin 7 session 7x that lived a minute is not ten minutes of session x', async () => {
    let now = NOW;
    const door = makeDoor({ now: () => now * 1000 });
    const plain = { case: 'plain' as const, value: Buffer.from('null') };
    const rest = { tags: undefined, twin: 7, to: NODE, command: 'zos.x', federation: undefined, relays: [] };
    const original = signed({ ...rest, uid: 'u', life: 60, session: '7x', payload: plain });
    const longer = changed(original, { expiration: 607n, source: address(7, 'x') });
    expect(challenge(longer)).toEqual(challenge(original));
    expect((await door.admit(encodeEnvelope(original))).outcome).toBe('admitted');
    // Another request lets the memory sweep what is over.
    for (const later of [30, 61, 300, 600]) {
      now = NOW + later;
      const other = signed({ ...rest, uid: `o${later}`, life: 900, session: undefined, payload: plain });
      expect((await door.admit(encodeEnvelope(other))).outcome).toBe('admitted');
      expect(await door.admit(encodeEnvelope(longer))).toMatchObject({ check: 'replay' });
    }
  });

  it('on the four known envelopes of one challenge lets in the one that its twin sent here', async () => {
    const shape = { uid: 'a', timestamp: BigInt(NOW), schema: 'application/json' };
    const boom = { case: 'request' as const, value: { command: '0boom' } };
    const plain = { case: 'plain' as const, value: Buffer.from('x') };
    const good = createEnvelope({
      ...shape,
      expiration: 300n,
      source: address(7),
      destination: address(17),
      message: boom,
      payload: plain,
    });
    sign(good);
    const others = [
      changed(good, {
        message: { case: 'error', value: { code: 0, message: 'boom' } },
        payload: { case: 'cipher', value: Buffer.from('x') },
      }),
      changed(good, { source: address(71), destination: address(7) }),
      changed(good, { expiration: 30n, source: address(0), destination: address(717) }),
    ];
    for (const envelope of others) expect(challenge(envelope)).toEqual(challenge(good));
    const outcomes: string[] = [];
    for (const twinId of [17, 7, 717]) {
      for (const envelope of [good, ...others]) {
        const verdict = await makeDoor({ twinId }).admit(encodeEnvelope(envelope));
        outcomes.push(verdict.outcome === 'refused' ? verdict.check : verdict.outcome);
      }
    }
    expect(outcomes).toEqual([
      ...['admitted', 'ignored', 'destination', 'shape'],
      ...['destination', 'ignored', 'signature', 'shape'],
      ...['destination', 'ignored', 'destination', 'shape'],
    ]);
  });

  it('of an answer is no request: a session that would make it one is refused when it asks', async () => {
    // Twin 71 asks twin 7 under a session that is a third twin and a command.
    const session = '17zos.system.version';
    const answer = sign(
      createEnvelope({
        uid: 'u',
        timestamp: BigInt(NOW),
        expiration: 300n,
        source: address(7),
        destination: address(71, session),
        message: { case: 'response', value: {} },
        schema: 'application/json',
        payload: { case: 'plain', value: Buffer.from('null') },
      }),
    );
    const request = changed(answer, {
      source: address(7, '71'),
      destination: address(17),
      message: { case: 'request', value: { command: 'zos.system.version' } },
    });
    expect(challenge(request)).toEqual(challenge(answer));
    // Who signs such an answer has been made to ask: so our door does not let the asker in.
    const asked = signed({
      uid: 'u',
      tags: undefined,
      life: 60,
      twin: 71,
      session,
      to: NODE,
      command: 'zos.system.version',
      payload: { case: 'plain', value: Buffer.from('null') },
      federation: undefined,
      relays: [],
    });
    const verdict = await makeDoor().admit(encodeEnvelope(asked));
    expect(verdict).toMatchObject({
      outcome: 'refused',
      check: 'shape',
      refusal: { details: { field: 'source.connection' } },
    });
  });

  it('of an answer whose uid holds a whole request is no request', async () => {
    const uid = `u${NOW}6077x17zos.system.versionapplication/json42`;
    const answer = sign(
      createEnvelope({
        uid,
        timestamp: BigInt(NOW),
        expiration: 300n,
        source: address(7),
        destination: address(71),
        message: { case: 'response', value: {} },
        schema: 'application/json',
        payload: { case: 'plain', value: Buffer.from('{"a":1}') },
      }),
    );
    const door = makeDoor(amnesiac);
    let runnable = 0;
    for (const reading of readings(answer, NODE)) {
      if (reading.message.case !== 'request' || !handlers.has(reading.message.value.command)) continue;
      runnable += 1;
      if (!(await passes(door, reading))) continue;
      // All that came after has to be in the payload then, and is no JSON.
      expect(() => JSON.parse(Buffer.from(reading.payload.value as Uint8Array).toString())).toThrow();
    }
    expect(runnable).toBeGreaterThan(10);
  });

  it('of a request with a stranger’s text in its payload is not the request in that text', async () => {
    const text = `${NOW}607x17zos.system.versionapplication/jsonnull`;
    const original = signed({
      uid: 'u',
      tags: undefined,
      life: 60,
      twin: 7,
      session: undefined,
      to: NODE,
      command: 'zos.deployment.get',
      payload: { case: 'plain', value: Buffer.from(`{"contract_id":42,"note":"${text}"}`) },
      federation: undefined,
      relays: [],
    });
    const door = makeDoor(amnesiac);
    let tried = 0;
    for (const reading of readings(original, NODE)) {
      if (reading.message.case !== 'request' || reading.message.value.command !== 'zos.system.version') continue;
      tried += 1;
      expect(await passes(door, reading)).toBe(false);
    }
    expect(tried).toBeGreaterThan(10);
  });

  it('on an encrypted request binds both twins and the whole payload', async () => {
    const original: Envelope[] = [];
    for (const to of [17, 117]) {
      const receiver = to === NODE ? node : await chain.add(117, 'ed25519');
      const sealed = new PayloadCipher((users.get(7) as TestTwin).identity).encrypt(
        Buffer.from('{"contract_id":42}'),
        receiver.identity.encryptionKey,
      );
      original.push(
        signed({
          uid: 'abcdef',
          tags: undefined,
          life: 60,
          twin: 7,
          session: 's1',
          to,
          command: 'zos.deployment.get',
          payload: { case: 'cipher', value: sealed },
          federation: 'r.example.com',
          relays: ['r1.example.com'],
        }),
      );
    }
    let lives = 0;
    for (const envelope of original) {
      const door = makeDoor(amnesiac);
      for (const reading of cipherReadings(envelope)) {
        if (reading.payload.case !== 'cipher' || !(await passes(door, reading))) continue;
        const verdict = await makeDoor({ requireEncryption: true }).admit(encodeEnvelope(reading));
        if (!admitted(verdict)) continue;
        lives += 1;
        expect(envelope.destination?.twin).toBe(NODE);
        expect(Buffer.from(verdict.request.payload).toString()).toBe('{"contract_id":42}');
      }
    }
    expect(lives).toBeGreaterThan(0);
  });

  it('on a plain request for twin 117 is one for twin 17 too: only encryption tells them apart', async () => {
    const plain = { case: 'plain' as const, value: Buffer.from('null') };
    const rest = { tags: undefined, twin: 7, life: 60, command: 'zos.system.version', federation: undefined };
    const original = signed({ ...rest, uid: 'u', session: 'cli', to: 117, payload: plain, relays: [] });
    const handed = changed(original, { source: address(7, 'cli1'), destination: address(17) });
    expect(challenge(handed)).toEqual(challenge(original));
    expect((await makeDoor().admit(encodeEnvelope(handed))).outcome).toBe('admitted');
    expect(await makeDoor({ requireEncryption: true }).admit(encodeEnvelope(handed))).toMatchObject({
      refusal: { code: 'encryption_required' },
    });
  });
});

/** The readings of a request whose payload is not text: cut at every byte of the right side. */
function* cipherReadings(original: Envelope): Generator<Envelope> {
  const { payload, federation = '', relays } = original;
  const rest = Buffer.concat([Buffer.from(federation), payload.value as Uint8Array, Buffer.from(relays.join(''))]);
  for (let front = 0; front <= rest.length; front += 1) {
    for (const back of [0, 1, 14, 20, rest.length - front]) {
      if (front + back > rest.length) continue;
      const [head, tail] = [rest.subarray(0, front), rest.subarray(rest.length - back)];
      // Only UTF-8 can stand in a text.
      if (![head, tail].every((part) => Buffer.from(part.toString('utf8')).equals(part))) continue;
      const value = rest.subarray(front, rest.length - back);
      for (const kind of ['cipher', 'plain'] as const) {
        for (const here of [original.source, address(7, 's11')]) {
          yield changed(original, {
            source: here ?? address(7),
            destination: address(NODE),
            federation: head.toString('utf8'),
            relays: back === 0 ? [] : [tail.toString('utf8')],
            payload: { case: kind, value },
          });
        }
      }
    }
  }
}

describe('no command', () => {
  it('has a name that ends with the name of another or begins with a digit', () => {
    const names = [...handlers.keys()];
    for (const name of names) {
      for (const other of names) expect(name !== other && name.endsWith(other)).toBe(false);
      expect(name).not.toMatch(/^\d/);
    }
  });
});

describe('our own requests', () => {
  it('end their uid in a letter, so that the time behind it has one reading', async () => {
    const world = await World.start();
    try {
      const [asker, server] = [await world.chain.add(7, 'ed25519'), await world.chain.add(17, 'ed25519')];
      const uids: string[] = [];
      const service = world.client(server);
      service.serve(async ({ envelope }) => {
        uids.push(envelope.uid);
        await service.answer(envelope, (await world.chain.twin(7)) as never, { kind: 'response', payload: '1' });
      });
      const client = world.client(asker, { session: randomBytes(4).toString('hex') });
      await Promise.all([client.connect(), service.connect()]);
      const call = { twin: 17, command: 'zos.x', payload: 'null', deadlineMs: 20_000 };
      await Promise.all(Array.from({ length: 30 }, () => client.call(call)));
      expect(uids.length).toBe(30);
      expect(uids.filter((uid) => !/[a-f]$/.test(uid))).toEqual([]);
    } finally {
      await world.stop();
    }
  });
});
