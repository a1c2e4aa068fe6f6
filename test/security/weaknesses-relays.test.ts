/** Known weaknesses of RMB relays, one test each or more: what ours does instead. */
import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import type { RelayOptions } from '../../gateway/relay/relay.ts';
import { type TestTwin, World } from '../../gateway/relay/testing/world.ts';
import { challenge, createToken, type Envelope, encodeEnvelope } from '../../gateway/rmb/index.ts';
import { bytesOf, nowSeconds, RawLine, type RequestWish, request } from '../system/raw-line.ts';

const USER = 7;
const NODE = 17;
const SESSION = 'raw';
const MIB = 1024 * 1024;
const WAIT = { timeout: 20_000 };

let world: World;
let user: TestTwin;
let node: TestTwin;
let redis: Redis;
const lines: RawLine[] = [];
const sockets: WebSocket[] = [];

beforeEach(async () => {
  world = await World.start({ federation: {} });
  user = await world.chain.add(USER, 'ed25519');
  node = await world.chain.add(NODE, 'ed25519');
  redis = new Redis({ path: world.redis.socket });
});

afterEach(async () => {
  for (const line of lines.splice(0)) line.close();
  for (const socket of sockets.splice(0)) socket.terminate();
  redis.disconnect();
  await world.stop();
});

async function restart(options: Partial<RelayOptions>): Promise<void> {
  await world.relay.close();
  world.relay = world.newRelay(options);
  world.port = await world.relay.listen('127.0.0.1', 0);
}

async function openLine(twin: TestTwin, session = SESSION): Promise<RawLine> {
  const line = await RawLine.open(world.url, twin.identity, twin.id, session);
  lines.push(line);
  return line;
}

const wish = (change: Partial<RequestWish> = {}): RequestWish => ({
  source: { twin: USER, session: SESSION },
  destination: { twin: NODE, session: SESSION },
  command: 'zos.x',
  ...change,
});
const made = (change: Partial<RequestWish> = {}, signer: TestTwin | undefined = user): Envelope =>
  request(wish(change), signer?.identity);

async function post(body: Uint8Array): Promise<[status: number, text: string]> {
  const answer = await fetch(`http://127.0.0.1:${world.port}/`, { method: 'POST', body: Buffer.from(body) });
  return [answer.status, await answer.text()];
}

