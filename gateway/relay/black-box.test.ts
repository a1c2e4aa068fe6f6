/** What a relay answers to what, one case a line: only sockets and HTTP, nothing of its inside. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { address, type Envelope, encodeEnvelope, MAX_FRAME_BYTES, nowSeconds } from '../rmb/envelope.ts';
import { DEFAULT_SESSION_TIMING } from './session.ts';
import { MockRelay } from './testing/mock-relay.ts';
import { connectPeer, Peer, signedRequest } from './testing/peer.ts';
import { type TestTwin, World } from './testing/world.ts';

const vectors = JSON.parse(readFileSync(new URL('../../test/vectors/rmb.json', import.meta.url), 'utf8'));
const SILENCE_MS = 150;

let world: World;
let strict: World;
let other: MockRelay;
/** Twin 7 ed25519, 8 sr25519, 9 never connects, 10 no relay, 20 at another relay. */
let ed: TestTwin;
let sr: TestTwin;
let away: TestTwin;
const peers: Peer[] = [];
let names = 0;

beforeAll(async () => {
  other = await MockRelay.start();
  const routes = new Map([
    ['other.example', other.url],
    ['down.example', new URL('http://127.0.0.1:1/')],
  ]);
  world = await World.start({
    federation: { routes, timing: { retryMs: 100, roundPauseMs: 5 } },
    timing: { ...DEFAULT_SESSION_TIMING, proofPingMs: 50 },
  });
  strict = await World.start({ twins: world.twins, twinLimits: { count: 10, bytes: 4000 }, singleUseTokens: true });
  ed = await world.chain.add(7, 'ed25519');
  sr = await world.chain.add(8, 'sr25519');
  away = await world.chain.add(9, 'ed25519');
  await world.chain.add(10, 'ed25519', { relay: [] });
  await world.chain.add(20, 'ed25519', { relay: ['other.example'] });
  await world.chain.add(21, 'ed25519', { relay: ['down.example', 'other.example'] });
  await world.chain.add(22, 'ed25519', { relay: ['down.example'] });
});
afterAll(async () => {
  for (const peer of peers) peer.socket.terminate();
  await strict.stop();
  await world.stop();
  await other.stop();
});

/** A session name that no other case has. */
const fresh = (): string => `s${++names}`;
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token as a client signs it, from the texts of its two parts. */
function jwt(twin: TestTwin, claims: object, header: object = { alg: 'RS512', typ: 'JWT' }): string {
  const signed = `${part(header)}.${part(claims)}`;
  return `${signed}.${Buffer.from(twin.identity.sign(Buffer.from(signed))).toString('base64url')}`;
}

const times = (from = 0, to = 60): object => ({ iat: nowSeconds() + from, exp: nowSeconds() + to });

/** `101`, or status and body. */
async function visit(query: string, at = world): Promise<string> {
  const peer = new Peer(`${at.url}/${query}`);
  peers.push(peer);
  await peer.until(() => peer.refusal !== '' || peer.socket.readyState === WebSocket.OPEN);
  return peer.refusal || '101';
}

async function connect(twin: TestTwin, session?: string, at = world): Promise<Peer> {
  const peer = await connectPeer(at.url, twin, session);
  peers.push(peer);
  return peer;
}

/** A ping to the relay: its pong comes behind all that concerned this destination before. */
function ping(session: string, destination = address(0)): Uint8Array {
  const message = { case: 'ping', value: { $typeName: 'Ping' } } as const;
  return encodeEnvelope(signedRequest(ed, session, 0, { ...from(session), message, destination }));
}

const pongs = (peer: Peer): number => peer.envelopes.filter(({ message }) => message.case === 'pong').length;

/** What the sender of a message hears: the error's text, or `silence`. */
async function hears(change: (session: string) => Partial<Envelope>, to = 8): Promise<string> {
  const session = fresh();
  const peer = await connect(ed, session);
  const message = signedRequest(ed, session, to, change(session));
  peer.socket.send(encodeEnvelope(message));
  peer.socket.send(ping(session, message.destination));
  await peer.until(() => pongs(peer) > 0);
  return peer.errors[0] ?? 'silence';
}

/** The code with which the relay ends a connection for a frame, 0 where it does not. */
async function endsFor(frame: string | Uint8Array): Promise<number> {
  const session = fresh();
  const peer = await connect(ed, session);
  peer.socket.send(frame);
  peer.socket.send(ping(session));
  await peer.until(() => peer.closed !== undefined || pongs(peer) > 0);
  return peer.closed ?? 0;
}

