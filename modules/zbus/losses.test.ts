import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { ZbusClient } from './client.ts';
import { decodeResponse, encodeRequest } from './frames.ts';
import { ZbusServer } from './server.ts';
import { type CallLog, counter, counterService } from './testing/counter.ts';
import {
  connect,
  ends,
  failure,
  keys,
  peek,
  QUEUE,
  redis,
  serve,
  spawnServer,
  taken,
  workList,
} from './testing/live.ts';
import { startRedis } from './testing/redis.ts';

describe('losses', () => {
  it('goes on after the broker was restarted and lost everything', async () => {
    const log: CallLog = [];
    await serve(log);
    const client = connect();
    const calls = client.of(counter);
    const seen: number[] = [];
    const stop = new AbortController();
    const listening = (async () => {
      for await (const tick of client.stream(counter, 'Ticks', { signal: stop.signal })) seen.push(tick);
    })();
    expect(await calls.Add({ a: 1, b: 1 })).toBe(2);
    const underWay = failure(calls.Sleep({ name: 'a', ms: 60_000 }));
    await expect.poll(() => log).toEqual(['+a']);
    await redis.restart(100);
    expect((await underWay).kind).toBe('bus_lost');
    expect(await calls.Add({ a: 2, b: 2 })).toBe(4);
    expect((await client.status('test')).Objects).toHaveLength(1);
    const before = seen.length;
    await expect.poll(() => seen.length).toBeGreaterThan(before);
    expect(log.filter((entry) => entry === '+a')).toHaveLength(1);
    stop.abort();
    await listening;
  });

  it('goes on after the broker was emptied', async () => {
    await serve();
    const calls = connect().of(counter);
    await calls.Add({ a: 1, b: 1 });
    await peek.flushall();
    expect(await calls.Add({ a: 2, b: 2 })).toBe(4);
  });

  it('says that the broker is gone, within seconds', async () => {
    const lonely = await startRedis();
    const client = new ZbusClient({ broker: lonely.broker });
    ends.push(() => client.close());
    await lonely.stop();
    const error = await failure(client.of(counter).Add({ a: 1, b: 1 }, { deadlineMs: 300 }));
    expect(error.kind).toBe('bus_lost');
    expect(error.message).toContain('check that its redis-server runs');
    const server = new ZbusServer({ module: 'test', broker: lonely.broker });
    const started = server.start();
    started.catch(() => undefined);
    await server.stop(10);
  });

  it('runs a call that was lost between the broker and the server', async () => {
    const log: CallLog = [];
    await serve(log);
    const calls = connect().of(counter);
    await calls.Add({ a: 1, b: 1 });
    // As if the connection had broken after the broker moved the call.
    const object = { Name: 'counter', Version: '0.0.1' };
    const inputs = [Buffer.from([0xa1, 0x61]), Buffer.from([1])];
    await peek.rpush(await workList(), encodeRequest({ id: 'lost', inputs, object, replyTo: 'lost', method: 'Sleep' }));
    await peek.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    const found = await peek.blpopBuffer('lost', 20);
    expect(decodeResponse(found?.[1] ?? Buffer.alloc(0)).data).toEqual(new Uint8Array([0xa1, 0x61]));
    expect(log).toEqual(['+a', '-a']);
    await expect.poll(() => taken()).toBe(0);
  });

  it('ends a lost connection that the broker still holds, as that would take calls', async () => {
    await serve();
    const calls = connect().of(counter);
    await calls.Add({ a: 1, b: 1 });
    const held = peek.duplicate();
    ends.push(async () => held.disconnect());
    await held.client('SETNAME', await workList());
    const id = Number(await held.client('ID'));
    const ended = once(held, 'close');
    const list = String(await peek.client('LIST', 'TYPE', 'NORMAL'));
    for (const line of list.split('\n')) {
      const [, other, name] = /^id=(\d+) .*? name=(\S*) /.exec(line) ?? [];
      if (other !== undefined && Number(other) !== id && name === (await workList())) {
        await peek.client('KILL', 'ID', Number(other));
      }
    }
    await ended;
    expect(await calls.Add({ a: 2, b: 2 })).toBe(4);
  });

  it('answers calls that a killed server had begun, and does not run them again', async () => {
    const child = await spawnServer();
    const client = connect();
    const begun = failure(client.of(counter).Sleep({ name: 'a', ms: 60_000 }));
    await expect.poll(() => taken()).toBe(1);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const log: CallLog = [];
    await serve(log);
    expect(await begun).toMatchObject({
      kind: 'call_failed',
      message: 'server restarted before the call was finished',
      // Callers may make it again.
      remote: { code: 'bus_call_interrupted' },
    });
    expect(log).toEqual([]);
    expect(await keys()).toEqual([]);
    expect(await client.of(counter).Add({ a: 1, b: 1 })).toBe(2);
  });

  it('sees a second server of the module and leaves its calls alone', async () => {
    const child = await spawnServer();
    const calls = connect().of(counter);
    const begun = calls.Sleep({ name: 'a', ms: 1_500 });
    await expect.poll(() => taken()).toBe(1);
    const errors: string[] = [];
    const note = (...args: unknown[]): void => void errors.push(String(args.at(-1)));
    const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: note };
    const second = new ZbusServer({ module: 'test', broker: redis.broker, log });
    second.serve(counter, counterService());
    await second.start();
    ends.push(() => second.stop(100));
    expect(errors).toEqual([expect.stringContaining('ANOTHER PROCESS SERVES THIS MODULE')]);
    expect(await begun).toBe('a');
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
});

describe('a full broker', () => {
  it('refuses calls, which is said, and is used again when it has room', async () => {
    const log: CallLog = [];
    const { promise: end, resolve } = Promise.withResolvers<void>();
    await serve(log, undefined, end);
    const calls = connect().of(counter);
    expect(await calls.Add({ a: 1, b: 1 })).toBe(2);
    const underWay = calls.Sleep({ name: 'a', ms: 0 });
    await expect.poll(() => log).toEqual(['+a']);
    await peek.config('SET', 'maxmemory', '1');
    ends.push(() => peek.config('SET', 'maxmemory', '0'));
    const refused = await failure(calls.Add({ a: 1, b: 1 }));
    expect(refused.kind).toBe('bus_lost');
    expect(refused.message).toContain('the call was not sent');
    resolve();
    await expect.poll(() => log).toEqual(['+a', '-a']);
    await peek.config('SET', 'maxmemory', '0');
    // Its answer was kept for as long.
    expect(await underWay).toBe('a');
    expect(await calls.Add({ a: 2, b: 2 })).toBe(4);
    expect(await keys()).toEqual([]);
  });
});

describe('an older broker', () => {
  it('is served without the command that pops many at once', async () => {
    const older = await startRedis(['--rename-command', 'BLMPOP', '']);
    ends.push(() => older.stop());
    const server = new ZbusServer({ module: 'test', broker: older.broker });
    server.serve(counter, counterService());
    await server.start();
    ends.push(() => server.stop(200));
    const client = new ZbusClient({ broker: older.broker });
    ends.push(() => client.close());
    const calls = client.of(counter);
    const sums = await Promise.all(Array.from({ length: 50 }, (_, index) => calls.Add({ a: index, b: 0 })));
    expect(sums).toEqual(Array.from({ length: 50 }, (_, index) => index));
  });
});

describe('a graceful stop', () => {
  it('finishes what runs and puts back what has not begun', async () => {
    const log: CallLog = [];
    const { promise: end, resolve } = Promise.withResolvers<void>();
    const server = await serve(log, undefined, end);
    const calls = connect().of(counter);
    const order = [1, 2, 3].map(() => calls.Sleep({ name: 'a', ms: 1 }));
    await expect.poll(() => log).toEqual(['+a']);
    await expect.poll(taken).toBe(3);
    const stopping = server.stop(20_000);
    resolve();
    await stopping;
    expect(await order[0]).toBe('a');
    expect(await peek.llen(QUEUE)).toBe(2);
    expect(await peek.exists('test:instances')).toBe(0);
    const next: CallLog = [];
    await serve(next);
    expect(await Promise.all(order)).toEqual(['a', 'a', 'a']);
    expect(next).toEqual(['+a', '-a', '+a', '-a']);
  });

  it('ends handlers that take too long', async () => {
    const log: CallLog = [];
    const server = await serve(log);
    const call = connect().of(counter).Sleep({ name: 'a', ms: 60_000 });
    await expect.poll(() => log).toEqual(['+a']);
    const started = performance.now();
    await server.stop(100);
    expect(performance.now() - started).toBeLessThan(20_000);
    expect(log).toEqual(['+a', '!a', '-a']);
    expect(await call).toBe('a');
  });

  it('refuses what cannot be served', () => {
    const server = new ZbusServer({ module: 'test', broker: redis.broker });
    server.serve(counter, counterService());
    expect(() => server.serve(counter, counterService())).toThrow('object already exists');
    const reserved = { module: 'test', object: 'zbus', version: '1.0', methods: {}, streams: {} };
    expect(() => server.serve(reserved, {} as never)).toThrow('object id is reserved');
    expect(() => server.serve({ ...counter, module: 'other' }, counterService())).toThrow('belongs to module other');
    expect(() => server.serve({ ...counter, object: 'x' }, {} as never)).toThrow('has no handler for Add');
    expect(() => new ZbusServer({ module: 'test', broker: redis.broker, concurrency: 0 })).toThrow(
      'invalid number of workers',
    );
    expect(() => new ZbusClient({ broker: 'redis://localhost' })).toThrow(
      "unknown scheme 'redis' expecting tcp or unix",
    );
  });
});
