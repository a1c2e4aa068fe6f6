import { once } from 'node:events';
import { connect as dial, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { challenge } from '../rmb/challenge.ts';
import { address, createEnvelope, encodeEnvelope, nowSeconds } from '../rmb/envelope.ts';
import { createToken } from '../rmb/token.ts';
import { streamKey } from './queue.ts';
import { DEFAULT_QUEUE_LIMITS } from './queue-budget.ts';
import { type TestTwin, World } from './testing/world.ts';

const MIB = 1024 * 1024;

let world: World;
const open: (WebSocket | Socket)[] = [];
beforeEach(async () => {
  world = await World.start();
});
afterEach(async () => {
  for (const one of open.splice(0)) one instanceof WebSocket ? one.terminate() : one.destroy();
  await world.stop();
});

/** Resolves with the close code, or 0 where the connection stays for a while. */
async function connect(twin: TestTwin, session: string): Promise<{ socket: WebSocket; closed: () => number }> {
  const socket = new WebSocket(`${world.url}/?${createToken(twin.identity, twin.id, session, nowSeconds())}`);
  open.push(socket);
  let code = 0;
  socket.on('error', () => undefined);
  socket.on('close', (value) => {
    code = value;
  });
  await once(socket, 'open');
  return { socket, closed: () => code };
}

function message(from: TestTwin, session: string, to: number, bytes: number): Uint8Array {
  const envelope = createEnvelope({
    uid: `u-${Math.random()}`,
    timestamp: BigInt(nowSeconds()),
    expiration: 60n,
    source: address(from.id, session),
    destination: address(to),
    message: { case: 'request', value: { command: 'zos.x' } },
    schema: 'application/json',
    payload: { case: 'plain', value: Buffer.alloc(bytes) },
  });
  envelope.signature = from.identity.sign(challenge(envelope));
  return encodeEnvelope(envelope);
}

async function metric(line: RegExp): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${world.port}/metrics`)).text();
  return Number(line.exec(text)?.[1] ?? 0);
}

describe('a relay', () => {
  it('does not keep the line of a refused visitor who never hangs up', async () => {
    const socket = dial({ host: '127.0.0.1', port: world.port, allowHalfOpen: true });
    open.push(socket);
    let gone = false;
    socket.on('error', () => {
      gone = true;
    });
    const head = ['GET /?x HTTP/1.1', 'Host: x', 'Connection: Upgrade', 'Upgrade: websocket'];
    head.push('Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==');
    socket.write(`${head.join('\r\n')}\r\n\r\n`);
    socket.resume();
    await once(socket, 'end');
    // A line that is still held takes bytes for ever; one that is gone resets.
    await expect
      .poll(() => {
        socket.write('x');
        return gone;
      })
      .toBe(true);
  });

  it('gives one twin no more than its share of sessions', async () => {
    await world.relay.close();
    world.relay = world.newRelay({ maxSessionsPerTwin: 3 });
    world.port = await world.relay.listen('127.0.0.1', 0);
    const [one, other] = [await world.chain.add(7, 'ed25519'), await world.chain.add(8, 'ed25519')];
    const held: Awaited<ReturnType<typeof connect>>[] = [];
    for (const name of ['a', 'b', 'c']) held.push(await connect(one, name));
    const fourth = await connect(one, 'd');
    await expect.poll(fourth.closed).toBe(1013);
    const others = await connect(other, 'a');
    // The same session again takes its own place, and a place that was left can be taken.
    const again = await connect(one, 'a');
    await expect.poll(() => held[0]?.closed()).toBe(4001);
    held[1]?.socket.close();
    // Three are left: the other twin's, 'a' and 'c'.
    await expect.poll(() => metric(/relay_worker_connections\{.*\} (\d+)/)).toBe(3);
    const fifth = await connect(one, 'e');
    await sleep(100);
    expect([others.closed(), again.closed(), fifth.closed()]).toEqual([0, 0, 0]);
  });

  it('reads no more of a session than it can route', async () => {
    const twin = await world.chain.add(7, 'ed25519');
    const { socket } = await connect(twin, 'a');
    // Nobody is told where these go while the chain thinks.
    const { promise: thinking, resolve: think } = Promise.withResolvers<undefined>();
    world.chain.twin = () => thinking;
    for (let number = 0; number < 60; number += 1) socket.send(message(twin, 'a', 1000 + number, MIB));
    let received = 0;
    // Until no more comes.
    for (let last = -1; received < MIB || received !== last; await sleep(300)) {
      last = received;
      received = await metric(/relay_message_rx_bytes (\d+)/);
    }
    think(undefined);
    expect(received).toBeLessThan(20 * MIB);
  });

  it('leaves the bus its memory, also after it was started again', async () => {
    // The node's broker has 256 MiB; the bus needs most of it.
    expect(DEFAULT_QUEUE_LIMITS.totalBytes).toBeLessThanOrEqual(64 * MIB);
    await world.relay.close();
    const limits = { twinBytes: 64_000, twinMessages: 100, twinSessions: 2, totalBytes: 64_000 };
    const twin = await world.chain.add(7, 'ed25519');
    await world.chain.add(8, 'ed25519');
    for (let life = 0; life < 3; life += 1) {
      world.relay = world.newRelay({ queueLimits: limits });
      world.port = await world.relay.listen('127.0.0.1', 0);
      const { socket } = await connect(twin, 'a');
      for (let number = 0; number < 10; number += 1) socket.send(message(twin, 'a', 8, 10_000));
      const done = async (): Promise<number> =>
        (await metric(/relay_message_queued_total (\d+)/)) + (await metric(/relay_message_refused_total\{.*\} (\d+)/));
      await expect.poll(done, { timeout: 20_000 }).toBe(10);
      await world.relay.close();
    }
    const { Redis } = await import('ioredis');
    const redis = new Redis({ path: world.redis.broker.slice('unix://'.length) });
    const kept = await redis.xlen(streamKey({ twin: 8 }));
    redis.disconnect();
    expect(kept).toBeGreaterThan(3);
    expect(kept).toBeLessThanOrEqual(6);
    world.relay = world.newRelay();
  });
});
