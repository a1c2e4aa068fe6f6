/** Rubbish of every kind over real sockets against a relay and a gateway that are processes of their own. */
import { connect as dial } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  address,
  createEnvelope,
  createToken,
  decodeEnvelope,
  type Envelope,
  encodeEnvelope,
  type Identity,
} from '../../gateway/rmb/index.ts';
import { CALLERS, identityOf, NODE, secretOf } from '../bench/peers/twins.ts';
import { Dice, mutate } from '../fuzz/mutate.ts';
import { reshapeProtobuf, reshapeToken } from '../fuzz/reshape.ts';
import { bytesOf, nowSeconds, RawLine, request } from '../system/raw-line.ts';
import { Stage } from './stage.ts';

const FRAMES = 8_000;
const RUBBISH_FRAMES = 100;
const VISITORS = 150;
/** A process that kept what it was sent would hold more. */
const GROWTH_MIB = 160;
const SENDERS = CALLERS.slice(0, 4);

let stage: Stage;
const identities = new Map<number, Identity>();
const lines: RawLine[] = [];
const seed = Date.now() % 1_000_000;
const dice = new Dice(seed);

beforeAll(async () => {
  for (const twin of CALLERS.slice(0, 8)) identities.set(twin, await identityOf(twin, 'ed25519'));
  stage = await Stage.start();
}, 120_000);

afterAll(async () => {
  for (const line of lines) line.close();
  await stage?.stop();
});

const identity = (twin: number): Identity => identities.get(twin) as Identity;
async function openLine(twin: number, session: string): Promise<RawLine> {
  const line = await RawLine.open(stage.url, identity(twin), twin, session);
  lines.push(line);
  return line;
}

/** Asks for the pools, whose answer comes from the bus. */
async function ask(twin: number): Promise<void> {
  const session = `good-${dice.roll(1e9)}`;
  const line = await openLine(twin, session);
  const wish = { source: { twin, session }, destination: { twin: NODE }, command: 'zos.storage.pools' };
  const asked = request(wish, identity(twin));
  line.send(bytesOf(asked));
  expect((await line.answer(asked.uid, 60_000))?.message.case).toBe('response');
  line.close();
}

/** A signed request with something wrong in it; `undefined` where it is not even an envelope. */
function wrongRequest(twin: number, session: string): Uint8Array | undefined {
  const wish = { source: { twin, session }, destination: { twin: NODE }, command: 'zos.storage.pools' };
  const good = bytesOf(request(wish, identity(twin)));
  const words = [Buffer.from('zos.storage.pools'), Buffer.from([0x4a, 0]), Buffer.from('ffffffffffffffffff01', 'hex')];
  const changed = mutate(dice, { inputs: [good], words, reshape: reshapeProtobuf });
  let envelope: Envelope;
  try {
    const { $typeName: _, ...fields } = decodeEnvelope(changed);
    // Or the relay would refuse all of them.
    envelope = createEnvelope({ ...fields, source: address(twin, session) });
  } catch {
    return undefined;
  }
  if (dice.roll(2) === 0) envelope.destination = address(NODE);
  const untouched = ['uid', 'timestamp', 'expiration', 'tags', 'schema', 'federation'] as const;
  const original = decodeEnvelope(good);
  const same =
    untouched.every((field) => envelope[field] === original[field]) &&
    Buffer.compare(envelope.signature ?? Buffer.alloc(0), original.signature ?? Buffer.alloc(0)) === 0;
  // What may still be a good request is made unsigned.
  if (same) envelope.signature = new Uint8Array(65).fill(0x65);
  return encodeEnvelope(envelope);
}

async function sendWrongRequests(twin: number, count: number): Promise<void> {
  const session = 'flood';
  const line = await openLine(twin, session);
  for (let sent = 0; sent < count; ) {
    const bytes = wrongRequest(twin, session);
    if (bytes === undefined) continue;
    line.send(bytes);
    sent += 1;
    if (sent % 100 === 0) await line.drained();
  }
  // The relay has read all when it answers this.
  const last = request({ source: { twin, session }, destination: { twin: 4_000_000 } }, identity(twin));
  line.send(bytesOf(last));
  expect((await line.answer(last.uid, 120_000))?.message.case).toBe('error');
  expect(line.closed).toBeUndefined();
}

/** Frames that are no envelopes: each costs its sender the connection. */
async function sendRubbish(twin: number, count: number): Promise<void> {
  for (let sent = 0; sent < count; sent += 1) {
    const line = await openLine(twin, `rubbish-${sent % 3}`);
    const noise = Buffer.from(Array.from({ length: dice.roll(200) }, () => dice.roll(256)));
    // A tag that no message has comes first.
    line.send(Buffer.concat([Buffer.from([0x07]), noise]));
    // A line that is cut a second later, on a busy machine, may take the relay's last word with it.
    await expect.poll(() => line.closed, { timeout: 30_000 }).toBeOneOf([1007, 1006]);
  }
}

