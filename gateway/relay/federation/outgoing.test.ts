import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { address, decodeEnvelope, encodeEnvelope } from '../../rmb/envelope.ts';
import type { FederationOptions } from '../relay.ts';
import { MockRelay } from '../testing/mock-relay.ts';
import { connectPeer, type Peer, signedRequest } from '../testing/peer.ts';
import { type TestTwin, World } from '../testing/world.ts';
import { Poster } from './post.ts';
import { Ranking } from './ranking.ts';

const PATIENCE = { timeout: 20_000 };
const QUICK = { retryMs: 100, roundPauseMs: 5, heartbeatMs: 200 };
const STREAM = 'relay.federation.stream';

let world: World;
let sender: TestTwin;
let other: MockRelay;
let third: MockRelay;
const peers: Peer[] = [];

function federation(change: Partial<FederationOptions> = {}): FederationOptions {
  const routes = new Map([
    ['other.example', other.url],
    ['third.example', third.url],
  ]);
  return { routes, timing: QUICK, ...change };
}

async function restart(change: Partial<FederationOptions>): Promise<void> {
  await world.relay.close();
  world.relay = world.newRelay({ federation: federation(change) });
  world.port = await world.relay.listen('127.0.0.1', 0);
}

async function connect(twin = sender, session?: string): Promise<Peer> {
  const peer = await connectPeer(world.url, twin, session);
  peers.push(peer);
  return peer;
}

function send(peer: Peer, to: number, change: Parameters<typeof signedRequest>[3] = {}): Uint8Array {
  const bytes = encodeEnvelope(signedRequest(sender, undefined, to, change));
  peer.socket.send(bytes);
  return bytes;
}

async function metrics(): Promise<string> {
  return await (await fetch(`http://127.0.0.1:${world.port}/metrics`)).text();
}

