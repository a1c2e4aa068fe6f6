import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import {
  address,
  decodeEnvelope,
  type Envelope,
  encodeEnvelope,
  MAX_FRAME_BYTES,
  nowSeconds,
} from '../rmb/envelope.ts';
import { admitToken } from './handshake.ts';
import { streamKey } from './queue.ts';
import { QueueBudget } from './queue-budget.ts';
import { errorReply, hasFailFast, pongReply } from './replies.ts';
import { connectPeer, Peer, signedRequest } from './testing/peer.ts';
import { type TestTwin, World } from './testing/world.ts';

const vectors = JSON.parse(readFileSync(new URL('../../test/vectors/rmb.json', import.meta.url), 'utf8'));
const fromHex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

let world: World;
const open: WebSocket[] = [];
beforeEach(async () => {
  world = await World.start();
});
afterEach(async () => {
  for (const socket of open.splice(0)) socket.terminate();
  await world.stop();
});

async function connect(twin: TestTwin, session?: string): Promise<Peer> {
  const peer = await connectPeer(world.url, twin, session);
  open.push(peer.socket);
  return peer;
}

/** A visitor with whatever it shows. */
function visit(query: string): Peer {
  const peer = new Peer(`${world.url}/${query}`);
  open.push(peer.socket);
  return peer;
}

/** A token as a client would sign it, from the texts of header and claims. */
function token(twin: TestTwin, header: unknown, claims: unknown): string {
  const signed = `${part(header)}.${part(claims)}`;
  return `${signed}.${Buffer.from(twin.identity.sign(Buffer.from(signed))).toString('base64url')}`;
}

describe('connecting', () => {
  it('answers each bad token as the network does', async () => {
    const twin = await world.chain.add(7, 'ed25519');
    const other = await world.chain.add(8, 'ed25519');
    const now = nowSeconds();
    const rs = { alg: 'RS512' };
    const table: [query: string, answer: string][] = [
      ['', '400 missing jwt'],
      ['?', '400 missing jwt'],
      ['?x', '401 invalid jwt: jwt: No header, claims or signature component found in token string'],
      [`?${token(twin, rs, { sub: 7, iat: now - 90, exp: now - 30 })}`, '401 invalid jwt: jwt has expired'],
      [`?${token(other, rs, { sub: 7, iat: now, exp: now + 60 })}`, '401 invalid jwt: jwt: Invalid signature'],
      [`?${token(twin, rs, { sub: 99, iat: now, exp: now + 60 })}`, '401 twin not found 99'],
      [`?${token(twin, rs, { sub: 7, iat: now, exp: now + 9000 })}`, '401 invalid jwt: jwt lives longer than 3600 s'],
      [`?${token(twin, rs, { sub: '7', iat: now, exp: now + 60 })}`, '401 invalid jwt: jwt: claim sub: '],
      [
        `?${token(twin, { alg: 'RS256' }, { sub: 7, iat: now, exp: now + 60 })}`,
        '401 invalid jwt: jwt: Expected algorithm type Rs256 but found Rs512',
      ],
    ];
    for (const [query, answer] of table) {
      const peer = visit(query);
      await peer.until(() => peer.refusal !== '');
      expect(peer.refusal.startsWith(answer), `${query} gave ${peer.refusal}`).toBe(true);
    }
    world.chain.down = true;
    await world.chain.add(9, 'ed25519');
    const peer = visit(`?${token(twin, rs, { sub: 9, iat: now, exp: now + 60 })}`);
    await peer.until(() => peer.refusal !== '');
    expect(peer.refusal).toMatch(/^500 failed to get twin: /);
  });

  it('takes the tokens of all three clients', async () => {
    for (const keyType of ['ed25519', 'sr25519'] as const) {
      const twin = await world.chain.add(keyType === 'ed25519' ? 7 : 8, keyType);
      const now = nowSeconds();
      const [sub, iat, exp] = [twin.id, now + 1, now + 300];
      for (const text of [
        token(twin, { alg: 'RS512' }, { sub, sid: null, iat, exp }),
        token(twin, { alg: 'RS512', typ: 'JWT' }, { exp, iat, sub }),
        token(twin, { alg: 'RS512', typ: 'JWT' }, { sub, iat, exp: now + 1000, sid: 'text:with:colons' }),
        token(twin, { alg: 'RS512', typ: 'JWT' }, { sub, iat, exp, sid: '' }),
      ]) {
        const peer = visit(`any/path?${text}`);
        await peer.until(() => peer.socket.readyState === WebSocket.OPEN);
        expect(peer.socket.extensions).toBe('');
      }
    }
  });

  it('reads the tokens of the vectors at their time', async () => {
    const tools = { twins: world.twins, verifier: world.verifier, log: pino({ level: 'silent' }) };
    for (const { token: text, claims_json, account_public_hex } of vectors.jwt) {
      const { sub, sid, exp } = JSON.parse(claims_json);
      world.chain.records.set(sub, { id: sub, account: fromHex(account_public_hex), relay: [], encryptionKey: null });
      world.twins.forget(sub);
      expect(await admitToken(text, tools, exp)).toEqual({ twin: sub, session: sid });
      expect(await admitToken(text, tools, exp + 1)).toMatchObject({ body: 'invalid jwt: jwt has expired' });
    }
  });

  it('answers other HTTP', async () => {
    const base = `http://127.0.0.1:${world.port}`;
    const metrics = await (await fetch(`${base}/metrics`)).text();
    for (const name of ['relay_worker_connections', 'relay_message_rx', 'relay_message_tx_bytes']) {
      expect(metrics).toContain(`# TYPE ${name} `);
    }
    for (const [method, path] of [
      ['GET', '/'],
      ['GET', '/health'],
      ['POST', '/'],
    ] as const) {
      const response = await fetch(base + path, { method });
      expect([response.status, await response.text()]).toEqual([404, 'page not found']);
    }
  });
});

