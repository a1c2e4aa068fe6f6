import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Door } from '../door/door.ts';
import { RelayMetrics } from '../relay/metrics.ts';
import { TestChain, type TestTwin, World } from '../relay/testing/world.ts';
import { challenge } from './challenge.ts';
import { PayloadCipher } from './cipher.ts';
import { RmbClient, type RmbClientOptions } from './client.ts';
import { registerClientMetrics } from './client-metrics.ts';
import { address, createEnvelope, decodeEnvelope, type Envelope, encodeEnvelope, nowSeconds } from './envelope.ts';
import { SignatureVerifier } from './signature.ts';
import { PlainRelay, relayError } from './testing/plain-relay.ts';
import { TwinCache } from './twins.ts';

const vectors = JSON.parse(readFileSync(new URL('../../test/vectors/rmb.json', import.meta.url), 'utf8'));
const verifier = new SignatureVerifier({ threads: 1 });
afterAll(() => verifier.close());

let chain: TestChain;
let user: TestTwin;
let node: TestTwin;
const ends: (() => Promise<void>)[] = [];

beforeEach(async () => {
  chain = new TestChain();
  [user, node] = [await chain.add(7, 'ed25519'), await chain.add(17, 'ed25519')];
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function relay(port = 0): Promise<PlainRelay> {
  const started = await PlainRelay.start(port);
  ends.push(() => started.stop());
  return started;
}

function client(twin: TestTwin, relays: readonly PlainRelay[], options: Partial<RmbClientOptions> = {}): RmbClient {
  const made = new RmbClient({
    relays: relays.map(({ url }) => url),
    identity: twin.identity,
    twinId: twin.id,
    twins: new TwinCache(chain),
    verifier,
    timing: { firstPauseMs: 20, longestPauseMs: 100 },
    ...options,
  });
  ends.push(() => made.close());
  return made;
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const end = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Connects and waits for every relay. */
async function connected(made: RmbClient, relays: readonly PlainRelay[]): Promise<RmbClient> {
  await made.connect();
  await until(() => relays.every(({ sockets }) => sockets.length > 0), 'all relays connected');
  await until(() => made.connectedRelays.length === relays.length, 'all relays known');
  return made;
}

/** The node's signed answer to a request. */
function answerTo(request: Envelope, payload: string, change: object = {}): Uint8Array {
  const envelope = createEnvelope({
    uid: request.uid,
    timestamp: BigInt(nowSeconds()),
    expiration: 300n,
    source: address(17),
    destination: address(7, request.source?.connection),
    message: { case: 'response', value: {} },
    schema: 'application/json',
    payload: { case: 'plain', value: Buffer.from(payload) },
    ...change,
  });
  envelope.signature = node.identity.sign(challenge(envelope));
  return encodeEnvelope(envelope);
}

function requestOf(uid: string, change: object = {}): Uint8Array {
  const envelope = createEnvelope({
    uid,
    timestamp: BigInt(nowSeconds()),
    expiration: 300n,
    source: address(7),
    destination: address(17),
    message: { case: 'request', value: { command: `zos.${uid}` } },
    schema: 'application/json',
    payload: { case: 'plain', value: Buffer.from('null') },
    ...change,
  });
  envelope.signature = user.identity.sign(challenge(envelope));
  return encodeEnvelope(envelope);
}

const call = { twin: 17, command: 'zos.x', payload: 'null', deadlineMs: 20_000 } as const;

describe('a request on the wire', () => {
  it('has tags and fail-fast as words, both addresses and a schema, and neither relays nor federation', async () => {
    const one = await relay();
    one.onMessage = (request) => answerTo(request, '1');
    const caller = await connected(client(user, [one], { session: 'cli' }), [one]);
    await caller.call({ ...call, tags: ['blue', 'site-4'], failFast: true });
    await caller.call({ ...call, tags: ['fail-fast'], failFast: true });
    await caller.call({ ...call, failFast: true });
    await caller.call(call);
    expect(one.received.map(({ tags }) => tags)).toEqual([
      'blue,site-4,fail-fast',
      'fail-fast',
      'fail-fast',
      undefined,
    ]);
    expect(one.received[0]).toMatchObject({
      source: { twin: 7, connection: 'cli' },
      destination: { twin: 17 },
      schema: 'application/json',
      relays: [],
    });
    expect(one.received[0]?.federation).toBeUndefined();
    expect(one.received[0]?.uid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{11}[a-f]$/);
    for (const tag of ['', 'a b', 'a,b', 'a\nb', '{}']) {
      await expect(caller.call({ ...call, tags: [tag] })).rejects.toBeInstanceOf(RangeError);
    }
  });

  it('too large for relays is not sent, and the line stays', async () => {
    const one = await relay();
    const caller = await connected(client(user, [one]), [one]);
    await expect(caller.call({ ...call, payload: 'x'.repeat(16 * 1024 * 1024) })).rejects.toBeInstanceOf(RangeError);
    expect(caller.connected).toBe(true);
    expect(one.received).toEqual([]);
  });
});

describe('connecting', () => {
  it('ends with the client, and with who asked for it', async () => {
    // A port where nobody listens.
    const caller = client(user, [], { relays: ['ws://127.0.0.1:1'] });
    await expect(caller.connect({ signal: AbortSignal.abort() })).rejects.toMatchObject({ kind: 'cancelled' });
    const connecting = expect(caller.connect({ deadlineMs: 600_000 })).rejects.toMatchObject({ kind: 'closed' });
    await caller.close();
    await connecting;
  });

  it('refuses an address that is none before anything is dialled', () => {
    for (const url of ['', 'relay.example', 'https://relay.example', 'ws://', 'ws://[', 'wss://relay.example/?a=b']) {
      expect(() => client(user, [], { relays: [url] })).toThrow(`'${url}' is no address of a relay`);
    }
  });
});

describe('JSON calls', () => {
  it('say what they want and get it typed', async () => {
    const one = await relay();
    one.onMessage = (request) => answerTo(request, Buffer.from(request.payload.value ?? []).toString());
    const caller = await connected(client(user, [one]), [one]);
    const ask = { twin: 17, command: 'zos.x', encrypt: 'never', deadlineMs: 20_000 } as const;
    expect(await caller.callJson(ask)).toBeNull();
    expect(await caller.callJson({ ...ask, argument: { a: [1] } })).toEqual({ a: [1] });
    const output = z.object({ a: z.number() });
    const typed: { a: number } = await caller.callJson({ ...ask, argument: { a: 1 }, output });
    expect(typed.a).toBe(1);
    await expect(caller.callJson({ ...ask, argument: { a: 'x' }, output })).rejects.toMatchObject({
      kind: 'bad-answer',
    });
    one.onMessage = (request) => answerTo(request, 'no json');
    await expect(caller.callJson(ask)).rejects.toMatchObject({
      kind: 'bad-answer',
      message: expect.stringContaining('the answer of twin 17 to zos.x is not what was expected'),
    });
  });
});

describe('several relays', () => {
  it('take a call that another one refused, and the last refusal ends it', async () => {
    const [one, two] = [await relay(), await relay()];
    const caller = await connected(client(user, [one, two]), [one, two]);
    one.onMessage = (request) => relayError(request, 'destination offline');
    two.onMessage = (request) => answerTo(request, '2');
    expect(Buffer.from(await caller.call(call)).toString()).toBe('2');
    two.onMessage = (request) => relayError(request, 'relay info is not set for this twin');
    await expect(caller.call(call)).rejects.toMatchObject({
      kind: 'relay-refused',
      code: 0,
      message: 'relay info is not set for this twin',
      relay: two.url,
    });
    // The very same message went to both: who answers sees one request.
    expect(one.received.map(({ uid }) => uid)).toEqual(two.received.map(({ uid }) => uid));
  });

  it('that refuse what they were not asked, again and again, make nobody else carry the request', async () => {
    const [one, two] = [await relay(), await relay()];
    const caller = await connected(client(user, [one, two]), [one, two]);
    const asked = caller.call(call);
    await until(() => one.received.length === 1, 'the first relay took it');
    const request = one.received[0] as Envelope;
    for (let turn = 0; turn < 50; turn += 1) two.send(relayError(request, 'no'));
    // The pong comes behind them on the same line.
    const pong = (ping: Envelope) => encodeEnvelope({ ...ping, message: { case: 'pong', value: {} as never } });
    one.onMessage = (message) => (message.message.case === 'ping' ? pong(message) : undefined);
    two.onMessage = one.onMessage;
    expect((await caller.ping({ deadlineMs: 20_000 })).every((ping) => 'roundTripMs' in ping)).toBe(true);
    one.send(answerTo(request, '1'));
    expect(Buffer.from(await asked).toString()).toBe('1');
    expect(one.received.filter(({ message }) => message.case === 'request').length).toBeLessThanOrEqual(2);
    expect(two.received.filter(({ message }) => message.case === 'request')).toEqual([]);
  });

  it('stand behind the others for a while after they refused for reasons of their own', async () => {
    const [one, two] = [await relay(), await relay()];
    const caller = await connected(client(user, [one, two]), [one, two]);
    one.onMessage = (request) => relayError(request, 'exceeded rate limits, dropping message');
    two.onMessage = (request) => answerTo(request, '2');
    for (let turn = 0; turn < 3; turn += 1) await caller.call(call);
    expect([one.received.length, two.received.length]).toEqual([1, 3]);
  });

  it('replace one that goes away, and bring answers of what it took', async () => {
    const [one, two] = [await relay(), await relay()];
    const caller = await connected(client(user, [one, two]), [one, two]);
    const taken = caller.call(call);
    await until(() => one.received.length === 1, 'the first relay took it');
    await one.stop();
    two.send(answerTo(one.received[0] as Envelope, '"late"'));
    expect(Buffer.from(await taken).toString()).toBe('"late"');
    two.onMessage = (request) => answerTo(request, '2');
    expect(Buffer.from(await caller.call(call)).toString()).toBe('2');
    expect(two.commands).toEqual(['zos.x']);
  });

  it('may bring one request twice: it is served once and counted', async () => {
    const [one, two] = [await relay(), await relay()];
    const server = await connected(client(node, [one, two]), [one, two]);
    const registry = new Registry();
    registerClientMetrics(server, registry);
    const served = serveBehindDoor(server, registry);
    const bytes = requestOf('a');
    one.send(bytes);
    await until(() => served.length === 1, 'served');
    two.send(bytes);
    await until(() => server.counts.duplicates === 1, 'the copy was counted');
    two.send(requestOf('b'));
    await until(() => served.length === 2, 'the next one');
    expect(served).toEqual(['zos.a', 'zos.b']);
    expect(await refusals(registry)).toEqual({});
    // Sent again by the relay it came through first, it is a replay, which the door counts.
    one.send(bytes);
    await until(() => server.counts.duplicates === 1, 'not counted again');
    one.send(requestOf('c'));
    await until(() => one.received.length === 2, 'the third');
    expect(await refusals(registry)).toEqual({ 'replay envelope_replayed': 1 });
    const numbers = await registry.metrics();
    expect(numbers).toMatch(/^gateway_rmb_duplicates_total 1$/m);
    expect(numbers).toMatch(/^gateway_rmb_dropped_total\{reason="malformed"\} 0$/m);
    expect(numbers).toMatch(/^gateway_relay_connected 1$/m);
    expect([one, two].map(({ received }) => received.map(({ uid }) => uid))).toEqual([['a', 'c'], ['b']]);
  });
});

const quiet = pino({ level: 'silent' });

/** Serves `{}` to every request that a door lets in; their commands. */
function serveBehindDoor(server: RmbClient, registry: Registry): string[] {
  const served: string[] = [];
  const door = new Door({
    twinId: 17,
    twins: new TwinCache(chain),
    verifier,
    cipher: new PayloadCipher(node.identity),
    answer: (request, to, answer) => server.answer(request, to, answer),
    log: quiet,
    registry,
  });
  server.serve(
    door.handler(async ({ command }) => {
      served.push(command);
      return { kind: 'response', payload: '{}' };
    }),
  );
  return served;
}

/** What the door refused, by check and code. */
async function refusals(registry: Registry): Promise<Record<string, number>> {
  const metric = await registry.getSingleMetric('gateway_door_refused_total')?.get();
  const counted = metric?.values.filter(({ value }) => value > 0) ?? [];
  return Object.fromEntries(counted.map(({ labels, value }) => [`${labels.check} ${labels.code}`, value]));
}

describe('serving', () => {
  it('too much stops reading; nothing is lost and the line is not taken for dead', async () => {
    const one = await relay();
    // More than the system's buffers take, so that the relay's side has to feel it.
    const payload = { case: 'plain', value: randomBytes(1024 * 1024) };
    const names = Array.from({ length: 60 }, (_, index) => `u${index}`);
    const requests = names.map((name) => requestOf(name, { payload }));
    const server = client(node, [one], {
      maxServing: 4,
      timing: { pingMs: 200, silenceMs: 1500, firstPauseMs: 20, longestPauseMs: 50 },
    });
    await connected(server, [one]);
    const served: string[] = [];
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    server.serve(async ({ envelope }) => {
      served.push(envelope.uid);
      await gate;
    });
    const [socket] = one.sockets;
    for (const bytes of requests) socket?.send(bytes);
    await until(() => server.counts.pauses === 1, 'paused');
    await new Promise((resolve) => setTimeout(resolve, 2000));
    expect(served.length).toBe(4);
    expect(socket?.bufferedAmount).toBeGreaterThan(10 * 1024 * 1024);
    expect(one.sockets).toEqual([socket]);
    release();
    await until(() => served.length === names.length, 'all served');
    expect(served).toEqual(names);
    expect(server.counts).toMatchObject({ dropped: 0, duplicates: 0, malformed: 0 });
    expect(one.sockets).toEqual([socket]);
  });

  it('what waited at the relay is answered while it lives, and counted when it does not', async () => {
    const one = await relay();
    const now = BigInt(nowSeconds());
    one.onConnection = (socket) => {
      socket.send(requestOf('old', { timestamp: now - 400n }));
      socket.send(requestOf('alive', { timestamp: now - 100n }));
      socket.send(requestOf('older', { timestamp: now - 4000n }));
    };
    const server = client(node, [one]);
    const registry = new Registry();
    const served = serveBehindDoor(server, registry);
    await server.connect();
    const kinds = (): string[] => one.received.map(({ uid, message }) => `${uid} ${message.case}`).sort();
    // Who is who it says it is hears of its expired messages, too.
    await until(() => one.received.length === 3, 'three answers');
    expect(served).toEqual(['zos.alive']);
    expect(kinds()).toEqual(['alive response', 'old error', 'older error']);
    expect(await refusals(registry)).toEqual({ 'lifetime envelope_expired': 2 });
  });

  it('what waited at our own relay is answered while it lives; what does not is counted there', async () => {
    const metrics = new RelayMetrics();
    const world = await World.start({ metrics });
    ends.push(() => world.stop());
    const [asker, server] = [await world.chain.add(7, 'sr25519'), await world.chain.add(17, 'ed25519')];
    const caller = world.client(asker, { session: 'cli' });
    await caller.connect();
    const ask = (command: string, deadlineMs: number) => caller.callJson({ twin: 17, command, deadlineMs });
    await expect(caller.call({ ...call, failFast: true })).rejects.toMatchObject({
      kind: 'relay-refused',
      message: 'destination offline',
      relay: world.url,
    });
    expect(await caller.ping()).toEqual([{ relay: world.url, roundTripMs: expect.any(Number) }]);
    const short = expect(ask('zos.short', 1500)).rejects.toMatchObject({ kind: 'timeout' });
    const long = ask('zos.long', 60_000);
    await short;
    // It lives a second longer than its caller waits, and seconds are whole.
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const away = world.client(server);
    world.serve(away, server);
    await away.connect();
    expect(await long).toMatchObject({ echo: 'zos.long' });
    expect((await metrics.expired.get()).values.map(({ value }) => value)).toEqual([1]);
  });

  it('drops what is no envelope, and counts it', async () => {
    const one = await relay();
    const server = await connected(client(node, [one]), [one]);
    one.send(Buffer.from('ffff', 'hex'));
    await until(() => server.counts.malformed === 1, 'counted');
    expect(server.connected).toBe(true);
  });
});

describe('pings', () => {
  it('measure each relay, and say which does not answer', async () => {
    const [one, two] = [await relay(), await relay()];
    const pong = vectors.envelopes.find(({ name }: { name: string }) => name === 'relay-pong-for-ts-ping');
    // As relays turn around what the TypeScript client sends: empty source, empty signature.
    one.onMessage = (ping) => {
      const answer = decodeEnvelope(Buffer.from(pong.envelope_hex, 'hex'));
      answer.uid = ping.uid;
      return encodeEnvelope(answer);
    };
    const caller = await connected(client(user, [one, two], { session: 'cli' }), [one, two]);
    expect(await caller.ping({ deadlineMs: 2000 })).toEqual([
      { relay: one.url, roundTripMs: expect.any(Number) },
      { relay: two.url, problem: 'no pong within 2000 ms' },
    ]);
    expect(one.received[0]).toMatchObject({ message: { case: 'ping' }, source: { twin: 7, connection: 'cli' } });
    expect(one.received[0]?.signature).toBeUndefined();
    await two.stop();
    await until(() => caller.connectedRelays.length === 1, 'one lost');
    expect((await caller.ping({ deadlineMs: 5000 }))[1]).toMatchObject({ problem: expect.any(String) });
  });
});
