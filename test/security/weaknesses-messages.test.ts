/** Known weaknesses of RMB peers, one test each or more: what ours does instead. Relays are in a file of their own. */
import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { compareTwin, planUpdate } from '../../gateway/chain/own-twin.ts';
import type { Door } from '../../gateway/door/door.ts';
import { type TestTwin, World } from '../../gateway/relay/testing/world.ts';
import {
  address,
  challenge,
  createEnvelope,
  createToken,
  type Envelope,
  encodeEnvelope,
  Identity,
  PayloadCipher,
  parseToken,
  type RmbClient,
  SignatureVerifier,
  TwinCache,
} from '../../gateway/rmb/index.ts';
import { bytesOf, nowSeconds, RawLine, type RequestWish, request } from '../system/raw-line.ts';
import { HostileRelay } from './hostile-relay.ts';

const USER = 7;
const NODE = 17;
const SESSION = 'raw';

let world: World;
let hostile: HostileRelay;
let user: TestTwin;
let node: TestTwin;
let server: RmbClient;
/** Commands that ran behind the door, by uid. */
let ran: string[];
const lines: RawLine[] = [];

beforeEach(async () => {
  world = await World.start();
  hostile = await HostileRelay.start();
  user = await world.chain.add(USER, 'ed25519');
  node = await world.chain.add(NODE, 'ed25519');
  ran = [];
});

afterEach(async () => {
  for (const line of lines.splice(0)) line.close();
  await world.stop();
  await hostile.stop();
});

/** The node, at the relay of the test's choice, behind a real door. */
async function serve(relay: string, options: Parameters<World['serve']>[2] = {}): Promise<Door> {
  server = world.client(node, { relays: [relay] });
  const door = world.serve(server, node, options);
  server.serve(
    door.handler(async ({ uid, command }) => {
      ran.push(uid);
      if (command === 'zos.throws') throw new Error('a defect');
      if (command === 'zos.sleeps') await sleep(300);
      return { kind: 'response', payload: '"done"' };
    }),
  );
  await server.connect();
  return door;
}

async function openLine(twin = user, session = SESSION): Promise<RawLine> {
  const line = await RawLine.open(world.url, twin.identity, twin.id, session);
  lines.push(line);
  return line;
}

const wish = (change: Partial<RequestWish> = {}): RequestWish => ({
  source: { twin: USER, session: SESSION },
  destination: { twin: NODE },
  command: 'zos.x',
  ...change,
});
const errorOf = (envelope: Envelope | undefined): unknown =>
  envelope?.message.case === 'error' ? [envelope.message.value.code, envelope.message.value.message] : envelope;

/** A good request after the bad ones is answered, and of all only it ran. */
async function onlyGoodRuns(line: RawLine): Promise<void> {
  const good = request(wish(), user.identity);
  line.send(bytesOf(good));
  expect((await line.answer(good.uid))?.message.case).toBe('response');
  expect(ran).toEqual([good.uid]);
}