/** Visitors without a good token: rubbish on the line, and tokens with something wrong. */
async function visit(twin: number, count: number): Promise<void> {
  const token = createToken(identity(twin), twin, 'x', nowSeconds());
  for (let made = 0; made < count; made += 1) {
    const changed = mutate(dice, { inputs: [Buffer.from(token)], words: [Buffer.from('.')], reshape: reshapeToken });
    const query = Buffer.from(changed)
      .toString('latin1')
      .replace(/[^!-~]/g, '_');
    if (query === token) continue;
    const head = ['Host: x', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'];
    const text = `GET /?${query} HTTP/1.1\r\n${head.join('\r\n')}\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`;
    const bytes = made % 3 === 0 ? mutate(dice, { inputs: [Buffer.from(text)], words: [Buffer.from('\r\n')] }) : text;
    const said = await say(bytes);
    expect(said).not.toMatch(/^HTTP\/1\.1 101/);
  }
}

/** What comes back before the line ends; a line left open is ended. */
async function say(bytes: Uint8Array | string): Promise<string> {
  const socket = dial({ host: '127.0.0.1', port: stage.port });
  let said = '';
  socket.on('data', (data: Buffer) => {
    said += data.toString('latin1');
  });
  socket.on('error', () => undefined);
  const ended = new Promise((resolve) => socket.once('close', resolve));
  socket.end(bytes);
  await Promise.race([ended, sleep(5000)]);
  socket.destroy();
  return said;
}

describe(`a relay and a gateway (seed ${seed})`, () => {
  it(`answer, and have asked nothing of the bus, after ${FRAMES} frames of rubbish`, { timeout: 240_000 }, async () => {
    const good = CALLERS[7] ?? 0;
    await ask(good);
    const calls: string[] = [];
    const redis = new Redis({ path: stage.redis.socket });
    const monitor = await redis.monitor();
    monitor.on('monitor', (_time: string, [command = '', key = '']: string[]) => {
      // The page of numbers, which is asked for here, too, asks each daemon for its own.
      const isNumbers = key === 'storage.zbus@1.0';
      if (/^(r|l)push$/i.test(command) && key.startsWith('storage.') && !isNumbers) calls.push(key);
    });
    const admitted = await stage.metric('gateway_door_admitted_total');
    await Promise.all(SENDERS.map((twin) => sendWrongRequests(twin, FRAMES / 20)));
    const before = [stage.relay.residentMiB, stage.gateway.residentMiB];

    await Promise.all([
      ...SENDERS.map((twin) => sendWrongRequests(twin, (FRAMES * 0.8) / SENDERS.length)),
      sendRubbish(CALLERS[5] ?? 0, RUBBISH_FRAMES),
      visit(CALLERS[6] ?? 0, VISITORS),
    ]);
    expect(await stage.metric('gateway_door_admitted_total')).toBe(admitted);
    expect(calls).toEqual([]);
    // They went deep and wide, not all to the first check.
    const text = await (await fetch(`http://${stage.http}/metrics`)).text();
    const checks = new Set([...text.matchAll(/gateway_door_refused_total\{check="(\w+)"/g)].map(([, check]) => check));
    expect([...checks]).toEqual(expect.arrayContaining(['shape', 'signature']));
    expect(checks.size).toBeGreaterThan(3);
    await ask(good);
    await expect.poll(() => stage.metric('gateway_door_admitted_total')).toBe(admitted + 1);
    await expect.poll(() => calls.length, { timeout: 20_000 }).toBe(1);
    monitor.disconnect();
    redis.disconnect();

    const after = [stage.relay.residentMiB, stage.gateway.residentMiB];
    for (const [index, mib] of after.entries()) expect(mib - (before[index] ?? 0)).toBeLessThan(GROWTH_MIB);
    for (const { child, words } of [stage.relay, stage.gateway]) {
      expect(child.exitCode).toBeNull();
      expect(words).not.toMatch(/unhandled|uncaught/i);
      expect(words.split('\n').filter((line) => /"level":(50|60)/.test(line))).toEqual([]);
    }
  });

  it('10, 25: have written down no token, no query and no secret, and carry none in view of others', () => {
    const secret = secretOf(NODE);
    for (const { words, commandLine, environment } of [stage.relay, stage.gateway]) {
      expect(words.length).toBeGreaterThan(1000);
      expect(words).not.toMatch(/eyJ|\?ey|Sec-WebSocket/);
      for (const text of [words, commandLine, environment]) expect(text).not.toContain(secret);
    }
  });
});