/** Uids that reach a session which connects after they were sent. */
async function mailFor(session: string | undefined, sent: readonly (string | undefined)[]): Promise<string[]> {
  const own = fresh();
  const sender = await connect(ed, own);
  const send = (uid: string, to: string | undefined): void => {
    const change = { uid, ...from(own), destination: address(9, to) };
    sender.socket.send(encodeEnvelope(signedRequest(ed, undefined, 9, change)));
  };
  for (const to of sent) send(`to ${to}`, to);
  const sessions = new Set(sent);
  for (const to of sessions) sender.socket.send(ping(own, address(9, to)));
  await sender.until(() => pongs(sender) === sessions.size);
  const peer = await connect(away, session);
  let isProven = false;
  // It is answered before what follows here: what came before it will not come again.
  peer.socket.on('ping', () => {
    isProven ||= peer.uids.includes('last');
  });
  send('last', session);
  await peer.until(() => isProven);
  peer.socket.close();
  await peer.until(() => peer.closed !== undefined);
  return peer.uids.slice(0, peer.uids.indexOf('last'));
}

async function posted(bytes: Uint8Array): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${world.port}/`, { method: 'POST', body: Buffer.from(bytes) });
  return `${response.status} ${await response.text()}`;
}

const response = { case: 'response', value: { $typeName: 'Response' } } as const;
const failure = { case: 'error', value: { $typeName: 'Error', code: 0, message: '' } } as const;
const from = (session: string): Partial<Envelope> => ({ source: address(7, session) });

/** Neither tokens nor the windows of limits end meanwhile. */
function stopTheClock(): void {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'], now: Date.now() }));
  afterEach(() => void vi.useRealTimers());
}

describe('connecting', () => {
  stopTheClock();
  const parse = /^401 invalid jwt: jwt: ./;
  const cases: [name: string, query: () => string, answer: string | RegExp][] = [
    ['no query', () => '', '400 missing jwt'],
    ['no token', () => '?hello', parse],
    ['two parts', () => '?e30.e30', parse],
    ['four parts', () => `?${jwt(ed, { sub: 7, ...times() })}.e30`, parse],
    ['padding', () => `?${jwt(ed, { sub: 7, ...times() })}=`, parse],
    ['twin as text', () => `?${jwt(ed, { sub: '7', ...times() })}`, parse],
    ['twin too large', () => `?${jwt(ed, { sub: 2 ** 32, ...times() })}`, parse],
    ['no twin', () => `?${jwt(ed, times())}`, parse],
    ['no end', () => `?${jwt(ed, { sub: 7, iat: nowSeconds() })}`, parse],
    ['session as number', () => `?${jwt(ed, { sub: 7, sid: 1, ...times() })}`, parse],
    ['another type', () => `?${jwt(ed, { sub: 7, ...times() }, { alg: 'RS512', typ: 'JWE' })}`, parse],
    [
      'another algorithm',
      () => `?${jwt(ed, { sub: 7, ...times() }, { alg: 'HS256' })}`,
      '401 invalid jwt: jwt: Expected algorithm type Hs256 but found Rs512',
    ],
    ['expired', () => `?${jwt(ed, { sub: 7, ...times(-90, -1) })}`, '401 invalid jwt: jwt has expired'],
    [
      'ends in an hour and more',
      () => `?${jwt(ed, { sub: 7, ...times(0, 3700) })}`,
      /^401 invalid jwt: jwt lives longer/,
    ],
    [
      'issued far ahead',
      () => `?${jwt(ed, { sub: 7, ...times(400, 500) })}`,
      /^401 invalid jwt: jwt is issued in the future/,
    ],
    ['signed by another', () => `?${jwt(away, { sub: 7, ...times() })}`, '401 invalid jwt: jwt: Invalid signature'],
    ['unknown twin', () => `?${jwt(ed, { sub: 99, ...times() })}`, '401 twin not found 99'],
    ['ends this second', () => `?${jwt(ed, { sub: 7, sid: fresh(), ...times(-60, 1) })}`, '101'],
    ['Rust style: session null', () => `?${jwt(ed, { sub: 7, sid: null, ...times(0, 300) }, { alg: 'RS512' })}`, '101'],
    ['Go style: no session', () => `?${jwt(ed, { ...times(), sub: 7 })}`, '101'],
    [
      'TypeScript style: issued a second ahead',
      () => `?${jwt(ed, { sub: 7, ...times(1, 1000), sid: fresh() })}`,
      '101',
    ],
    ['empty session', () => `?${jwt(ed, { sub: 7, sid: '', ...times() })}`, '101'],
    ['session with a colon', () => `?${jwt(ed, { sub: 7, sid: 'a:b', ...times() })}`, '101'],
    ['unknown claims', () => `?${jwt(ed, { sub: 7, sid: fresh(), aud: 'x', ...times() })}`, '101'],
    ['sr25519', () => `?${jwt(sr, { sub: 8, sid: fresh(), ...times() })}`, '101'],
    ['any path', () => `any/path?${jwt(ed, { sub: 7, sid: fresh(), ...times() })}`, '101'],
  ];
  for (const [name, query, answer] of cases) it(name, async () => expect(await visit(query())).toMatch(answer));

  it('a token a second time, where each connects once', async () => {
    const query = `?${jwt(ed, { sub: 7, sid: fresh(), ...times() })}`;
    expect([await visit(query, strict), await visit(query, strict)]).toEqual([
      '101',
      '401 invalid jwt: jwt was used already',
    ]);
  });

  it('no WebSocket', async () => {
    const get = await fetch(`http://127.0.0.1:${world.port}/`);
    expect([get.status, await get.text()]).toEqual([404, 'page not found']);
  });
});

