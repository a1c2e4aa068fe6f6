/** Clients and services written as the existing libraries write theirs, on both ends of a relay. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { startRedis, type TestRedis } from '../../modules/zbus/testing/redis.ts';
import { parseRedisUrl } from './redis.ts';
import { Site } from './testing/site.ts';

let site: Site;
/** The other peer's own Redis. */
let elsewhere: TestRedis;
let there: Redis;
const stopping = new AbortController();
const services: Promise<void>[] = [];

beforeAll(async () => {
  site = await Site.start();
  elsewhere = await startRedis();
  const other = await site.world.chain.add(42, 'sr25519');
  await site.front({ commands: ['testme'] });
  await site.front({
    twin: other,
    commands: ['calculator.add', 'calculator.fail', 'testme'],
    redis: parseRedisUrl(elsewhere.broker),
  });
  const { Redis } = await import('ioredis');
  const connect = (): Redis => {
    const redis = new Redis({ path: elsewhere.socket });
    redis.on('error', () => undefined);
    return redis;
  };
  there = connect();
  services.push(goService(connect()), ...[1, 2].map(() => echoService(connect())));
});
afterAll(async () => {
  stopping.abort();
  await Promise.all(services);
  there.disconnect(false);
  await site.stop();
  await elsewhere.stop();
});

/** As the Go library: one reader for all commands, five workers, answers with LPUSH, code 255 for errors. */
async function goService(redis: Redis): Promise<void> {
  const writer = redis.duplicate();
  const jobs = new Set<Promise<unknown>>();
  while (!stopping.signal.aborted) {
    const popped = await redis.brpop('msgbus.calculator.add', 'msgbus.calculator.fail', 1);
    if (popped === null) continue;
    const message = JSON.parse(popped[1]);
    const fails = message.cmd === 'calculator.fail';
    const numbers: number[] = JSON.parse(Buffer.from(message.dat, 'base64').toString());
    const result = fails ? null : numbers.reduce((sum, number) => sum + number, 0);
    const response = {
      ver: message.ver,
      ref: message.ref,
      dat: Buffer.from(JSON.stringify(result)).toString('base64'),
      dst: message.src,
      shm: message.shm,
      now: Math.floor(Date.now() / 1000),
      ...(fails ? { err: { code: 255, message: 'function not found' } } : {}),
    };
    const job = writer.lpush(message.ret, JSON.stringify(response)).finally(() => jobs.delete(job));
    jobs.add(job);
    while (jobs.size >= 5) await Promise.race(jobs);
  }
  await Promise.all(jobs);
  redis.disconnect(false);
  writer.disconnect(false);
}

/** As the tester's echo: BLPOP, the whole message back with source and destination exchanged. */
async function echoService(redis: Redis): Promise<void> {
  while (!stopping.signal.aborted) {
    const popped = await redis.blpop('msgbus.testme', 1);
    if (popped === null) continue;
    const { src, dst, ...message } = JSON.parse(popped[1]);
    message.now = Math.floor(Date.now() / 1000);
    await redis.lpush(message.ret, JSON.stringify({ ...message, dst: src, src: dst ?? null }));
  }
  redis.disconnect(false);
}

/** As the Go client: RPUSH, a list of its own, BLPOP in turns; no time, no reference. */
async function goCall(command: string, twin: number, data: unknown, seconds = 20): Promise<unknown> {
  const redis = site.connection();
  const ret = randomUUID();
  const request = {
    ...{ ver: 1, ref: '', cmd: command, exp: seconds, dat: Buffer.from(JSON.stringify(data)).toString('base64') },
    ...{ dst: [twin], con: null, ret, shm: 'application/json', now: 0 },
  };
  await redis.rpush('msgbus.system.local', JSON.stringify(request));
  for (let turn = 0; turn < 6; turn += 1) {
    const popped = await redis.blpop(ret, 5);
    if (popped === null) continue;
    redis.disconnect(false);
    const answer = JSON.parse(popped[1]);
    if (answer.err) throw new Error(`${answer.err.code} ${answer.err.message}`);
    expect(answer.shm).toBe('application/json');
    return JSON.parse(Buffer.from(answer.dat, 'base64').toString());
  }
  throw new Error('no answer');
}

describe('services behind another peer', () => {
  it('are called in the Go style', async () => {
    expect(await goCall('calculator.add', 42, [10, 20])).toBe(30);
    await expect(goCall('calculator.fail', 42, [])).rejects.toThrow('255 function not found');
    await expect(goCall('no.such', 42, [])).rejects.toThrow('0 function is not found');
    await expect(goCall('calculator.add', 43, [])).rejects.toThrow("103 unknown twin id '43'");
    await expect(goCall('calculator.add', 42, [], 0)).rejects.toThrow('102 envelope validation error');
  });

  it('are called many at once', { timeout: 60_000 }, async () => {
    const calls = Array.from({ length: 60 }, (_, i) => goCall('calculator.add', 42, [i, 1]));
    expect(await Promise.all(calls)).toEqual(calls.map((_, i) => i + 1));
  });

  it('are called in the TypeScript style', async () => {
    const redis = site.connection();
    const ref = randomUUID();
    const request = {
      ...{ ver: 1, ref, cmd: 'calculator.add', exp: 60, dat: Buffer.from('[1,2]').toString('base64'), tag: '' },
      ...{ dst: [42], ret: ref, shm: 'application/json', now: Math.floor(Date.now() / 1000) },
    };
    await redis.lpush('msgbus.system.local', JSON.stringify(request));
    const answer = JSON.parse((await redis.blpop(ref, 20))?.[1] ?? '');
    expect(answer).toMatchObject({ ref, err: null });
    expect(JSON.parse(Buffer.from(answer.dat, 'base64').toString('ascii'))).toBe(3);
  });

  it("answer all of the tester's 200 messages, twice over two twins", { timeout: 60_000 }, async () => {
    const redis = site.connection();
    onTestFinished(echoOf(site));
    const message = site.request({
      cmd: 'testme',
      ref: '',
      dst: [42, 7],
      dat: Buffer.from('X'.repeat(56)).toString('base64'),
    });
    const pipeline = redis.pipeline();
    for (let i = 0; i < 200; i += 1) pipeline.lpush('msgbus.system.local', JSON.stringify(message));
    await pipeline.exec();
    const sources = { '42': 0, '7': 0, wrong: 0 };
    for (let expected = 400; expected > 0; expected -= 1) {
      const popped = await redis.blpop(message.ret, 30);
      if (popped === null) break;
      const answer = JSON.parse(popped[1]);
      const right = answer.err === null && Buffer.from(answer.dat, 'base64').toString() === 'X'.repeat(56);
      sources[right ? (answer.src as '42' | '7') : 'wrong'] += 1;
    }
    expect(sources).toEqual({ '42': 200, '7': 200, wrong: 0 });
  });
});

/** The echo service on our own Redis, until told. */
function echoOf(here: Site): () => Promise<void> {
  const done = new AbortController();
  const redis = here.connection();
  const running = (async () => {
    while (!done.signal.aborted) {
      const popped = await redis.blpop('msgbus.testme', 1);
      if (popped === null) continue;
      const message = JSON.parse(popped[1]);
      await redis.lpush(message.ret, JSON.stringify({ ...message, dst: message.src, src: null }));
    }
  })();
  return async () => {
    done.abort();
    await running;
  };
}