describe('routing', () => {
  it('keeps bytes, also fields nobody knows', async () => {
    const [a, b] = [await world.chain.add(7, 'ed25519'), await world.chain.add(8, 'ed25519')];
    const [from, to] = [await connect(a), await connect(b)];
    const bytes = Buffer.concat([encodeEnvelope(signedRequest(a, undefined, 8)), Buffer.from('a0060f', 'hex')]);
    from.socket.send(bytes);
    await to.until(() => to.frames.length === 1);
    expect(to.frames[0]?.equals(bytes)).toBe(true);
  });

  it('delivers to exactly the session that is meant', async () => {
    const [a, b] = [await world.chain.add(7, 'ed25519'), await world.chain.add(8, 'ed25519')];
    const from = await connect(a);
    const sessions = new Map<string | undefined, Peer>();
    for (const name of [undefined, '', 'a', 'a:b']) sessions.set(name, await connect(b, name));
    for (const name of sessions.keys()) {
      from.socket.send(
        encodeEnvelope(signedRequest(a, undefined, 8, { uid: `to ${name}`, destination: address(8, name) })),
      );
    }
    for (const [name, peer] of sessions) {
      await peer.until(() => peer.frames.length > 0);
      expect(peer.envelopes.map(({ uid }) => uid)).toEqual([`to ${name}`]);
    }
  });

  it('refuses wrong senders and missing destinations, and tells only those who asked', async () => {
    const a = await world.chain.add(7, 'ed25519');
    const peer = await connect(a, 's');
    const wrong: [change: Partial<Envelope>, text: string][] = [
      [{ source: address(8, 's') }, 'message wrong source'],
      [{ source: address(7) }, 'message wrong source'],
      [{ source: address(7, '') }, 'message wrong source'],
      [{ destination: address(0) }, 'message with missing destination'],
      [{ destination: address(99) }, 'unknown twin destination'],
    ];
    for (const [index, [change, text]] of wrong.entries()) {
      const envelope = signedRequest(a, 's', 8, change);
      peer.socket.send(encodeEnvelope(envelope));
      await peer.until(() => peer.frames.length === index + 1);
      const answer = peer.envelopes[index];
      expect(answer).toMatchObject({
        uid: envelope.uid,
        expiration: 300n,
        message: { case: 'error', value: { code: 0, message: text } },
        payload: { case: undefined },
      });
      expect([answer?.source, answer?.signature, answer?.schema, answer?.tags]).toEqual(Array(4).fill(undefined));
      expect(answer?.destination).toEqual(address(7, 's'));
      for (const message of [
        { case: 'response', value: { $typeName: 'Response' } },
        { case: 'error', value: { $typeName: 'Error', code: 0, message: '' } },
      ] as const) {
        peer.socket.send(encodeEnvelope(signedRequest(a, 's', 8, { ...change, message })));
      }
    }
    await sleep(100);
    expect(peer.frames.length).toBe(wrong.length);
  });

  it('fails fast where asked and the destination is away', async () => {
    const a = await world.chain.add(7, 'ed25519');
    await world.chain.add(8, 'ed25519');
    const peer = await connect(a);
    peer.socket.send(encodeEnvelope(signedRequest(a, undefined, 8, { tags: 'x, fail-fast' })));
    await peer.until(() => peer.frames.length === 1);
    expect(peer.envelopes[0]?.message.value).toMatchObject({ message: 'destination offline' });
    for (const { tags, match } of vectors.fail_fast_tags) expect(hasFailFast(tags), tags).toBe(match);
  });

  it('turns a ping into a pong', async () => {
    const a = await world.chain.add(7, 'ed25519');
    const peer = await connect(a, 'test_client');
    const [ping, pong] = ['ts-ping', 'relay-pong-for-ts-ping'].map((wanted) =>
      fromHex(vectors.envelopes.find(({ name }: { name: string }) => name === wanted).envelope_hex),
    ) as [Uint8Array, Uint8Array];
    peer.socket.send(ping);
    await peer.until(() => peer.frames.length === 1);
    expect(peer.envelopes[0]).toEqual(decodeEnvelope(pong));
    expect(decodeEnvelope(pongReply(decodeEnvelope(ping)))).toEqual(decodeEnvelope(pong));
  });

  it('writes errors as in the vectors', () => {
    const vector = vectors.envelopes.find(({ name }: { name: string }) => name === 'relay-error-websocket');
    const made = decodeEnvelope(errorReply(vector.fields.uid, address(7, 'test_client'), 'destination offline'));
    made.timestamp = BigInt(vector.fields.timestamp);
    expect(Buffer.from(encodeEnvelope(made)).toString('hex')).toBe(vector.envelope_hex);
  });

  it('names the streams as in the vectors', () => {
    for (const { twin, connection, key } of vectors.session_stream_keys) {
      expect(streamKey(address(twin, connection))).toBe(key);
    }
  });
});