describe('routing', () => {
  const offline = 'destination offline';
  const cases: [name: string, change: (session: string) => Partial<Envelope>, answer: string, to?: number][] = [
    ['another twin as source', (s) => ({ source: address(8, s) }), 'message wrong source'],
    ['another session as source', () => ({ source: address(7, 'x') }), 'message wrong source'],
    ['no session as source', () => ({ source: address(7) }), 'message wrong source'],
    ['empty session as source', () => ({ source: address(7, '') }), 'message wrong source'],
    ['response with wrong source', () => ({ source: address(7), message: response }), 'silence'],
    ['error with wrong source', () => ({ source: address(7), message: failure }), 'silence'],
    ['no destination', (s) => ({ ...from(s), destination: address(0) }), 'message with missing destination'],
    ['unknown twin', from, 'unknown twin destination', 99],
    [
      'session that nobody can have',
      (s) => ({ ...from(s), destination: address(9, 'x'.repeat(257)) }),
      'session of the destination has more than 256 characters',
    ],
    ['response to unknown twin', (s) => ({ ...from(s), message: response }), 'silence', 99],
    ['twin without relay', from, 'relay info is not set for this twin', 10],
    ['absent session', from, 'silence', 8],
    ['absent session and already expired', (s) => ({ ...from(s), expiration: 0n }), 'message has expired', 8],
    ...vectors.fail_fast_tags.map(({ tags, match }: { tags: string; match: boolean }): (typeof cases)[number] => [
      `tags '${tags}'`,
      (s) => ({ ...from(s), tags }),
      match ? offline : 'silence',
    ]),
    ['response with fail-fast', (s) => ({ ...from(s), tags: 'fail-fast', message: response }), 'silence'],
  ];
  for (const [name, change, answer, to] of cases) it(name, async () => expect(await hears(change, to)).toBe(answer));

  it('shape of an error', async () => {
    const peer = await connect(ed, 'shape');
    peer.socket.send(encodeEnvelope(signedRequest(ed, 'shape', 99, { uid: 'same' })));
    await peer.until(() => peer.frames.length === 1);
    const [error] = peer.envelopes;
    expect(error).toMatchObject({ uid: 'same', expiration: 300n, destination: address(7, 'shape') });
    expect(error?.message).toMatchObject({ case: 'error', value: { code: 0, message: 'unknown twin destination' } });
    const { source, signature, schema, tags, payload } = error ?? {};
    expect([source, signature, schema, tags, payload?.case]).toEqual(Array(5).fill(undefined));
    expect(Math.abs(Number(error?.timestamp) - nowSeconds())).toBeLessThan(30);
  });

  it('bytes stay as they are, unknown fields too', async () => {
    const [a, b] = [await connect(ed, 'bytes'), await connect(sr, 'bytes')];
    const message = signedRequest(ed, 'bytes', 8, { destination: address(8, 'bytes') });
    const bytes = Buffer.concat([
      Buffer.from('a0060f', 'hex'),
      encodeEnvelope(message),
      Buffer.from('aa0601ff', 'hex'),
    ]);
    a.socket.send(bytes);
    await b.until(() => b.frames.length === 1);
    expect(b.frames[0]?.equals(bytes)).toBe(true);
  });

  it('a ping comes back as a pong', async () => {
    const peer = await connect(ed, 'ping');
    const ping = {
      uid: 'p',
      message: { case: 'ping', value: { $typeName: 'Ping' } },
      destination: address(0),
    } as const;
    peer.socket.send(encodeEnvelope(signedRequest(ed, 'ping', 0, ping)));
    await peer.until(() => peer.frames.length === 1);
    const [pong] = peer.envelopes;
    expect(pong).toMatchObject({ uid: 'p', message: { case: 'pong' }, destination: address(7, 'ping') });
    expect(Buffer.from((pong?.payload.value ?? []) as Uint8Array).toString()).toBe('hello world');
  });

  it('the newer connection of a session stays', async () => {
    const first = await connect(ed, 'twice');
    const second = await connect(ed, 'twice');
    await first.until(() => first.closed !== undefined);
    await sleep(SILENCE_MS);
    expect(second.closed).toBeUndefined();
  });
});