describe('federation out', () => {
  beforeEach(async () => {
    [other, third] = [await MockRelay.start(), await MockRelay.start()];
    world = await World.start({ federation: federation() });
    sender = await world.chain.add(7, 'ed25519');
    await world.chain.add(20, 'ed25519', { relay: ['other.example'] });
    await world.chain.add(21, 'ed25519', { relay: ['other.example', 'third.example'] });
  });
  afterEach(async () => {
    for (const peer of peers.splice(0)) peer.socket.terminate();
    await world.stop();
    await Promise.all([other.stop(), third.stop()]);
  });

  it('posts a message once, its bytes as they are', async () => {
    const peer = await connect();
    const bytes = Buffer.concat([encodeEnvelope(signedRequest(sender, undefined, 20)), Buffer.from('a0060f', 'hex')]);
    peer.socket.send(bytes);
    await peer.until(() => other.posts.length === 1);
    const [post] = other.posts;
    expect([post?.method, post?.url]).toEqual(['POST', '/']);
    expect(post?.body.equals(bytes)).toBe(true);
    expect(post?.headers.authorization ?? post?.headers.cookie).toBeUndefined();
    await expect.poll(metrics, PATIENCE).toContain('federation_message_success{relay="other.example"} 1');
  });

  it('posts ten messages ten times and keeps nothing of them', async () => {
    const peer = await connect();
    for (let index = 0; index < 10; index += 1) send(peer, 20, { uid: `${index}` });
    await peer.until(() => other.posts.length >= 10);
    const redis = new Redis({ path: world.redis.socket });
    await expect.poll(() => redis.xlen(STREAM), PATIENCE).toBe(0);
    const pending = (await redis.xpending(STREAM, 'federation')) as [number];
    redis.disconnect();
    expect(pending[0]).toBe(0);
    const uids = other.posts.map(({ body }) => decodeEnvelope(Uint8Array.from(body)).uid);
    expect(uids.sort()).toEqual(Array.from({ length: 10 }, (_, index) => `${index}`));
  });

  it('goes on after 5xx, broken lines and answers that are not 202', async () => {
    other.answers = [500, 0, 200, 301, 503, 202];
    const peer = await connect();
    send(peer, 20);
    await peer.until(() => other.posts.length === 6);
    await expect.poll(metrics, PATIENCE).toContain('federation_message_success{relay="other.example"} 1');
    expect(await metrics()).toContain('federation_message_error{relay="other.example"} 5');
    expect(peer.frames.length).toBe(0);
  });

  it('asks the other relay of the twin where one fails, and that one first from then on', async () => {
    other.answers = [503];
    const peer = await connect();
    for (let index = 0; index < 5; index += 1) {
      send(peer, 21);
      await peer.until(() => third.posts.length === index + 1);
    }
    expect(other.posts.length).toBeLessThanOrEqual(1);
  });

  it("takes 4xx for final and tells a request's sender, not another", async () => {
    other.answers = [404];
    const peer = await connect();
    send(peer, 20, { message: { case: 'response', value: { $typeName: 'Response' } } });
    send(peer, 20, { uid: 'asked' });
    await peer.until(() => peer.frames.length === 1);
    const [answer] = peer.envelopes;
    expect(answer).toMatchObject({
      uid: 'asked',
      expiration: 300n,
      message: { case: 'error', value: { code: 0, message: 'remote relay rejected permanently: destination offline' } },
    });
    expect([answer?.source, answer?.destination, answer?.signature]).toEqual([undefined, undefined, undefined]);
    expect(other.posts.length).toBe(2);
  });

  it('tries until the life of a message is over', async () => {
    other.answers = [503];
    const peer = await connect();
    send(peer, 20, { expiration: 2n });
    await peer.until(() => peer.frames.length === 1);
    expect(peer.errors).toEqual(['message has expired']);
    // Three rounds, again and again.
    expect(other.posts.length).toBeGreaterThan(3);
    const posts = other.posts.length;
    send(peer, 20, { expiration: 0n });
    await peer.until(() => peer.frames.length === 2);
    expect([peer.errors[1], other.posts.length]).toEqual(['message has expired', posts]);
  });

  it('says what became of the twin', async () => {
    other.answers = [503];
    const peer = await connect();
    send(peer, 20);
    await peer.until(() => other.posts.length > 0);
    world.chain.records.delete(20);
    world.twins.forget(20);
    await peer.until(() => peer.frames.length === 1);
    expect(peer.errors).toEqual(['remote relay rejected permanently: self twin not found!']);
  });

  it('goes where the twin is by then', async () => {
    other.answers = [503];
    const peer = await connect();
    send(peer, 20);
    await peer.until(() => other.posts.length > 0);
    await world.chain.add(20, 'ed25519', { relay: ['third.example'] });
    world.twins.forget(20);
    await peer.until(() => third.posts.length === 1);
    expect(peer.frames.length).toBe(0);
  });

  it('is held up by no relay that fails but for its own twins', async () => {
    other.answers = [503];
    await world.chain.add(22, 'ed25519', { relay: ['third.example'] });
    const peer = await connect();
    for (let index = 0; index < 200; index += 1) send(peer, 20);
    send(peer, 22);
    await peer.until(() => third.posts.length === 1);
  });

  it('finds what a relay that died had taken, and does it', { timeout: 60_000 }, async () => {
    const peer = await connect();
    other.answers = [503];
    send(peer, 20, { uid: 'left', expiration: 120n });
    await peer.until(() => other.posts.length > 0);
    await restart({});
    // As if nobody had said for long that it works on it.
    const redis = new Redis({ path: world.redis.socket });
    const [[id] = []] = await redis.xrange(STREAM, '-', '+');
    const [[name] = []] = (
      (await redis.xpending(STREAM, 'federation')) as [number, string, string, [string, string][]]
    )[3];
    await redis.call('XCLAIM', STREAM, 'federation', String(name), '0', String(id), 'IDLE', '60000', 'JUSTID');
    redis.disconnect();
    other.answers = [202];
    await expect.poll(metrics, PATIENCE).toContain('federation_message_success{relay="other.example"} 1');
  });

  it('is bounded, in all and for each twin, and says so', async () => {
    await restart({ jobLimits: { messages: 3, bytes: 1_000_000 } });
    other.answers = [503];
    const all: Peer[] = [];
    for (const id of [7, 8, 9, 10]) {
      const twin = await world.chain.add(id, 'ed25519');
      const peer = await connectPeer(world.url, twin);
      peers.push(peer);
      all.push(peer);
      // Of three a twin has one.
      for (let index = 0; index < 2; index += 1) {
        peer.socket.send(encodeEnvelope(signedRequest(twin, undefined, 20, { source: address(id) })));
        if (id < 10) await expect.poll(metrics, PATIENCE).toContain(`federation_messages_waiting ${all.length}`);
      }
      await peer.until(() => peer.frames.length === (id < 10 ? 1 : 2));
      expect(new Set(peer.errors)).toEqual(new Set(['too many messages wait for other relays']));
    }
  });

  it('goes on when the store lost all it had', async () => {
    const peer = await connect();
    send(peer, 20);
    await peer.until(() => other.posts.length === 1);
    await world.redis.restart();
    await peer.until(() => {
      // Refused until the store is back.
      if (other.posts.length === 1) send(peer, 20);
      return other.posts.length > 1;
    });
  });

  it('keeps nothing longer than an hour, whatever life it claims', async () => {
    const peer = await connect();
    other.answers = [503];
    const bytes = encodeEnvelope(signedRequest(sender, undefined, 20, { uid: 'eternal', expiration: 2n ** 32n }));
    const redis = new Redis({ path: world.redis.socket });
    await redis.xadd(STREAM, `${Date.now() - 3_601_000}-0`, 'msg', Buffer.from(bytes));
    redis.disconnect();
    // Whatever is sent makes it look.
    send(peer, 20);
    await peer.until(() => peer.frames.length === 1);
    expect([peer.uids, peer.errors]).toEqual([['eternal'], ['message has expired']]);
  });

  it('makes no request to this host or its networks for a name that a twin chose', async () => {
    const names = ['127.0.0.1', 'localhost', '10.0.0.1', '169.254.169.254', 'a:b', 'x/y', 'user@host', '[::1]'];
    const peer = await connect();
    for (const [index, name] of names.entries()) {
      await world.chain.add(100 + index, 'ed25519', { relay: [name] });
      send(peer, 100 + index, { uid: name });
    }
    await peer.until(() => peer.frames.length === names.length);
    expect([...new Set(peer.errors)]).toEqual(['destination is on another relay that this relay does not reach']);
    expect([other.posts.length, third.posts.length]).toEqual([0, 0]);
  });

  it('sends answers of absent senders to their queue', async () => {
    other.answers = [503];
    const peer = await connect(sender, 's');
    peer.socket.send(encodeEnvelope(signedRequest(sender, 's', 20, { uid: 'late', source: address(7, 's') })));
    await peer.until(() => other.posts.length > 0);
    peer.socket.terminate();
    // The relay has noticed before the last word on the message comes.
    await expect.poll(metrics, PATIENCE).toMatch(/^relay_worker_connections\{.*\} 0$/m);
    other.answers = [404];
    await expect.poll(metrics, PATIENCE).toContain('relay_message_queued_total 1');
    const back = await connect(sender, 's');
    await back.until(() => back.frames.length === 1);
    expect(back.uids).toEqual(['late']);
  });
});