describe('queue', () => {
  it('keeps messages for an absent session, in order, and drops expired ones', async () => {
    const [a, b] = [await world.chain.add(7, 'ed25519'), await world.chain.add(8, 'ed25519')];
    const from = await connect(a);
    for (let index = 0; index < 250; index += 1) {
      const dying = index % 50 === 7;
      from.socket.send(
        encodeEnvelope(signedRequest(a, undefined, 8, { uid: `${index}`, expiration: dying ? 1n : 60n })),
      );
    }
    // Whoever is there gets what comes, expired or not: all has to lie in the queue by then.
    const taken = async (): Promise<number> => {
      const metrics = await (await fetch(`http://127.0.0.1:${world.port}/metrics`)).text();
      const counts = metrics.matchAll(/^relay_message_(?:queued_total|refused_total\{.*\}) (\d+)$/gm);
      return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
    };
    await expect.poll(taken).toBe(250);
    await sleep(2100);
    const to = await connect(b);
    from.socket.send(encodeEnvelope(signedRequest(a, undefined, 8, { uid: 'last' })));
    await to.until(() => to.frames.length >= 246);
    const expected = Array.from({ length: 250 }, (_, index) => index).filter((index) => index % 50 !== 7);
    expect(to.envelopes.map(({ uid }) => uid)).toEqual([...expected.map(String), 'last']);
    // What the pongs have proven is not delivered again; the ping behind the last message proves all.
    const { promise: proven, resolve: prove } = Promise.withResolvers<void>();
    to.socket.on('ping', () => to.uids.includes('very last') && prove());
    from.socket.send(encodeEnvelope(signedRequest(a, undefined, 8, { uid: 'very last' })));
    await proven;
    to.socket.close();
    await to.until(() => to.closed !== undefined);
    const again = await connect(b);
    from.socket.send(encodeEnvelope(signedRequest(a, undefined, 8, { uid: 'new' })));
    await again.until(() => again.frames.length > 0);
    expect(again.uids).toEqual(['new']);
  });

  it('holds back what a slow session does not read, and keeps its order', { timeout: 60_000 }, async () => {
    const [a, b] = [await world.chain.add(7, 'ed25519'), await world.chain.add(8, 'ed25519')];
    const [from, to] = [await connect(a), await connect(b)];
    to.socket.pause();
    const payload = { case: 'plain', value: Buffer.alloc(200_000) } as const;
    for (let index = 0; index < 70; index += 1) {
      from.socket.send(encodeEnvelope(signedRequest(a, undefined, 8, { uid: `${index}`, payload })));
    }
    const queued = async (): Promise<number> => {
      const metrics = await (await fetch(`http://127.0.0.1:${world.port}/metrics`)).text();
      return Number(/relay_message_queued_total (\d+)/.exec(metrics)?.[1]);
    };
    await expect.poll(queued).toBeGreaterThan(10);
    to.socket.resume();
    await to.until(() => to.frames.length === 70, 20_000);
    expect(to.envelopes.map(({ uid }) => uid)).toEqual(Array.from({ length: 70 }, (_, index) => `${index}`));
  });

  it('does not give the default session what waits for another', async () => {
    const [a, b] = [await world.chain.add(7, 'ed25519'), await world.chain.add(8, 'ed25519')];
    const from = await connect(a);
    from.socket.send(encodeEnvelope(signedRequest(a, undefined, 8, { destination: address(8, 'a') })));
    await sleep(50);
    const plain = await connect(b);
    const named = await connect(b, 'a');
    await named.until(() => named.frames.length === 1);
    expect(plain.frames.length).toBe(0);
  });

  it('has bounds', async () => {
    await world.relay.close();
    world.relay = world.newRelay({
      queueLimits: { twinBytes: 3000, twinMessages: 50, twinSessions: 2, totalBytes: 10_000 },
    });
    world.port = await world.relay.listen('127.0.0.1', 0);
    const a = await world.chain.add(7, 'ed25519');
    await world.chain.add(8, 'ed25519');
    const from = await connect(a);
    const texts = (): (string | undefined)[] =>
      from.envelopes.map(({ message }) => (message.case === 'error' ? message.value.message : undefined));
    const payload = { case: 'plain', value: Buffer.alloc(1000) } as const;
    for (let index = 0; index < 3; index += 1)
      from.socket.send(encodeEnvelope(signedRequest(a, undefined, 8, { payload })));
    await from.until(() => from.frames.length === 1);
    expect(texts()).toEqual(['the queue of the destination is full']);
    for (const name of ['a', 'b']) {
      from.socket.send(encodeEnvelope(signedRequest(a, undefined, 8, { destination: address(8, name) })));
    }
    await from.until(() => from.frames.length >= 2);
    expect(texts()[1]).toBe('the queue of the destination is full');
  });

  it('counts what it holds', () => {
    // Each message weighs 64 bytes more than it has.
    const limits = { twinBytes: 1000, twinMessages: 3, twinSessions: 2, totalBytes: 1500 };
    const budget = new QueueBudget(limits, 1000);
    expect(budget.take(1, 'a', 536, 0)).toBe(true);
    expect(budget.take(1, 'a', 536, 0)).toBe(false);
    expect(budget.take(1, 'b', 236, 500)).toBe(true);
    expect(budget.take(1, 'c', 1, 0)).toBe(false);
    expect(budget.take(2, 'd', 736, 0)).toBe(false);
    budget.release(1, 'a', 536);
    expect(budget.take(2, 'd', 736, 0)).toBe(true);
    budget.sweep(1200);
    expect(budget.totalBytes).toBe(300);
    expect([1, 2, 3].map(() => budget.take(1, 'b', 0, 1200))).toEqual([true, true, false]);
    for (let number = 0; number < 3; number += 1) budget.release(1, 'b', 999);
    expect(budget.totalBytes).toBe(0);
    budget.adopt(3, 'e', { bytes: 1500, messages: 1, expiresAt: 5000 });
    expect(budget.take(1, 'b', 0, 1200)).toBe(false);
    budget.reset();
    expect(budget.take(1, 'b', 0, 1200)).toBe(true);
  });

  it('says so when Redis is away', async () => {
    const a = await world.chain.add(7, 'ed25519');
    await world.chain.add(8, 'ed25519');
    const from = await connect(a);
    await world.redis.stop();
    from.socket.send(encodeEnvelope(signedRequest(a, undefined, 8)));
    await from.until(() => from.frames.length === 1);
    expect(from.envelopes[0]?.message.value).toMatchObject({ message: 'failed to queue the message' });
    // Sessions that are there go on.
    const late = await connect(a, 'late');
    from.socket.send(encodeEnvelope(signedRequest(a, undefined, 7, { destination: address(7, 'late') })));
    await late.until(() => late.frames.length === 1);
  });
});