describe('frames', () => {
  const filled = (size: number): Uint8Array => {
    const of = (bytes: number): Uint8Array => {
      const payload = { case: 'plain', value: Buffer.alloc(bytes) } as const;
      return encodeEnvelope(signedRequest(ed, 'x', 7, { uid: 'u', payload, message: response }));
    };
    return of(size - (of(2 ** 21).length - 2 ** 21));
  };
  const cases: [name: string, frame: () => string | Uint8Array, code: number][] = [
    ['text', () => 'text', 1007],
    ['text that is an envelope', () => Buffer.from(encodeEnvelope(signedRequest(ed, 'x', 7))).toString('latin1'), 1007],
    ['no protobuf', () => Buffer.from('ffff', 'hex'), 1007],
    ['a text field that is not UTF-8', () => Buffer.from('0a02c328', 'hex'), 1007],
    ['a field of another wire type', () => Buffer.from('0801', 'hex'), 1007],
    ['cut off', () => encodeEnvelope(signedRequest(ed, 'x', 7)).subarray(0, -1), 1007],
    ['empty: an envelope without anything', () => new Uint8Array(0), 0],
    ['16 MiB', () => filled(MAX_FRAME_BYTES), 0],
    ['16 MiB and a byte', () => filled(MAX_FRAME_BYTES + 1), 1009],
  ];
  for (const [name, frame, code] of cases) it(name, async () => expect(await endsFor(frame())).toBe(code));
});

describe('mail', () => {
  const many = Array<undefined>(150).fill(undefined);
  const cases: [
    name: string,
    session: string | undefined,
    sent: (string | undefined)[],
    got: (string | undefined)[],
  ][] = [
    ['for the default session', undefined, [undefined], [undefined]],
    ["for a session is not the default session's", undefined, ['a'], []],
    ['for that session stays for it', 'a', [], ['a']],
    ["for the empty session is not the default session's", undefined, [''], []],
    ["for the empty session is the empty session's", '', [], ['']],
    ['for a name with a colon', 'a:b', ['a', 'a:b'], ['a:b']],
    ['more than one reading', undefined, many, many],
  ];
  for (const [name, session, sent, got] of cases) {
    it(name, async () => expect(await mailFor(session, sent)).toEqual(got.map((one) => `to ${one}`)));
  }

  it('lives an hour after the last message', async () => {
    const { Redis } = await import('ioredis');
    const redis = new Redis({ path: world.redis.socket });
    const session = fresh();
    const stream = `stream:9:${session}`;
    await hears((s) => ({ ...from(s), destination: address(9, session) }));
    const [life, length] = [await redis.ttl(stream), await redis.xlen(stream)];
    const [[, fields] = []] = await redis.xrange(stream, '-', '+');
    redis.disconnect();
    expect([length, fields?.[0], fields?.length]).toEqual([1, '_', 2]);
    expect(life).toBeGreaterThan(3500);
    expect(life).toBeLessThanOrEqual(3600);
  });
});

