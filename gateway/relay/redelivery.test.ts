import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { address, encodeEnvelope } from '../rmb/envelope.ts';
import { HalfOpenLine } from './testing/half-open.ts';
import { connectPeer, type Peer, signedRequest } from './testing/peer.ts';
import { type TestTwin, World } from './testing/world.ts';

const TIMING = { pingMs: 1000, silenceMs: 60_000, proofPingMs: 50, proofMs: 60_000, backPressureMs: 60_000 };

let world: World;
let sender: TestTwin;
let receiver: TestTwin;
const peers: Peer[] = [];
const lines: HalfOpenLine[] = [];

beforeEach(async () => {
  world = await World.start({ timing: TIMING });
  sender = await world.chain.add(7, 'ed25519');
  receiver = await world.chain.add(8, 'ed25519');
});
afterEach(async () => {
  for (const peer of peers.splice(0)) peer.socket.terminate();
  for (const line of lines.splice(0)) line.close();
  await world.stop();
});

async function connect(twin: TestTwin, url = world.url): Promise<Peer> {
  const peer = await connectPeer(url, twin);
  peers.push(peer);
  return peer;
}

async function throughLine(): Promise<{ line: HalfOpenLine; peer: Peer }> {
  const line = await HalfOpenLine.to(world.port);
  lines.push(line);
  return { line, peer: await connect(receiver, line.url) };
}

function send(from: Peer, uid: string, change: Parameters<typeof signedRequest>[3] = {}): void {
  from.socket.send(encodeEnvelope(signedRequest(sender, undefined, 8, { uid, ...change })));
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${world.port}/metrics`)).text();
  return Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
      ?.split(' ')
      .at(-1) ?? 0,
  );
}

async function reaches(name: string, value: number): Promise<void> {
  const end = Date.now() + 15_000;
  while ((await metric(name)) < value) {
    if (Date.now() > end) throw new Error(`${name} is ${await metric(name)}, not ${value}`);
    await sleep(20);
  }
}

/** Resolves when the relay has read the pong of the ping behind so many messages. To be asked before they are sent. */
async function proven(peer: Peer, messages: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  peer.socket.on('ping', () => peer.frames.length === messages && resolve());
  await promise;
  // Its answer comes after the relay has read that pong.
  peer.socket.ping();
  await once(peer.socket, 'pong');
}

const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `${from + index}`);

describe('a message handed to a line that was dead', () => {
  it('comes again on the next connection, in order and before what came later', async () => {
    const from = await connect(sender);
    const { line, peer } = await throughLine();
    const proof = proven(peer, 5);
    for (const uid of numbered(0, 5)) send(from, uid);
    await proof;
    line.dead = true;
    for (const uid of numbered(5, 15)) send(from, uid);
    await reaches('relay_message_tx', 15);
    const next = await connect(receiver);
    for (const uid of numbered(15, 20)) send(from, uid);
    await next.until(() => next.frames.length === 15);
    expect(next.uids).toEqual(numbered(5, 20));
    expect(peer.uids).toEqual(numbered(0, 5));
    expect(await metric('relay_message_lost_total')).toBe(0);
  });

  it('is kept when the relay notices by itself, without what expired meanwhile', async () => {
    await world.relay.close();
    world.relay = world.newRelay({ timing: { ...TIMING, proofMs: 1000 } });
    world.port = await world.relay.listen('127.0.0.1', 0);
    const from = await connect(sender);
    const { line } = await throughLine();
    line.dead = true;
    for (const uid of numbered(0, 6)) send(from, uid, { expiration: uid === '3' ? 1n : 60n });
    await reaches('relay_session_evictions_total{reason="silent"}', 1);
    await sleep(1100);
    // The sender's line is as short of patience.
    const again = await connect(sender);
    for (const uid of numbered(6, 8)) send(again, uid);
    await reaches('relay_message_queued_total', 2);
    const next = await connect(receiver);
    await next.until(() => next.frames.length >= 7);
    expect(next.uids).toEqual(numbered(0, 8).filter((uid) => uid !== '3'));
    expect(await metric('relay_message_expired_total')).toBe(1);
  });

  it('is not lost either when the message came out of the queue', async () => {
    const from = await connect(sender);
    for (const uid of numbered(0, 5)) send(from, uid);
    await reaches('relay_message_queued_total', 5);
    const line = await HalfOpenLine.to(world.port);
    lines.push(line);
    const peer = await connect(receiver, line.url);
    line.dead = true;
    await reaches('relay_message_tx', 5);
    const next = await connect(receiver);
    send(from, '5');
    await next.until(() => next.uids.includes('5'));
    // Whatever the first had before the line died was acknowledged or comes again.
    expect([...new Set([...peer.uids, ...next.uids])]).toEqual(numbered(0, 6));
    expect(next.uids).toEqual(numbered(6 - next.frames.length, 6));
  });

  it('survives the relay being stopped in order', async () => {
    const from = await connect(sender);
    const { line } = await throughLine();
    line.dead = true;
    for (const uid of numbered(0, 5)) send(from, uid);
    await reaches('relay_message_tx', 5);
    await world.relay.close();
    world.relay = world.newRelay({ timing: TIMING });
    world.port = await world.relay.listen('127.0.0.1', 0);
    const next = await connect(receiver);
    await next.until(() => next.frames.length === 5);
    expect(next.uids).toEqual(numbered(0, 5));
  });

  it('keeps its place while lines die again and again under load', { timeout: 60_000 }, async () => {
    const from = await connect(sender);
    const total = 600;
    let sent = 0;
    const feeding = (async () => {
      for (; sent < total; sent += 1) {
        // Some are so large that the window or the buffer is full.
        const value = Buffer.alloc(sent % 100 === 50 ? 1_500_000 : 2000);
        send(from, `${sent}`, { payload: { case: 'plain', value } });
        if (sent % 20 === 19) await sleep(10);
      }
    })();
    const got: string[] = [];
    const seen = new Set<string>();
    for (let life = 0; life < 5; life += 1) {
      const { line, peer } = await throughLine();
      if (life < 4) {
        await peer.until(() => peer.frames.length > 30 || sent === total);
        line.dead = true;
        await sleep(60);
      } else
        await peer.until(() => seen.size + new Set(peer.uids.filter((uid) => !seen.has(uid))).size === total, 30_000);
      got.push(...peer.uids);
      for (const uid of peer.uids) seen.add(uid);
    }
    await feeding;
    expect([...new Set(got)]).toEqual(numbered(0, total));
    expect(await metric('relay_message_lost_total')).toBe(0);
  });
});

describe('a session that says goodbye', () => {
  it('is not sent the answers again that nobody waits for, but the requests', async () => {
    const from = await connect(sender);
    const to = await connect(receiver);
    // While a new session looks for mail, what comes goes through its queue, where answers stay as well.
    for (let before = -1, count = 1; (await metric('relay_message_queued_total')) !== before; count += 1) {
      before = await metric('relay_message_queued_total');
      const proof = proven(to, count);
      send(from, `before ${count}`);
      await proof;
    }
    // It reads nothing, and so proves nothing, before it goes.
    const sent = await metric('relay_message_tx');
    to.socket.pause();
    send(from, 'answer', { message: { case: 'response', value: { $typeName: 'Response' } } });
    send(from, 'request');
    await reaches('relay_message_tx', sent + 2);
    to.socket.close(1000);
    await reaches('relay_session_evictions_total{reason="closed"}', 1);
    send(from, 'later', { destination: address(8) });
    const next = await connect(receiver);
    await next.until(() => next.frames.length >= 2);
    expect(next.uids).toEqual(['request', 'later']);
  });
});