describe('sessions', () => {
  it('gives a session to its newest connection and leaves that one alone', async () => {
    const [a, b] = [await world.chain.add(7, 'ed25519'), await world.chain.add(8, 'ed25519')];
    const first = await connect(b);
    const second = await connect(b);
    await first.until(() => first.closed !== undefined);
    await sleep(100);
    expect(second.socket.readyState).toBe(WebSocket.OPEN);
    const from = await connect(a);
    from.socket.send(encodeEnvelope(signedRequest(a, undefined, 8)));
    await second.until(() => second.frames.length === 1);
  });

  it('ends for text frames and for what is no envelope', async () => {
    const a = await world.chain.add(7, 'ed25519');
    for (const frame of ['text', Buffer.from('ffff', 'hex'), Buffer.from('0a02c328', 'hex'), Buffer.alloc(100, 255)]) {
      const peer = await connect(a, 'x');
      peer.socket.send(frame);
      await peer.until(() => peer.closed !== undefined);
    }
    const peer = await connect(a, 'x');
    peer.socket.send(encodeEnvelope(signedRequest(a, 'x', 7, { destination: address(7, 'x') })));
    await peer.until(() => peer.frames.length === 1);
  });

  it('takes a frame of the largest size and not one byte more', async () => {
    const a = await world.chain.add(7, 'ed25519');
    const peer = await connect(a);
    const fill = (size: number): Uint8Array => {
      const empty = encodeEnvelope(
        signedRequest(a, undefined, 7, { uid: 'u', payload: { case: 'plain', value: Buffer.alloc(2 ** 21) } }),
      );
      const rest = size - (empty.length - 2 ** 21);
      return encodeEnvelope(
        signedRequest(a, undefined, 7, { uid: 'u', payload: { case: 'plain', value: Buffer.alloc(rest) } }),
      );
    };
    const largest = fill(MAX_FRAME_BYTES);
    expect(largest.length).toBe(MAX_FRAME_BYTES);
    peer.socket.send(largest);
    await peer.until(() => peer.frames.length === 1);
    peer.socket.send(fill(MAX_FRAME_BYTES + 1));
    await peer.until(() => peer.closed !== undefined);
    expect(peer.closed).toBe(1009);
  });
});