describe('the order of relays', () => {
  it('is by failures, and heals with time', () => {
    const ranking = new Ranking(1000);
    for (const at of [0, 10, 20]) ranking.failed('bad', at);
    ranking.failed('worse', 5);
    for (const at of [600, 610, 620, 630]) ranking.failed('worse', at);
    for (let round = 0; round < 20; round += 1) {
      expect(ranking.order(['worse', 'bad', 'good'], 700)).toEqual(['good', 'bad', 'worse']);
    }
    expect(ranking.order(['worse', 'bad'], 1100)).toEqual(['bad', 'worse']);
    const firsts = new Set(Array.from({ length: 200 }, () => ranking.order(['a', 'b', 'worse', 'bad'], 5000)[0]));
    expect(firsts.size).toBe(4);
  });
});

describe('a post', () => {
  it('gives up on a relay that does not answer', async () => {
    const { createServer } = await import('node:net');
    const mute = createServer((socket) => socket.on('error', () => undefined));
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    const { port } = mute.address() as { port: number };
    const poster = new Poster({
      answerMs: 200,
      routes: new Map([['mute.example', new URL(`http://127.0.0.1:${port}/`)]]),
    });
    try {
      expect(await poster.post('mute.example', Buffer.from('x'))).toMatchObject({ result: 'failed' });
    } finally {
      poster.close();
      mute.close();
    }
  });
});
