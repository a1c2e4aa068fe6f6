/** Live tests' ground: a broker of their own, servers and clients that are ended after each test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { ZbusClient } from '../client.ts';
import { isZbusError, type ZbusError } from '../errors.ts';
import { decodeResponse, encodeRequest } from '../frames.ts';
import { ZbusServer } from '../server.ts';
import { currentTrace } from '../trace.ts';
import { type CallLog, counter, counterService } from './counter.ts';
import { startRedis, type TestRedis } from './redis.ts';

export const QUEUE = 'test.counter@0.0.1';

export let redis: TestRedis;
/** A plain connection to look at the broker with. */
export let peek: Redis;
/** What a test started, ended in reverse after it. */
export const ends: Array<() => Promise<unknown>> = [];

beforeAll(async () => {
  redis = await startRedis();
  peek = new Redis({ path: redis.socket, protocol: 2 });
  peek.on('error', () => undefined);
});
afterAll(async () => {
  peek.disconnect();
  await redis.stop();
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
  await peek.flushall();
});

export async function serve(log: CallLog = [], concurrency?: number, end?: Promise<void>): Promise<ZbusServer> {
  const server = new ZbusServer({
    module: 'test',
    broker: redis.broker,
    ...(concurrency === undefined ? {} : { concurrency }),
  });
  server.serve(counter, counterService(log, currentTrace, end));
  await server.start();
  ends.push(() => server.stop(200));
  return server;
}

export function connect(options: { readonly replyPerCall?: readonly string[] } = {}): ZbusClient {
  const client = new ZbusClient({ broker: redis.broker, ...options });
  ends.push(() => client.close());
  return client;
}

export async function failure(work: Promise<unknown>): Promise<ZbusError> {
  const error = await work.then(
    (value) => new Error(`expected a failure, got ${JSON.stringify(value)}`),
    (reason: unknown) => reason,
  );
  if (!isZbusError(error)) throw error;
  return error;
}

/** What a Go client does: pushes a frame and waits on a list of its own. */
export async function rawCall(method: string, inputs: Uint8Array[], extra: { deadline?: number; queue?: string } = {}) {
  const id = `raw-${Math.random()}`;
  const object = { Name: 'counter', Version: '0.0.1' };
  const { queue = QUEUE, ...set } = extra;
  await peek.rpush(queue, encodeRequest({ id, inputs, object, replyTo: id, method, ...set }));
  const found = await peek.blpopBuffer(id, 20);
  if (found === null) throw new Error(`no answer to ${method}`);
  return decodeResponse(found[1]);
}

export async function keys(): Promise<string[]> {
  return (await peek.keys('*')).filter((key) => !key.startsWith('test:instance'));
}

/** Where the one process that serves keeps the counter's calls that it has taken. */
export async function workList(): Promise<string> {
  const [id, another] = await peek.hkeys('test:instances');
  if (id === undefined || another !== undefined) throw new Error('not one process serves the module');
  return `${QUEUE}:work:${id}`;
}

/** How many calls are taken and not answered. */
export async function taken(): Promise<number> {
  const lists = await peek.keys(`${QUEUE}:work:*`);
  const lengths = await Promise.all(lists.map((list) => peek.llen(list)));
  return lengths.reduce((sum, length) => sum + length, 0);
}

/** So many listen to the counter's ticks. */
export async function listening(count: number): Promise<void> {
  const channel = `${QUEUE}.Ticks`;
  await expect.poll(() => peek.pubsub('NUMSUB', channel)).toEqual([channel, count]);
}

/** The counter in a process of its own, to be killed. */
export async function spawnServer(): Promise<ChildProcess> {
  const script = new URL('./counter.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, redis.broker], { stdio: ['ignore', 'pipe', 'inherit'] });
  ends.push(async () => {
    if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL')) await once(child, 'exit');
  });
  await once(child.stdout, 'data');
  return child;
}
