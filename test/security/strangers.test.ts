/** Nothing a stranger sends, in any order and amount, costs a relay or a door more than its limit. */
import { once } from 'node:events';
import { connect as dial, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { handlers } from '../../gateway/commands/index.ts';
import type { RelayOptions } from '../../gateway/relay/relay.ts';
import { type TestTwin, World } from '../../gateway/relay/testing/world.ts';
import { createToken, decodeEnvelope, encodeEnvelope } from '../../gateway/rmb/index.ts';
import { parseInput } from '../../schemas/index.ts';
import { bytesOf, nowSeconds, RawLine, request } from '../system/raw-line.ts';

const MIB = 1024 * 1024;
const WAIT = { timeout: 60_000 };
const SESSION = 'raw';

let world: World;
let user: TestTwin;
let node: TestTwin;
const lines: RawLine[] = [];
const sockets: Socket[] = [];

beforeEach(async () => {
  world = await World.start();
  user = await world.chain.add(7, 'ed25519');
  node = await world.chain.add(17, 'ed25519');
});

afterEach(async () => {
  for (const line of lines.splice(0)) line.close();
  for (const socket of sockets.splice(0)) socket.destroy();
  await world.stop();
});

async function restart(options: Partial<RelayOptions>): Promise<void> {
  await world.relay.close();
  world.relay = world.newRelay(options);
  world.port = await world.relay.listen('127.0.0.1', 0);
}

async function openLine(twin = user, session = SESSION): Promise<RawLine> {
  const line = await RawLine.open(world.url, twin.identity, twin.id, session);
  lines.push(line);
  return line;
}

interface Knocker {
  readonly socket: Socket;
  readonly said: () => string;
  readonly over: () => boolean;
}

/** A bare connection; what came back, and whether it is over. */
async function open(): Promise<Knocker> {
  const socket = dial({ host: '127.0.0.1', port: world.port });
  sockets.push(socket);
  let said = '';
  let over = false;
  socket.on('data', (data: Buffer) => {
    said += data.toString('latin1');
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    over = true;
  });
  await once(socket, 'connect');
  return { socket, said: () => said, over: () => over };
}

const knock = (query: string, extra: readonly string[] = []): string =>
  [
    `GET /?${query} HTTP/1.1`,
    ...['Host: x', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
    ...['Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==', ...extra, '', ''],
  ].join('\r\n');
const token = (session: string): string => createToken(user.identity, user.id, session, nowSeconds());

/** The head of a masked client frame of `size` bytes, binary; `reserved` sets bits of an extension. */
function frameHead(size: number, { masked = true, reserved = 0 } = {}): Buffer {
  const head = Buffer.alloc(10 + (masked ? 4 : 0));
  head[0] = 0x82 | reserved;
  head[1] = 127 | (masked ? 0x80 : 0);
  head.writeBigUInt64BE(BigInt(size), 2);
  return head;
}

async function stillServes(): Promise<void> {
  const line = await openLine(user, 'still');
  const asked = request({ source: { twin: 7, session: 'still' }, destination: { twin: 4000 } }, user.identity);
  line.send(bytesOf(asked));
  expect((await line.answer(asked.uid))?.message).toMatchObject({ value: { message: 'unknown twin destination' } });
  line.close();
}

describe('a relay', () => {
  it('ends who says nothing, who says it slowly, and who never ends a body', async () => {
    await restart({ headersMs: 1000 });
    const silent = await open();
    const slow = await open();
    const bodies = await open();
    bodies.socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n');
    const drip = setInterval(() => {
      slow.socket.write('x');
      bodies.socket.write('x');
    }, 200);
    slow.socket.write('GET /?');
    try {
      await expect.poll(() => [silent.over(), slow.over(), bodies.over()], WAIT).toEqual([true, true, true]);
    } finally {
      clearInterval(drip);
    }
    await stillServes();
  });

  it('lets in who has a token, however many without one hold places', async () => {
    await restart({ maxStrangers: 20, maxSessions: 10 });
    const holders: Knocker[] = [];
    for (let number = 0; number < 120; number += 1) {
      const holder = await open();
      if (number % 2 === 0) holder.socket.write('GET / HTTP/1.1\r\nHost: x\r\n');
      holders.push(holder);
      if (number % 40 === 39) await stillServes();
    }
    await expect.poll(() => holders.filter(({ over }) => !over()).length, WAIT).toBeLessThanOrEqual(20);
    // Who is in stays in.
    const line = await openLine();
    for (let number = 0; number < 60; number += 1) await open();
    await stillServes();
    expect(line.closed).toBeUndefined();
  });

  it('answers heads that are too large, too many or nonsense, and keeps none of these lines', async () => {
    const heads = [
      knock('x'.repeat(20_000)),
      knock('x', [`X-Large: ${'x'.repeat(30_000)}`]),
      knock(
        'x',
        Array.from({ length: 3000 }, (_, number) => `X-${number}: 1`),
      ),
      'GET /\0 HTTP/1.1\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
    ];
    for (const head of heads) {
      const { socket, said, over } = await open();
      socket.write(head);
      await expect.poll(over, WAIT).toBe(true);
      expect(said()).not.toMatch(/ 101 /);
    }
    await stillServes();
  });

  it('holds no more than its handshakes while the chain is slow', async () => {
    const thinking = Promise.withResolvers<undefined>();
    const twin = world.chain.twin.bind(world.chain);
    world.chain.twin = (id) => (id >= 10_000 ? thinking.promise : twin(id));
    const visitors: Knocker[] = [];
    for (let number = 0; number < 300; number += 1) {
      const visitor = await open();
      visitor.socket.write(knock(createToken(user.identity, 10_000 + number, 'x', nowSeconds())));
      visitors.push(visitor);
    }
    const refused = (): number => visitors.filter(({ said }) => said().startsWith('HTTP/1.1 503')).length;
    await expect.poll(refused, WAIT).toBe(300 - 256);
    thinking.resolve(undefined);
    await expect.poll(() => visitors.every(({ over }) => over()), WAIT).toBe(true);
    await stillServes();
  });

  it('agrees to no compression, and ends a frame that claims to be compressed, unmasked or too large', async () => {
    const offers = ['Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits'];
    const frames = [frameHead(100, { reserved: 0x40 }), frameHead(100, { masked: false }), frameHead(16 * MIB + 1)];
    for (const [number, frame] of frames.entries()) {
      const { socket, said, over } = await open();
      socket.write(knock(token(`frame-${number}`), offers));
      await expect.poll(said, WAIT).toMatch(/^HTTP\/1\.1 101/);
      expect(said()).not.toMatch(/sec-websocket-extensions/i);
      socket.write(frame);
      socket.write(Buffer.alloc(1000));
      await expect.poll(over, WAIT).toBe(true);
    }
    await stillServes();
  });

  it('holds no more than a twin’s share of messages that never end', async () => {
    const begun: Knocker[] = [];
    for (let number = 0; number < 10; number += 1) {
      const one = await open();
      one.socket.write(knock(token(`begun-${number}`)));
      await expect.poll(one.said, WAIT).toMatch(/^HTTP\/1\.1 101/);
      one.socket.write(frameHead(16 * MIB));
      one.socket.write(Buffer.alloc(12 * MIB));
      begun.push(one);
    }
    // 64 MiB hold five of 12 MiB.
    await expect.poll(() => begun.filter(({ over }) => !over()).length, WAIT).toBe(5);
    await stillServes();
  });

  it('passes messages of 16 MiB side by side', { timeout: 90_000 }, async () => {
    const payload = { case: 'plain' as const, value: Buffer.alloc(16 * MIB - 300) };
    const passed = Array.from({ length: 3 }, async (_, number) => {
      const session = `large-${number}`;
      const [from, to] = [await openLine(user, session), await openLine(node, session)];
      const wish = { source: { twin: 7, session }, destination: { twin: 17, session }, payload };
      const large = request(wish, user.identity);
      from.send(bytesOf(large));
      return (await to.answer(large.uid, 60_000))?.payload.value?.length;
    });
    expect(await Promise.all(passed)).toEqual(passed.map(() => payload.value.length));
  });

  it('reads no envelope of a million fields, whoever sends it', async () => {
    const base = bytesOf(request({ source: { twin: 7, session: SESSION }, destination: { twin: 17 } }, user.identity));
    for (const field of ['8a0100', 'a00601', '2a00']) {
      const piece = Buffer.from(field, 'hex');
      const bytes = Buffer.concat([base, Buffer.alloc(piece.length * 1_000_000, piece)]);
      expect(() => decodeEnvelope(bytes)).toThrow('more than 512 fields');
      const line = await openLine();
      line.send(bytes);
      await expect.poll(() => line.closed, WAIT).toBe(1007);
    }
    await stillServes();
  });
});

describe('a door', () => {
  it('verifies no more signatures than its rate, and none of a wrong form', async () => {
    let [verified, now] = [0, Date.now()];
    const verify = world.verifier.verify.bind(world.verifier);
    world.verifier.verify = (...signed) => {
      verified += 1;
      return verify(...signed);
    };
    const limits = { ratePerSecond: 10, rateBurst: 20, tellPerSecond: 2, tellBurst: 5 };
    const server = world.client(node);
    const door = world.serve(server, node, { limits, now: () => now });
    const forge = (signature: Uint8Array | undefined): Promise<unknown> => {
      const envelope = request({ source: { twin: 7, session: SESSION }, destination: { twin: 17 } }, undefined);
      if (signature !== undefined) envelope.signature = signature;
      return door.admit(encodeEnvelope(envelope));
    };
    for (let number = 0; number < 2000; number += 1) {
      await forge([undefined, new Uint8Array(0), new Uint8Array(65), new Uint8Array(64)][number % 4]);
    }
    expect(verified).toBe(0);
    const wrong = new Uint8Array(65).fill(0x65);
    for (let number = 0; number < 2000; number += 1) {
      if (number % 1000 === 999) now += 1000;
      await forge(wrong);
    }
    // A burst and what a second or two add, of requests and of refusals that would have been told.
    expect(verified).toBeLessThanOrEqual(2 * (20 + 2 * 10 + 5 + 2 * 2));
    expect(verified).toBeGreaterThan(0);
  });

  it('reads no argument that is too deep, too long or of too many parts', async () => {
    const inputs: [what: string, text: string][] = [
      ['depth', '['.repeat(100_000)],
      ['depth of objects', '{"a":'.repeat(100_000)],
      ['digits', `{"contract_id":${'9'.repeat(50_000)}}`],
      ['an exponent', '{"contract_id":1e999999999}'],
      ['elements', `{"workloads":[${'{},'.repeat(200_000)}{}]}`],
      ['size', `{"metadata":"${'x'.repeat(2 * MIB)}"}`],
      ['prototypes', '{"__proto__":{"contract_id":1},"constructor":1,"contract_id":"1"}'],
    ];
    for (const [what, text] of inputs) {
      for (const name of ['zos.deployment.deploy', 'zos.deployment.get']) {
        const handler = handlers.get(name);
        if (handler === undefined) throw new Error(name);
        if (name.endsWith('deploy') && what === 'prototypes') continue;
        if (name.endsWith('deploy') && (what === 'digits' || what === 'an exponent')) continue;
        expect(() => parseInput(handler.command, text), what).toThrow();
      }
    }
    expect(Object.prototype).not.toHaveProperty('contract_id');
  });
});