describe('federation', () => {
  const envelope = (change: Partial<Envelope> = {}): Uint8Array =>
    encodeEnvelope(signedRequest(ed, undefined, 9, { destination: address(9, 'post'), ...change }));
  const incoming: [name: string, body: () => Uint8Array, answer: RegExp][] = [
    ['in: for one of ours', () => envelope(), /^202 $/],
    ['in: fail-fast and absent', () => envelope({ tags: 'fail-fast' }), /^404 destination offline$/],
    ['in: no envelope', () => Buffer.from('ffff', 'hex'), /^400 bad request: ./],
    ["in: for another relay's twin", () => envelope({ destination: address(20) }), /^404 /],
    [
      'in: signed by nobody',
      () => envelope({ signature: new Uint8Array(65) }),
      /^400 bad request: invalid signature type/,
    ],
    ['in: expired', () => envelope({ expiration: 0n }), /^400 message has expired$/],
    ['in: too large', () => new Uint8Array(MAX_FRAME_BYTES + 1), /^413 /],
  ];
  for (const [name, body, answer] of incoming) it(name, async () => expect(await posted(body())).toMatch(answer));

  const outgoing: [name: string, to: number, answers: number[], life: bigint, hears: string, posts: number][] = [
    ['out: 202', 20, [202], 60n, 'silence', 1],
    ['out: 5xx, then 202', 20, [500, 202], 60n, 'silence', 2],
    ['out: 404', 20, [404], 60n, 'remote relay rejected permanently: destination offline', 1],
    ['out: 400', 20, [400], 60n, 'remote relay rejected permanently: destination offline', 1],
    ['out: one relay down', 21, [202], 60n, 'silence', 1],
    ['out: all down until the end', 22, [202], 2n, 'message has expired', 0],
  ];
  for (const [name, to, answers, life, text, posts] of outgoing) {
    it(name, async () => {
      other.posts.length = 0;
      other.answers = [...answers];
      const session = fresh();
      const peer = await connect(ed, session);
      peer.socket.send(encodeEnvelope(signedRequest(ed, session, to, { expiration: life })));
      await peer.until(() => other.posts.length === posts && (text === 'silence' || peer.frames.length > 0));
      if (text === 'silence') await sleep(SILENCE_MS);
      expect([peer.errors[0] ?? 'silence', other.posts.length]).toEqual([text, posts]);
    });
  }
});

describe('limits of a twin', () => {
  stopTheClock();
  /** Errors after `count` messages of `bytes` in one minute, from two sessions in turns. */
  async function refused(twin: TestTwin, count: number, bytes: number): Promise<(string | undefined)[]> {
    const sessions = [fresh(), fresh()] as const;
    const senders = [await connect(twin, sessions[0], strict), await connect(twin, sessions[1], strict)] as const;
    const errors: string[] = [];
    for (let index = 0; index < count; index += 1) {
      const turn = index % 2 === 0 ? 0 : 1;
      const peer = senders[turn];
      const payload = { case: 'plain', value: Buffer.alloc(bytes) } as const;
      peer.socket.send(encodeEnvelope(signedRequest(twin, sessions[turn], 10, { payload })));
      await peer.until(() => peer.frames.length > Math.floor(index / 2));
      errors.push(peer.errors.at(-1) ?? '');
    }
    expect(senders.map(({ closed }) => closed)).toEqual([undefined, undefined]);
    return errors;
  }
  /** A twin that has sent nothing in this minute. */
  const someone = (): Promise<TestTwin> => world.chain.add(1_000 + ++names, 'ed25519');
  const passed = 'relay info is not set for this twin';
  const over = 'exceeded rate limits, dropping message';

  it('in messages', { timeout: 60_000 }, async () => {
    expect(await refused(await someone(), 12, 1)).toEqual([...Array(10).fill(passed), over, over]);
  });

  it('in bytes, a message larger than all not counted', { timeout: 60_000 }, async () => {
    expect(await refused(await someone(), 4, 1500)).toEqual([passed, passed, over, over]);
    const third = await someone();
    expect(await refused(third, 1, 5000)).toEqual([over]);
    expect(await refused(third, 1, 3000)).toEqual([passed]);
  });
});

describe('GET /metrics', () => {
  const metricNames = [
    ...['relay_worker_connections', 'relay_message_rx', 'relay_message_tx', 'relay_message_rx_bytes'],
    ...[
      'relay_message_tx_bytes',
      'relay_session_evictions_total',
      'federation_message_success',
      'federation_message_error',
    ],
  ];
  it('has the names of existing dashboards', async () => {
    const text = await (await fetch(`http://127.0.0.1:${world.port}/metrics`)).text();
    expect(metricNames.filter((name) => !text.includes(`# TYPE ${name} `))).toEqual([]);
    expect(text).not.toMatch(/eyJ/);
  });
});
