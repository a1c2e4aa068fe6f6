import { request as httpRequest } from 'node:http';
import { connect as dial, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { address, decodeEnvelope, type Envelope, encodeEnvelope, MAX_FRAME_BYTES } from '../../rmb/envelope.ts';
import { connectPeer, type Peer, signedRequest } from '../testing/peer.ts';
import { type TestTwin, World } from '../testing/world.ts';
import { subscriberOf } from './incoming.ts';

let world: World;
let stranger: TestTwin;
let local: TestTwin;
const peers: Peer[] = [];
const lines: Socket[] = [];

beforeEach(async () => {
  world = await World.start({ federation: {} });
  stranger = await world.chain.add(20, 'sr25519', { relay: ['other.example'] });
  local = await world.chain.add(8, 'ed25519');
});
afterEach(async () => {
  vi.useRealTimers();
  for (const peer of peers.splice(0)) peer.socket.terminate();
  for (const line of lines.splice(0)) line.destroy();
  await world.stop();
});

async function connect(twin: TestTwin, session?: string): Promise<Peer> {
  const peer = await connectPeer(world.url, twin, session);
  peers.push(peer);
  return peer;
}

const signed = (change: Partial<Envelope> = {}): Envelope => signedRequest(stranger, undefined, 8, change);

/** Status and body. */
async function post(body: Uint8Array, headers: Record<string, string> = {}): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${world.port}/`, { method: 'POST', body: Buffer.from(body), headers });
  return `${response.status} ${await response.text()}`;
}

const postEnvelope = (change: Partial<Envelope> = {}): Promise<string> => post(encodeEnvelope(signed(change)));

describe('federation in', () => {
  it('delivers to a session that is there, and queues for one that is not', async () => {
    const [here, named] = [await connect(local), await connect(local, 'a')];
    const bytes = Buffer.concat([encodeEnvelope(signed()), Buffer.from('a0060f', 'hex')]);
    expect(await post(bytes)).toBe('202 ');
    await here.until(() => here.frames.length === 1);
    expect(here.frames[0]?.equals(bytes)).toBe(true);
    expect(await postEnvelope({ destination: address(8, 'late') })).toBe('202 ');
    const late = await connect(local, 'late');
    await late.until(() => late.frames.length === 1);
    expect([named.frames.length, here.frames.length]).toEqual([0, 1]);
  });

  it('takes signed answers and errors of peers', async () => {
    const here = await connect(local);
    for (const message of [
      { case: 'response', value: { $typeName: 'Response' } },
      { case: 'error', value: { $typeName: 'Error', code: 0, message: 'no' } },
    ] as const) {
      expect(await postEnvelope({ message })).toBe('202 ');
    }
    await here.until(() => here.frames.length === 2);
  });

  it('believes nothing that is not signed by its source, in time and for one of its own', async () => {
    const here = await connect(local);
    await world.chain.add(9, 'ed25519', { relay: ['other.example'] });
    const forged = signed();
    forged.signature = local.identity.sign(new Uint8Array(16));
    const changed = signed();
    changed.payload = { case: 'plain', value: Buffer.from('"more"') };
    const unsigned = signed();
    delete unsigned.signature;
    const relayError = decodeEnvelope(
      encodeEnvelope({ ...signed(), message: { case: 'error', value: { $typeName: 'Error', code: 0, message: 'x' } } }),
    );
    delete relayError.source;
    delete relayError.signature;
    const table: [sent: Envelope | Uint8Array, answer: RegExp][] = [
      [Buffer.from('ffff', 'hex'), /^400 bad request: ./],
      [new Uint8Array(0), /^400 bad request: ./],
      [forged, /^401 invalid envelope signature: ed25519 signature verification failed$/],
      [changed, /^401 invalid envelope signature: sr25519 signature verification failed$/],
      [unsigned, /^400 bad request: message is not signed$/],
      [signed({ signature: new Uint8Array(0) }), /^400 bad request: invalid signature length, expected: 65, found: 0$/],
      [relayError, /^400 bad request: ./],
      [signed({ message: { case: 'ping', value: { $typeName: 'Ping' } } }), /^400 bad request: a ping stays/],
      [signed({ message: { case: 'pong', value: { $typeName: 'Pong' } } }), /^400 bad request: a pong stays/],
      [signed({ expiration: 0n }), /^400 message has expired$/],
      [signed({ source: address(77) }), /^401 twin not found 77$/],
      [signed({ destination: address(78) }), /^404 unknown twin destination$/],
      [signed({ destination: address(9) }), /^404 destination is not on this relay$/],
      [signed({ destination: address(8, 'away'), tags: 'fail-fast' }), /^404 destination offline$/],
    ];
    for (const [sent, answer] of table) {
      expect(await post(sent instanceof Uint8Array ? sent : encodeEnvelope(sent))).toMatch(answer);
    }
    world.chain.down = true;
    expect(await postEnvelope({ destination: address(99) })).toBe('500 switch error: failed to get twin');
    expect(here.frames.length).toBe(0);
    const metrics = await (await fetch(`http://127.0.0.1:${world.port}/metrics`)).text();
    expect(metrics).toContain('relay_message_queued_total 0');
    expect(metrics).toContain('federation_posts_total{status="401"} 3');
  });

  it('takes the same message once', async () => {
    const here = await connect(local);
    const bytes = encodeEnvelope(signed());
    expect([await post(bytes), await post(bytes)]).toEqual(['202 ', '202 ']);
    expect(await postEnvelope({ uid: 'last' })).toBe('202 ');
    await here.until(() => here.uids.includes('last'));
    expect(here.frames.length).toBe(2);
  });

  it('takes it once also where it is posted again while it is on its way', async () => {
    const here = await connect(local);
    const bytes = encodeEnvelope(signed());
    const answers = await Promise.all(Array.from({ length: 5 }, () => post(bytes)));
    expect(new Set(answers)).toEqual(new Set(['202 ']));
    expect(await postEnvelope({ uid: 'last' })).toBe('202 ');
    await here.until(() => here.uids.includes('last'));
    expect(here.frames.length).toBe(2);
  });

  it('keeps room for others, whatever one address announces and does not send', async () => {
    await world.relay.close();
    world.relay = world.newRelay({ federation: { proxies: ['127.0.0.1/32'] } });
    world.port = await world.relay.listen('127.0.0.1', 0);
    const head = ['POST / HTTP/1.1', 'Host: x', 'X-Forwarded-For: 2001:db8::1', `Content-Length: ${MAX_FRAME_BYTES}`];
    for (let index = 0; index < 64; index += 1) {
      const line = dial(world.port, '127.0.0.1');
      line.on('error', () => undefined);
      line.write(`${head.join('\r\n')}\r\n\r\nx`);
      lines.push(line);
    }
    const from = (address: string): Promise<string> => post(encodeEnvelope(signed()), { 'x-forwarded-for': address });
    await expect.poll(() => from('2001:db8::2'), { timeout: 20_000 }).toBe('503 too many messages at once');
    expect(await from('192.0.2.1')).toBe('202 ');
  });

  it('counts the addresses of one subscriber as one', () => {
    const table = [
      ['192.0.2.1', '192.0.2.1'],
      ['::ffff:192.0.2.1', '192.0.2.1'],
      ['2001:db8::1', '2001:db8:0:0::/64'],
      ['2001:db8:0:0:ffff::', '2001:db8:0:0::/64'],
      ['2001:db8:0:1::1', '2001:db8:0:1::/64'],
      ['fe80::1%eth0', 'fe80:0:0:0::/64'],
      ['::1', '0:0:0:0::/64'],
      ['unknown', 'unknown'],
    ] as const;
    for (const [address, subscriber] of table) expect(subscriberOf(address)).toBe(subscriber);
  });

  it('knows a twin that has a new key', async () => {
    expect(await postEnvelope()).toBe('202 ');
    stranger = await world.chain.add(20, 'ed25519', { relay: ['other.example'] });
    expect(await postEnvelope()).toBe('202 ');
  });

  it('reads no body that is too large, announced or not', async () => {
    expect(await post(new Uint8Array(MAX_FRAME_BYTES + 1))).toMatch(/^413 /);
    const status = await new Promise<number>((resolve, reject) => {
      const request = httpRequest({ port: world.port, host: '127.0.0.1', method: 'POST', path: '/' });
      request.on('response', (response) => {
        resolve(response.statusCode ?? 0);
        request.destroy();
      });
      request.on('error', reject);
      for (let sent = 0; sent <= MAX_FRAME_BYTES; sent += 2 ** 20) request.write(Buffer.alloc(2 ** 20));
    });
    expect(status).toBe(413);
  });

  it('has limits by address, as the proxy names it, and by twin', async () => {
    await world.relay.close();
    world.relay = world.newRelay({
      federation: { addressLimits: { count: 3, bytes: 10_000 }, proxies: ['127.0.0.1/32'] },
      twinLimits: { count: 4, bytes: 100_000 },
    });
    world.port = await world.relay.listen('127.0.0.1', 0);
    // No window ends in between.
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() });
    const from = (address: string): Promise<string> =>
      post(encodeEnvelope(signed()), { 'x-forwarded-for': `192.0.2.99, ${address}` });
    for (let index = 0; index < 3; index += 1) expect(await from('192.0.2.1')).toBe('202 ');
    expect(await from('192.0.2.1')).toBe('429 exceeded rate limits, dropping message');
    expect(await from('192.0.2.2')).toBe('202 ');
    expect(await from('192.0.2.2')).toBe('429 exceeded rate limits, dropping message');
    expect(await from('192.0.2.3')).toBe('429 exceeded rate limits, dropping message');
  });

  it('says that the queue is full, or that there is none', async () => {
    await world.relay.close();
    const queueLimits = { twinBytes: 1000, twinMessages: 1, twinSessions: 2, totalBytes: 10_000 };
    world.relay = world.newRelay({ federation: {}, queueLimits });
    world.port = await world.relay.listen('127.0.0.1', 0);
    expect(await postEnvelope()).toBe('202 ');
    expect(await postEnvelope()).toBe('429 the queue of the destination is full');
    await world.chain.add(9, 'ed25519');
    await world.redis.stop();
    expect(await postEnvelope({ destination: address(9) })).toBe('500 switch error: failed to queue the message');
  });
});