/** A visitor with a token of any content, signed by `twin`. */
async function visit(twin: TestTwin, claims: object): Promise<string> {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'RS512', typ: 'JWT' })}.${part(claims)}`;
  const signature = Buffer.from(twin.identity.sign(Buffer.from(signed))).toString('base64url');
  return await knock(`${signed}.${signature}`);
}

/** `open`, or `STATUS BODY`. */
async function knock(token: string): Promise<string> {
  const socket = new WebSocket(`${world.url}/?${token}`);
  sockets.push(socket);
  return await new Promise((resolve) => {
    socket.on('open', () => resolve('open'));
    socket.on('error', () => undefined);
    socket.on('unexpected-response', (_request, response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => {
        body += chunk.toString();
      });
      response.on('end', () => resolve(`${response.statusCode} ${body}`));
    });
  });
}

describe('a relay of ours', () => {
  it('3: takes from strangers only what is signed, alive and for a twin of its own, and not twice', async () => {
    const line = await openLine(node);
    await world.chain.add(99, 'ed25519', { relay: ['elsewhere.example'] });
    const stranger = await world.chain.add(9, 'ed25519');
    const ping = { ...made(), message: { case: 'ping', value: { $typeName: 'Ping' } } } as Envelope;
    const bad: [what: string, body: Uint8Array, status: number][] = [
      ['nothing', new Uint8Array(0), 400],
      ['noise', Buffer.from('GET / HTTP/1.1'), 400],
      ['unsigned', bytesOf(request(wish(), undefined)), 400],
      ['empty signature', bytesOf({ ...made(), signature: new Uint8Array(0) }), 400],
      ['signed by another', bytesOf(made({}, stranger)), 401],
      ['of an unknown twin', bytesOf(made({ source: { twin: 4000, session: SESSION } })), 401],
      ['expired', bytesOf(made({ timestamp: nowSeconds() - 100, expiration: 60 })), 400],
      ['for an unknown twin', bytesOf(made({ destination: { twin: 4000 } })), 404],
      ['for a twin of another relay', bytesOf(made({ destination: { twin: 99 } })), 404],
      ['for who is away, to fail fast', bytesOf(made({ destination: { twin: NODE }, tags: 'fail-fast' })), 404],
      ['a ping', encodeEnvelope(ping), 400],
    ];
    for (const [what, body, status] of bad) expect([what, (await post(body))[0]]).toEqual([what, status]);
    expect((await post(Buffer.alloc(17 * MIB)))[0]).toBe(413);
    expect(line.received).toEqual([]);
    expect(await redis.keys('stream:*')).toEqual([]);

    const good = made();
    const bytes = bytesOf(good);
    expect(await post(bytes)).toEqual([202, '']);
    // The same message under other bytes: an unknown field, fields in another order.
    expect(await post(bytes)).toEqual([202, '']);
    expect(await post(Buffer.concat([bytes, Buffer.from('a00601', 'hex')]))).toEqual([202, '']);
    expect((await line.answer(good.uid))?.uid).toBe(good.uid);
    const last = made();
    await post(bytesOf(last));
    await line.answer(last.uid);
    expect(line.received.map(({ uid }) => uid)).toEqual([good.uid, last.uid]);
  });

  it('3: has no such door at all unless it was asked for', async () => {
    await restart({});
    expect(await post(bytesOf(made()))).toEqual([404, 'page not found']);
  });

  it('10: takes no token that lives long, comes from the future or, where the operator wants it, was used', async () => {
    const now = nowSeconds();
    expect(await visit(user, { sub: USER, iat: now, exp: now + 1000, sid: 'ts' })).toBe('open');
    expect(await visit(user, { sub: USER, iat: now, exp: now + 3700 })).toMatch(/^401 .*longer than 3600 s/);
    expect(await visit(user, { sub: USER, iat: now, exp: now + 10 ** 9 })).toMatch(/^401 /);
    expect(await visit(user, { sub: USER, iat: now + 600, exp: now + 900 })).toMatch(/^401 .*issued in the future/);
    expect(await visit(user, { sub: NODE, iat: now, exp: now + 60 })).toBe('401 invalid jwt: jwt: Invalid signature');
    await restart({ singleUseTokens: true });
    const claims = { sub: USER, iat: now, exp: now + 60, sid: 'once' };
    expect(await visit(user, claims)).toBe('open');
    expect(await visit(user, claims)).toBe('401 invalid jwt: jwt was used already');
  });

  it('14: drops mail that died while it waited', async () => {
    const sender = await openLine(user);
    const stream = `stream:${NODE}:${SESSION}`;
    // It was sent with a minute to live, 100 s ago.
    const dies = made({ timestamp: nowSeconds() - 100, expiration: 60 });
    await redis.xadd(stream, '*', '_', Buffer.from(bytesOf(dies)));
    const lives = made();
    sender.send(bytesOf(lives));
    await expect.poll(() => redis.xlen(stream), WAIT).toBe(2);
    const line = await openLine(node);
    await line.answer(lives.uid);
    expect(line.received.map(({ uid }) => uid)).toEqual([lives.uid]);
  });

  it('14: keeps no more for a twin than its share, whatever sessions are invented', async () => {
    await restart({
      queueLimits: { twinBytes: 100_000, twinMessages: 20, twinSessions: 5, totalBytes: MIB },
    });
    const sender = await openLine(user);
    for (let number = 0; number < 40; number += 1) {
      const asked = made({ destination: { twin: NODE, session: `invented-${number}` } });
      sender.send(bytesOf(asked));
    }
    const big = { case: 'plain' as const, value: Buffer.alloc(60_000) };
    const large = Array.from({ length: 5 }, () =>
      made({ destination: { twin: NODE, session: 'invented-0' }, payload: big }),
    );
    for (const envelope of large) sender.send(bytesOf(envelope));
    const full = (): number =>
      sender.received.filter(
        ({ message }) => message.case === 'error' && message.value.message === 'the queue of the destination is full',
      ).length;
    await expect.poll(full, WAIT).toBe(35 + 4);
    expect((await redis.keys('stream:*')).length).toBe(5);
  });

  it('14: pings, and ends a line from which nothing comes', async () => {
    await restart({
      timing: { pingMs: 100, silenceMs: 2000, proofPingMs: 100, proofMs: 2000, backPressureMs: 10_000 },
    });
    const line = await openLine(user, 'alive');
    const mute = new WebSocket(`${world.url}/?${createToken(user.identity, USER, 'mute', nowSeconds())}`, {
      autoPong: false,
    });
    sockets.push(mute);
    let [pings, closed] = [0, false];
    mute.on('ping', () => {
      pings += 1;
    });
    mute.on('close', () => {
      closed = true;
    });
    await expect.poll(() => closed, WAIT).toBe(true);
    expect(pings).toBeGreaterThan(0);
    expect(line.closed).toBeUndefined();
  });

  it('15: keeps no message for other relays once it is done', async () => {
    await restart({ federation: { routes: new Map([['dead.example', new URL('http://127.0.0.1:9')]]) } });
    await world.chain.add(99, 'ed25519', { relay: ['dead.example'] });
    const sender = await openLine(user);
    const dying = Array.from({ length: 5 }, () => made({ destination: { twin: 99 }, expiration: 2 }));
    for (const envelope of dying) sender.send(bytesOf(envelope));
    for (const { uid } of dying) {
      const { message } = (await sender.answer(uid)) as Envelope;
      expect(message.case === 'error' ? message.value.message : '').toBe('message has expired');
    }
    await expect.poll(() => redis.xlen('relay.federation.stream'), WAIT).toBe(0);
  });

  it('16: keeps the newest connection of a session, and forgets one that sent rubbish', async () => {
    const [older, newer] = [await openLine(node), await openLine(node)];
    await expect.poll(() => older.closed, WAIT).toBe(4001);
    const sender = await openLine(user);
    const first = made();
    sender.send(bytesOf(first));
    expect((await newer.answer(first.uid))?.uid).toBe(first.uid);
    expect(newer.closed).toBeUndefined();

    newer.send(Buffer.from('rubbish'));
    await expect.poll(() => newer.closed, WAIT).toBe(1007);
    const second = made({ tags: 'fail-fast' });
    sender.send(bytesOf(second));
    const { message } = (await sender.answer(second.uid)) as Envelope;
    expect(message.case === 'error' ? message.value.message : '').toBe('destination offline');
  });

  it('17: may bring a message twice, and the peer behind it runs it once', async () => {
    const ran: string[] = [];
    const peer = world.client(node, { session: SESSION });
    const door = world.serve(peer, node);
    peer.serve(
      door.handler(async ({ uid }) => {
        ran.push(uid);
        return { kind: 'response', payload: '1' };
      }),
    );
    await peer.connect();
    const asked = bytesOf(made({ expiration: 600 }));
    const sender = await openLine(user);
    sender.send(asked);
    await post(asked);
    await expect.poll(() => ran.length, WAIT).toBe(1);
    // As after an acknowledgement that was lost: it lies in the queue again.
    await peer.close();
    await redis.xadd(`stream:${NODE}:${SESSION}`, '*', '_', Buffer.from(asked));
    const next = world.client(node, { session: SESSION });
    next.serve(
      door.handler(async ({ uid }) => {
        ran.push(uid);
        return { kind: 'response', payload: '2' };
      }),
    );
    await next.connect();
    const last = made();
    sender.send(bytesOf(last));
    await expect.poll(() => ran.at(-1), WAIT).toBe(last.uid);
    expect(ran.length).toBe(2);
  });

  it('23: takes no relay of a twin from a message', async () => {
    const sender = await openLine(user);
    const line = await openLine(node);
    for (const via of ['socket', 'post'] as const) {
      const evil = request(wish(), undefined);
      evil.relays = ['evil.example'];
      evil.federation = 'evil.example';
      evil.signature = user.identity.sign(challenge(evil));
      if (via === 'socket') sender.send(bytesOf(evil));
      else expect((await post(bytesOf(evil)))[0]).toBe(202);
      await line.answer(evil.uid);
      // The answer finds its way by the chain.
      const answer = request(
        { ...wish(), source: { twin: NODE, session: SESSION }, destination: { twin: USER, session: SESSION } },
        node.identity,
      );
      line.send(bytesOf(answer));
      expect((await sender.answer(answer.uid))?.uid).toBe(answer.uid);
    }
    expect((await world.twins.twin(USER))?.relay).toEqual(['relay.example']);
    expect((await redis.keys('*')).filter((key) => key.startsWith('twin'))).toEqual([]);
  });

  it('25: names neither hosts nor causes when it or the chain fails', async () => {
    await restart({ federation: { routes: new Map([['dead.example', new URL('http://127.0.0.1:9')]]) } });
    await world.chain.add(98, 'ed25519', { relay: ['127.0.0.1', 'dead.example'] });
    const sender = await openLine(user);
    const secret = 'ws://10.1.2.3:9944 refused the password';
    world.chain.twin = () => Promise.reject(new Error(secret));
    const told: string[] = [];
    for (const destination of [{ twin: 98 }, { twin: 4000 }]) {
      const asked = made({ destination, expiration: 2 });
      sender.send(bytesOf(asked));
      const { message } = (await sender.answer(asked.uid)) as Envelope;
      if (message.case === 'error') told.push(message.value.message);
    }
    told.push(
      (await post(bytesOf(made({ destination: { twin: 4001 }, source: { twin: 4002, session: SESSION } }))))[1],
    );
    told.push(
      await visit(
        { id: 4003, identity: user.identity },
        { sub: 4003, iat: nowSeconds(), exp: nowSeconds() + 60, sid: randomUUID() },
      ),
    );
    expect(told.length).toBe(4);
    for (const text of told) {
      expect(text).toMatch(/failed to get twin/);
      expect(text).not.toMatch(/10\.1\.2\.3|password|example|ECONN|127\.0/);
    }
  });
});
