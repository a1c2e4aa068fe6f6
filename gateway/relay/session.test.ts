import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { startRedis, type TestRedis } from '../../modules/zbus/testing/redis.ts';
import { address, createEnvelope, encodeEnvelope, nowSeconds } from '../rmb/envelope.ts';
import { Mail } from './mail.ts';
import { RelayMetrics } from './metrics.ts';
import { OfflineQueue } from './queue.ts';
import { Session } from './session.ts';
import { WindowBudget } from './window.ts';

const log = pino({ level: 'silent' });
let redis: TestRedis;
let queue: OfflineQueue;
let server: WebSocketServer;
let near: WebSocket;
let session: Session;
let mail: Mail;
const metrics = new RelayMetrics();

beforeEach(async () => {
  redis = await startRedis();
  queue = new OfflineQueue(redis.broker, log);
  await eventually(() => queue.read(address(8)));
  server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  const accepted = new Promise<{ socket: WebSocket; line: Socket }>((resolve) =>
    server.once('connection', (socket, request) => resolve({ socket, line: request.socket })),
  );
  await new Promise((resolve) => server.once('listening', resolve));
  near = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const { socket, line } = await accepted;
  session = new Session(address(8), socket, line, {
    queue,
    metrics,
    log,
    windows: new WindowBudget(1_000_000),
  });
  mail = new Mail({ queue, metrics, session: () => session });
});

afterEach(async () => {
  near.terminate();
  for (const socket of server.clients) socket.terminate();
  server.close();
  queue.close();
  await redis.stop();
});

async function eventually<T>(work: () => Promise<T> | T, withinMs = 20_000): Promise<T> {
  const end = Date.now() + withinMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

const message = (uid: string): Uint8Array =>
  encodeEnvelope(createEnvelope({ uid, timestamp: BigInt(nowSeconds()), expiration: 60n }));

describe('a session', () => {
  it('is pinged, lives while bytes come, and ends 35 s after the last one', async () => {
    const pings: number[] = [];
    near.on('ping', () => pings.push(1));
    const start = Date.now();
    const pong = once(session.socket, 'pong');
    session.tick(start + 16_000);
    await eventually(() => expect(pings.length).toBe(1));
    // The pong is bytes: the clock starts anew.
    await pong;
    session.tick(start + 36_000);
    expect(session.socket.readyState).toBe(WebSocket.OPEN);
    near.pause();
    await new Promise((resolve) => setTimeout(resolve, 50));
    session.tick(start + 36_001);
    session.tick(start + 72_000);
    expect(session.socket.readyState).toBeGreaterThanOrEqual(WebSocket.CLOSING);
  });

  it('hears of nothing before what waits for it', async () => {
    const got: string[] = [];
    near.on('message', (data: Buffer) => got.push(data.toString('latin1')));
    for (const uid of ['a', 'b']) await queue.add(address(8), message(uid));
    const live = mail.deliver(address(8), message('c'));
    session.start();
    await live;
    await mail.deliver(address(8), message('d'));
    await eventually(() => expect(got.length).toBe(4));
    expect(got.map((text) => text[2])).toEqual(['a', 'b', 'c', 'd']);
    await eventually(async () => expect(await queue.read(address(8))).toEqual([]));
  });

  it('drops rubbish that another writer put into its queue', async () => {
    const got: unknown[] = [];
    near.on('message', (data) => got.push(data));
    await queue.add(address(8), Buffer.from('ffff', 'hex'));
    await queue.add(address(8), message('a'));
    session.start();
    await eventually(() => expect(got.length).toBe(1));
  });

  it('ends when nothing proves for long that it reads, and keeps what it was sent', async () => {
    session.start();
    await eventually(() => expect(session.trySend(message('a'))).toBe(true));
    near.pause();
    expect(session.trySend(message('b'))).toBe(true);
    session.tick(Date.now() + 61_000);
    await session.stored();
    const reasons = (await metrics.evictions.get()).values.map(({ labels }) => labels.reason);
    expect(reasons).toContain('back_pressure_timeout');
    const kept = await queue.read(address(8));
    expect(kept.map(({ bytes }) => Buffer.from(bytes).toString('latin1')[2])).toContain('b');
  });

  it('ends once', async () => {
    const closed: number[] = [];
    near.on('close', (code) => closed.push(code));
    session.end('cancelled', 4001);
    session.end('closed');
    session.reply(message('late'));
    await eventually(() => expect(closed).toEqual([4001]));
    expect((await metrics.evictions.get()).values.map(({ labels }) => labels.reason)).not.toContain('closed');
  });
});