describe('a peer of ours', () => {
  it('1: believes nothing unsigned', async () => {
    await serve(world.url);
    const line = await openLine();
    for (const command of ['zos.deployment.deploy', 'zos.system.version']) {
      line.send(bytesOf(request(wish({ command }), undefined)));
    }
    await onlyGoodRuns(line);
    expect(line.received).toHaveLength(1);
  });

  it('2: goes on after signatures of every wrong form', async () => {
    await serve(world.url);
    const line = await openLine();
    const { signature = new Uint8Array() } = request(wish(), user.identity);
    const forms = [
      ...[0, 1, 64, 66, 130].map((length) => new Uint8Array(length)),
      ...[0, 0x64, 0x65, 0x73, 0xff].map((first) => Uint8Array.of(first, ...signature.subarray(1))),
    ];
    for (const form of forms) line.send(bytesOf({ ...request(wish(), user.identity), signature: form }));
    await onlyGoodRuns(line);
  });

  it('4: takes no request from twin 0, whoever hands it over', async () => {
    await serve(hostile.url);
    const sources = [undefined, address(0), address(0, 'relay')];
    const plain = { case: 'plain' as const, value: Buffer.from('null') };
    for (const source of sources) {
      const { $typeName: _, ...fields } = request(wish(), user.identity);
      const forged = createEnvelope({ ...fields, uid: randomUUID(), payload: plain });
      if (source === undefined) delete forged.source;
      else forged.source = source;
      hostile.send(encodeEnvelope(forged));
    }
    const good = request(wish(), user.identity);
    hostile.send(bytesOf(good));
    await expect.poll(() => ran, { timeout: 20_000 }).toEqual([good.uid]);
  });

  it('4, 6: a relay’s unsigned error ends the one call it names, as what a relay said, and no other', async () => {
    const client = world.client(user, { relays: [hostile.url] });
    const uids: string[] = [];
    const error = { case: 'error' as const, value: { code: 0, message: 'destination offline' } };
    hostile.onEnvelope = ({ uid }, reply) => {
      uids.push(uid);
      if (uids.length < 2) return;
      reply(createEnvelope({ uid: 'nobody-waits', message: error }));
      reply(createEnvelope({ uid: uids[1] ?? '', message: error }));
      // A response without a source is nothing at all.
      reply(
        createEnvelope({
          uid: uids[0] ?? '',
          message: { case: 'response', value: {} },
          payload: { case: 'plain', value: Buffer.from('1') },
        }),
      );
    };
    await client.connect();
    const call = { twin: NODE, command: 'zos.x', payload: 'null', deadlineMs: 2000 };
    const [first, second] = await Promise.allSettled([client.call(call), client.call(call)]);
    expect(first).toMatchObject({ status: 'rejected', reason: { kind: 'timeout' } });
    expect(second).toMatchObject({
      status: 'rejected',
      reason: { kind: 'relay-refused', message: 'destination offline' },
    });
  });

  it('5: takes an answer only from the twin and session it asked', async () => {
    const [stranger, client] = [await world.chain.add(9, 'ed25519'), world.client(user, { relays: [hostile.url] })];
    const lie = { case: 'plain' as const, value: Buffer.from('"a lie"') };
    hostile.onEnvelope = (asked, reply) => {
      const response = { case: 'response' as const, value: {} };
      const base = { uid: asked.uid, timestamp: BigInt(nowSeconds()), expiration: 60n, schema: 'application/json' };
      const answer = (source: ReturnType<typeof address>, signer: Identity, payload: Envelope['payload']): Envelope => {
        const made = createEnvelope({ ...base, source, destination: address(USER), message: response, payload });
        made.signature = signer.sign(challenge(made));
        return made;
      };
      reply(answer(address(9), stranger.identity, lie));
      reply(answer(address(NODE, 'other'), node.identity, lie));
      const elsewhere = answer(address(NODE), node.identity, lie);
      reply({ ...elsewhere, destination: address(8) });
      reply(answer(address(NODE), node.identity, { case: 'plain', value: Buffer.from('"the truth"') }));
    };
    await client.connect();
    const answer = await client.call({ twin: NODE, command: 'zos.x', payload: 'null', deadlineMs: 20_000 });
    expect(Buffer.from(answer).toString()).toBe('"the truth"');
  });

  it('6: gives an error that claims to be the node’s no belief without the node’s signature', async () => {
    const client = world.client(user, { relays: [hostile.url] });
    hostile.onEnvelope = (asked, reply) => {
      reply(
        createEnvelope({
          uid: asked.uid,
          timestamp: BigInt(nowSeconds()),
          expiration: 60n,
          source: address(NODE),
          destination: address(USER),
          message: { case: 'error', value: { code: 1113, message: 'send it again without encryption' } },
          schema: 'application/json',
          payload: { case: 'plain', value: Buffer.from('null') },
        }),
      );
    };
    await client.connect();
    const failed = client.call({ twin: NODE, command: 'zos.x', payload: 'null', deadlineMs: 20_000 });
    await expect(failed).rejects.toMatchObject({ kind: 'bad-signature', code: undefined });
  });

  it('7: runs a request once, within its life, and lends it no future', async () => {
    await serve(world.url);
    const line = await openLine();
    const now = nowSeconds();
    const told = async (change: Partial<RequestWish>): Promise<unknown> => {
      const bad = request(wish(change), user.identity);
      line.send(bytesOf(bad));
      return errorOf(await line.answer(bad.uid));
    };
    expect(await told({ timestamp: now - 400, expiration: 300 })).toEqual([1101, expect.stringContaining('expired')]);
    expect(await told({ timestamp: now + 300 })).toEqual([1102, expect.stringContaining('from the future')]);
    for (const expiration of [0, 3601, 0xffff_ffff]) {
      expect(await told({ expiration })).toEqual([1103, expect.stringContaining('3600')]);
    }
    expect(ran).toEqual([]);
    const once = request(wish(), user.identity);
    for (let copy = 0; copy < 5; copy += 1) line.send(bytesOf(once));
    expect((await line.answer(once.uid))?.message.case).toBe('response');
    const other = request(wish(), user.identity);
    line.send(bytesOf(other));
    await line.answer(other.uid);
    expect(ran).toEqual([once.uid, other.uid]);
  });

  it('8: takes one reading of what was signed, of all that differ in nothing signed', async () => {
    await serve(hostile.url);
    const sendReadings = (of: ReturnType<typeof request>): string[] => {
      const { $typeName: _, ...fields } = of;
      const readings = [
        { ...fields, uid: `${of.uid}ab`, tags: undefined },
        { ...fields, message: { case: 'response' as const, value: {} }, schema: `zos.x${of.schema}` },
        { ...fields, payload: { case: 'cipher' as const, value: of.payload.value as Uint8Array } },
        { ...fields, federation: 'nu', payload: { case: 'plain' as const, value: Buffer.from('ll') } },
      ];
      for (const { tags, ...rest } of readings) {
        const made = createEnvelope(tags === undefined ? rest : { ...rest, tags });
        expect(challenge(made)).toEqual(challenge(of));
        hostile.send(encodeEnvelope(made));
      }
      return [of.uid, ...readings.map(({ uid }) => uid)];
    };
    const until = async (uid: string): Promise<void> => {
      await expect.poll(() => ran, { timeout: 20_000 }).toContain(uid);
    };

    const [first, next] = [request({ ...wish(), tags: 'ab' }, user.identity), request(wish(), user.identity)];
    hostile.send(bytesOf(first));
    await until(first.uid);
    sendReadings(first);
    hostile.send(bytesOf(next));
    await until(next.uid);
    expect(ran).toEqual([first.uid, next.uid]);

    // At once, it is whichever was verified first: who carries them could have sent that one alone.
    const [raced, last] = [request({ ...wish(), tags: 'ab' }, user.identity), request(wish(), user.identity)];
    hostile.send(bytesOf(raced));
    const readings = sendReadings(raced);
    hostile.send(bytesOf(last));
    await until(last.uid);
    const taken = ran.slice(2).filter((uid) => uid !== last.uid);
    expect(taken.length).toBeLessThanOrEqual(1);
    expect(readings).toEqual(expect.arrayContaining(taken));
  });

  it('9: refuses what was signed for another twin or another session', async () => {
    await serve(hostile.url);
    for (const destination of [{ twin: 18 }, { twin: NODE, session: 'x' }, { twin: NODE, session: '' }]) {
      hostile.send(bytesOf(request(wish({ destination }), user.identity)));
    }
    const good = request(wish(), user.identity);
    hostile.send(bytesOf(good));
    await expect.poll(() => ran, { timeout: 20_000 }).toEqual([good.uid]);
  });

  it('11: decrypts nothing that is not signed', async () => {
    const decrypted: string[] = [];
    const cipher = new PayloadCipher(node.identity);
    const decrypt = cipher.decrypt.bind(cipher);
    cipher.decrypt = (field, key) => {
      decrypted.push(Buffer.from(field).toString('hex'));
      return decrypt(field, key);
    };
    await serve(world.url, { cipher });
    const line = await openLine();
    const sealed = new PayloadCipher(user.identity).encrypt(Buffer.from('null'), node.identity.encryptionKey);
    const payload = { case: 'cipher' as const, value: sealed };
    const stranger = await Identity.fromSecret(randomBytes(32).toString('hex'), 'sr25519');
    for (const signer of [undefined, stranger]) line.send(bytesOf(request(wish({ payload }), signer)));
    const good = request(wish({ payload }), user.identity);
    line.send(bytesOf(good));
    expect((await line.answer(good.uid))?.message.case).toBe('response');
    expect(decrypted).toEqual([Buffer.from(sealed).toString('hex')]);
  });

  it('11: shows its secret in no text that a log could take', async () => {
    const secret = randomBytes(32).toString('hex');
    const { inspect } = await import('node:util');
    for (const keyType of ['ed25519', 'sr25519'] as const) {
      const identity = await Identity.fromSecret(secret, keyType);
      const texts = [inspect(identity, { depth: 9, showHidden: true }), JSON.stringify({ identity }), `${identity}`];
      for (const text of texts) expect(text).not.toContain(secret);
    }
  });

  it('12: takes its nonces from all 2^96', () => {
    const cipher = new PayloadCipher(user.identity);
    const nonces = Array.from({ length: 4000 }, () =>
      Buffer.from(cipher.encrypt(Buffer.alloc(1), node.identity.encryptionKey).subarray(0, 12)),
    );
    expect(new Set(nonces.map((nonce) => nonce.toString('hex'))).size).toBe(nonces.length);
    for (let at = 0; at < 12; at += 1) {
      const values = new Set(nonces.map((nonce) => nonce[at]));
      // 4000 draws of 256 values leave out hardly one; a byte of ten values would leave out 246.
      expect(values.size).toBeGreaterThan(250);
    }
  });

  it('13: asks for encryption where the operator wants it and the twin has a key, and never takes a key away', async () => {
    await serve(world.url, { requireEncryption: true });
    const bare = await world.chain.add(8, 'ed25519', { encrypted: false });
    const [line, bareLine] = [await openLine(), await openLine(bare)];
    const plain = request(wish(), user.identity);
    line.send(bytesOf(plain));
    expect(errorOf(await line.answer(plain.uid))).toEqual([1113, expect.stringContaining('encrypt')]);
    const keyless = request(wish({ source: { twin: 8, session: SESSION } }), bare.identity);
    bareLine.send(bytesOf(keyless));
    expect((await bareLine.answer(keyless.uid))?.message.case).toBe('response');
    expect(ran).toEqual([keyless.uid]);
    // The refusal itself went out encrypted: its payload is nobody else's.
    expect(line.received.map(({ payload }) => payload.case)).toEqual(['cipher']);
    const stored = { relays: ['a.example'], encryptionKey: user.identity.encryptionKey };
    for (const mode of ['never', 'union', 'replace'] as const) {
      const update = planUpdate(stored, { relays: ['b.example'], encryptionKey: null }, mode);
      if (update !== undefined) expect(update.encryptionKey).toEqual(stored.encryptionKey);
    }
  });

  it('21: tells who proved to be the sender why nothing ran', async () => {
    await serve(world.url);
    const line = await openLine();
    const cipher = { case: 'cipher' as const, value: randomBytes(40) };
    const bad: [Partial<RequestWish>, number][] = [
      [{ payload: cipher }, 1112],
      [{ expiration: 0 }, 1103],
      [{ payload: { case: 'plain', value: Buffer.alloc(1500 * 1024) } }, 1004],
    ];
    for (const [change, code] of bad) {
      const envelope = request(wish(change), user.identity);
      line.send(bytesOf(envelope));
      expect(errorOf(await line.answer(envelope.uid))).toEqual([code, expect.stringMatching(/.{20}/)]);
    }
    expect(ran).toEqual([]);
  });

  it('22: survives handlers that throw, and runs no more at once than its bound', async () => {
    const limits = { concurrencyPerTwin: 4, ratePerSecond: 1000, rateBurst: 1000 };
    await serve(world.url, { limits });
    const line = await openLine();
    const thrown = request(wish({ command: 'zos.throws' }), user.identity);
    line.send(bytesOf(thrown));
    expect(errorOf(await line.answer(thrown.uid))).toEqual([0, expect.stringContaining('handler panicked')]);
    const many = Array.from({ length: 30 }, () => request(wish({ command: 'zos.sleeps' }), user.identity));
    for (const envelope of many) line.send(bytesOf(envelope));
    const answers = await Promise.all(many.map(({ uid }) => line.answer(uid)));
    const kinds = answers.map((answer) => answer?.message.case);
    expect(kinds.filter((kind) => kind === 'response').length).toBe(ran.length - 1);
    expect(kinds.filter((kind) => kind === 'error').length).toBeGreaterThan(0);
    const good = request(wish(), user.identity);
    line.send(bytesOf(good));
    expect((await line.answer(good.uid))?.message.case).toBe('response');
  });

  it('23: takes no routing data from a message', async () => {
    await serve(world.url);
    const line = await openLine();
    const before = JSON.stringify(await world.twins.twin(USER));
    const { $typeName: _, ...fields } = request(wish(), undefined);
    const evil = createEnvelope({ ...fields, relays: ['evil.example'], federation: 'evil.example' });
    evil.signature = user.identity.sign(challenge(evil));
    line.send(encodeEnvelope(evil));
    expect((await line.answer(evil.uid))?.message.case).toBe('response');
    expect(JSON.stringify(await world.twins.twin(USER))).toBe(before);
    const { federation, relays } = line.received[0] as Envelope;
    expect([federation, relays]).toEqual([undefined, []]);
  });

  it('24: follows the chain: a new key is known at its first use, an old record for minutes at most', async () => {
    await serve(world.url);
    const line = await openLine();
    const before = request(wish(), user.identity);
    line.send(bytesOf(before));
    await line.answer(before.uid);
    const renewed = await world.chain.add(USER, 'sr25519');
    const after = request(wish(), renewed.identity);
    line.send(bytesOf(after));
    expect((await line.answer(after.uid))?.message.case).toBe('response');
    const stolen = request(wish(), user.identity);
    line.send(bytesOf(stolen));
    const again = request(wish(), renewed.identity);
    line.send(bytesOf(again));
    await line.answer(again.uid);
    expect(ran).toEqual([before.uid, after.uid, again.uid]);

    const cache = new TwinCache(world.chain, { lifetimeMs: 50 });
    await cache.twin(USER);
    world.chain.records.delete(USER);
    await expect.poll(() => cache.twin(USER), { timeout: 20_000 }).toBeUndefined();
    const kept = new TwinCache(world.chain);
    await kept.twin(NODE);
    world.chain.records.delete(NODE);
    kept.forget(NODE);
    expect(await kept.twin(NODE)).toBeUndefined();
  });

  it('26: compares relays as sets, changes nothing unasked, and takes no relay of another program away', () => {
    const encryptionKey = user.identity.encryptionKey;
    const stored = { relays: ['b.example', 'a.example'], encryptionKey };
    const same = { relays: ['A.example', 'b.example', 'a.example'], encryptionKey };
    expect(compareTwin(stored, same)).toEqual({ missing: [], extra: [], key: 'same' });
    for (const mode of ['union', 'replace', 'never'] as const) expect(planUpdate(stored, same, mode)).toBeUndefined();
    const other = { relays: ['c.example'], encryptionKey };
    expect(planUpdate(stored, other, 'never')).toBeUndefined();
    expect(planUpdate(stored, other, 'union')?.relays).toEqual(['a.example', 'b.example', 'c.example']);
    // Two programs that add theirs in turns come to rest.
    const merged = { ...stored, relays: planUpdate(stored, other, 'union')?.relays ?? [] };
    expect([planUpdate(merged, other, 'union'), planUpdate(merged, stored, 'union')]).toEqual([undefined, undefined]);
  });
});

describe('our tokens', () => {
  it('10: live a minute, and each connection has its own', async () => {
    const client = world.client(user, { relays: [hostile.url] });
    await client.connect();
    hostile.drop();
    await expect.poll(() => hostile.tokens.length, { timeout: 20_000 }).toBeGreaterThan(1);
    const verifier = new SignatureVerifier({ threads: 1 });
    for (const text of hostile.tokens) {
      const { claims, signed, signature } = parseToken(text);
      expect(claims.exp - claims.iat).toBe(60);
      expect(await verifier.verify(user.identity.publicKey, signed, signature)).toBeUndefined();
    }
    await verifier.close();
    expect(createToken(user.identity, USER, undefined, 1000)).not.toBe(
      createToken(user.identity, USER, undefined, 1001),
    );
  });
});
