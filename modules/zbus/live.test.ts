import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { decode, encode } from './codec.ts';
import { encodeRequest, Status } from './frames.ts';
import { ZbusServer } from './server.ts';
import { type CallLog, counter, counterService, Reading } from './testing/counter.ts';
import { connect, ends, failure, keys, listening, peek, QUEUE, rawCall, redis, serve, taken } from './testing/live.ts';
import { withTrace } from './trace.ts';
import { count64 } from './wire.ts';

const STATUS_QUEUE = 'test.zbus@1.0';

describe('calls', () => {
  it('returns values, tuples and nothing', async () => {
    await serve();
    const calls = connect().of(counter);
    expect(await calls.Add({ a: 40, b: 2 })).toBe(42);
    expect(await calls.Pair({ name: 'x' })).toEqual([{ Name: 'x', Value: 7, Tags: [] }, true]);
    expect(await calls.SleepBeside({ ms: 1 })).toBeUndefined();
    expect(await calls.Many({ label: 'l', names: ['a', 'b'] })).toEqual(['l', 'a', 'b']);
    expect(await calls.Many({ label: 'l', names: [] })).toEqual(['l']);
  });

  it('tells every answer to its own call, with many under way', async () => {
    await serve();
    const calls = connect().of(counter);
    const sums = await Promise.all(Array.from({ length: 500 }, (_, index) => calls.Add({ a: index, b: 1 })));
    expect(sums).toEqual(Array.from({ length: 500 }, (_, index) => index + 1));
    expect(await keys()).toEqual([]);
  });

  it('gives the text, code and details of an error', async () => {
    await serve();
    const error = await failure(connect().of(counter).Fail({ text: 'no space' }));
    expect(error).toMatchObject({
      kind: 'call_failed',
      message: 'no space',
      call: `${QUEUE}.Fail`,
      remote: { code: 'test_failure', details: { size: 5 } },
    });
  });

  it('tells a failure that Go would panic with', async () => {
    await serve();
    const error = await failure(connect().of(counter).Panic({}));
    expect(error.kind).toBe('protocol');
    expect(error.message).toContain('remote method call counter@0.0.1.Panic() paniced: out of order');
  });

  it('refuses 64-bit numbers that would be rounded, on either side', async () => {
    await serve();
    const calls = connect().of(counter);
    const sent = await failure(calls.Add({ a: 2 ** 53, b: 1 }));
    expect(sent.kind).toBe('protocol');
    expect(sent.message).toContain('a: 9007199254740992 is not a whole number that JavaScript holds exactly');
    const returned = await failure(calls.Large({ value: 2n ** 60n }));
    expect(returned).toMatchObject({ kind: 'call_failed' });
    expect(await calls.Large({ value: 2n ** 52n })).toBe(2 ** 52);
  });

  it('carries the correlation id', async () => {
    await serve();
    const calls = connect().of(counter);
    expect(await withTrace('request-1', () => calls.Trace({}))).toBe('request-1 request-1');
    const [given, current] = (await calls.Trace({})).split(' ');
    expect(given).toBe(current);
    expect(given).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('answers a Go client: its own reply list, 300 s to live, zero values beside an error', async () => {
    await serve();
    const text = Buffer.from([0xa2, 0x6e, 0x6f]);
    const response = await rawCall('Fail', [text]);
    expect(response.callError?.message).toBe('no');
    expect(decode(Reading, response.data ?? new Uint8Array())).toEqual({ Name: '', Value: 0, Tags: [] });
    expect((await rawCall('Nope', [])).protocolError).toBe('not a function');
    expect((await rawCall('Fail', [])).protocolError).toBe('invalid number of arguments expecting 1 got 0');
    expect((await rawCall('Fail', [Buffer.from([7])])).protocolError).toBe(
      'invalid argument type [0] expecting string got',
    );
    const object = { Name: 'counter', Version: '0.0.1' };
    await peek.rpush(QUEUE, encodeRequest({ id: 'A', inputs: [], object, replyTo: 'unread', method: 'Trace' }));
    await expect.poll(() => peek.ttl('unread')).toBeGreaterThan(290);
  });

  it('drops what is no request and goes on', async () => {
    await serve();
    await peek.rpush(QUEUE, 'junk');
    expect(await connect().of(counter).Add({ a: 1, b: 1 })).toBe(2);
    expect(await keys()).toEqual([]);
  });
});

describe('order', () => {
  it('runs calls with one key after another, others beside them', async () => {
    const log: CallLog = [];
    const { promise: end, resolve } = Promise.withResolvers<void>();
    await serve(log, undefined, end);
    const calls = connect().of(counter);
    const order = ['a', 'b', 'a'].map((name) => calls.Sleep({ name, ms: 0 }));
    const all = Promise.all([...order, calls.SleepBeside({ ms: 0 })]);
    await expect.poll(taken).toBe(4);
    await expect.poll(() => log.toSorted()).toEqual(['+a', '+b', '+beside']);
    resolve();
    await all;
    const a = log.filter((entry) => entry.endsWith('a'));
    expect(a).toEqual(['+a', '-a', '+a', '-a']);
  });

  it('runs an unkeyed change alone, in the order of arrival', async () => {
    const log: CallLog = [];
    await serve(log);
    const calls = connect().of(counter);
    await Promise.all([
      calls.Sleep({ name: 'a', ms: 30 }),
      calls.SleepAlone({ ms: 30 }),
      calls.Sleep({ name: 'b', ms: 1 }),
    ]);
    expect(log).toEqual(['+a', '-a', '+alone', '-alone', '+b', '-b']);
  });

  it('never runs more at once than it may', async () => {
    const log: CallLog = [];
    await serve(log, 2);
    const calls = connect().of(counter);
    await Promise.all(Array.from({ length: 12 }, () => calls.SleepBeside({ ms: 5 })));
    let running = 0;
    let most = 0;
    for (const entry of log) {
      running += entry.startsWith('+') ? 1 : -1;
      most = Math.max(most, running);
    }
    expect(most).toBe(2);
  });
});

describe('waits', () => {
  it('says when nothing serves the module, and leaves nothing behind', async () => {
    const error = await failure(connect().of(counter).Add({ a: 1, b: 1 }, { deadlineMs: 600 }));
    expect(error.kind).toBe('no_such_module');
    expect(error.message).toMatch(/nothing took the call for \d+ ms.*check that the module is running/);
    await expect.poll(keys).toEqual([]);
  });

  it('does not wait for a deadline when the module is down', async () => {
    const started = performance.now();
    const error = await failure(connect().of(counter).Add({ a: 1, b: 1 }));
    expect(error.kind).toBe('no_such_module');
    expect(performance.now() - started).toBeLessThan(20_000);
    expect(await keys()).toEqual([]);
  });

  it('says when the module is busy, and takes the call back', async () => {
    const log: CallLog = [];
    const { promise: end, resolve } = Promise.withResolvers<void>();
    await serve(log, 1, end);
    const client = connect();
    const calls = client.of(counter);
    // One runs, three are taken and wait; the rest lie in the queue.
    const slow = Array.from({ length: 8 }, () => calls.SleepBeside({ ms: 0 }));
    await expect.poll(() => peek.llen(QUEUE)).toBe(4);
    // Long enough for the module to say that it lives.
    const error = await failure(calls.Add({ a: 1, b: 1 }, { deadlineMs: 2_000 }));
    expect(error.kind).toBe('busy');
    expect(error.message).toContain('the call was withdrawn and will not run');
    resolve();
    await Promise.all(slow);
    expect(await keys()).toEqual([]);
  });

  it('gives up at the deadline and tells the handler', async () => {
    const log: CallLog = [];
    const { promise: end, resolve } = Promise.withResolvers<void>();
    const server = new ZbusServer({ module: 'test', broker: redis.broker });
    const { Sleep } = counterService(log);
    server.serve(counter, { ...counterService(log, undefined, end), Sleep });
    await server.start();
    ends.push(() => server.stop(200));
    const calls = connect().of(counter);
    // Long enough to be taken within it on a busy machine.
    const error = await failure(calls.SleepBeside({ ms: 0 }, { deadlineMs: 1_000 }));
    expect(error.kind).toBe('deadline');
    expect(error.message).toContain('may still finish');
    expect(error.waitedMs).toBeGreaterThanOrEqual(995);
    await calls.Sleep({ name: 'a', ms: 60_000 }, { deadlineMs: 1_000 }).catch(() => undefined);
    await expect.poll(() => log).toEqual(['+beside', '+a', '!a', '-a']);
    resolve();
    await expect.poll(() => log.at(-1)).toBe('-beside');
  });

  it('tells what a handler says of being ended at the deadline to nobody: it is the deadline that ended the call', async () => {
    const server = new ZbusServer({ module: 'test', broker: redis.broker });
    const ended: string[] = [];
    server.serve(counter, {
      ...counterService(),
      SleepBeside: async ({ ms }, { signal }) => {
        await sleep(ms, undefined, { signal }).catch((error: unknown) => {
          ended.push(String(error));
          throw error;
        });
      },
    });
    await server.start();
    ends.push(() => server.stop(200));
    const asked = { deadline: Date.now() + 1_000, id: 'late', replyTo: 'late-answers', method: 'SleepBeside' };
    const object = { Name: 'counter', Version: '0.0.1' };
    await peek.rpush(QUEUE, encodeRequest({ ...asked, object, inputs: [encode(count64, 60_000)] }));
    await expect.poll(() => ended).toEqual(['AbortError: The operation was aborted']);
    const calls = connect().of(counter);
    expect(await calls.Add({ a: 1, b: 2 })).toBe(3);
    expect(await peek.llen('late-answers')).toBe(0);
    const error = await failure(calls.SleepBeside({ ms: 20_000 }, { deadlineMs: 1_000 }));
    expect(error.kind).toBe('deadline');
  });

  it('does not run a call whose deadline has passed', async () => {
    const log: CallLog = [];
    const name = Buffer.from([0xa1, 0x61]);
    const response = rawCall('Sleep', [name, Buffer.from([1])], { deadline: Date.now() - 50 });
    await serve(log);
    expect((await response).callError?.message).toMatch(/deadline passed \d+ ms before the call was started/);
    expect((await response).data).toEqual(new Uint8Array([0xa0]));
    expect(log).toEqual([]);
  });

  it('is cancelled by the caller, before and after the call was taken', async () => {
    const calls = connect().of(counter);
    const first = new AbortController();
    const untaken = failure(calls.Add({ a: 1, b: 1 }, { signal: first.signal }));
    await expect.poll(() => peek.llen(QUEUE)).toBe(1);
    first.abort();
    expect(await untaken).toMatchObject({ kind: 'cancelled' });
    expect((await untaken).message).toContain('was withdrawn and will not run');
    const log: CallLog = [];
    await serve(log);
    const second = new AbortController();
    const taken = failure(calls.Sleep({ name: 'a', ms: 60_000 }, { signal: second.signal }));
    await expect.poll(() => log).toEqual(['+a']);
    second.abort();
    expect((await taken).message).toContain('was already taken and may finish');
    expect(await failure(calls.Add({ a: 1, b: 1 }, { signal: AbortSignal.abort() }))).toMatchObject({
      kind: 'cancelled',
    });
  });

  it('ends calls under way when the client is closed', async () => {
    await serve();
    const client = connect();
    const call = failure(client.of(counter).Sleep({ name: 'a', ms: 60_000 }));
    await expect.poll(taken).toBe(1);
    await client.close();
    expect(await call).toMatchObject({ kind: 'cancelled' });
    expect(await failure(client.of(counter).Add({ a: 1, b: 1 }))).toMatchObject({ kind: 'cancelled' });
  });
});

describe('status', () => {
  it('lists objects and workers while every worker is busy', async () => {
    const log: CallLog = [];
    const { promise: end, resolve } = Promise.withResolvers<void>();
    await serve(log, 1, end);
    const client = connect();
    const slow = client.of(counter).Sleep({ name: 'a', ms: 0 });
    await expect.poll(() => log).toEqual(['+a']);
    const status = await client.status('test');
    expect(status.Objects).toEqual([{ Name: 'counter', Version: '0.0.1' }]);
    expect(status.Workers[0]).toMatchObject({ State: 'busy', Action: '[counter@0.0.1].Sleep()' });
    resolve();
    await slow;
    expect((await client.status('test')).Workers).toMatchObject([{ State: 'free', Action: '' }]);
  });

  it('answers whatever the request holds', async () => {
    await serve();
    const response = await rawCall('Anything', [new Uint8Array([1])], { queue: STATUS_QUEUE });
    expect(decode(Status, response.data ?? new Uint8Array()).Objects).toHaveLength(1);
  });

  it('names a module that is silent', async () => {
    const error = await failure(connect().status('nobody', { deadlineMs: 100 }));
    expect(error.kind).toBe('no_such_module');
    expect(await keys()).toEqual([]);
  });
});

describe('streams', () => {
  it('begin anew after a failure', async () => {
    let lives = 0;
    async function* failing(signal: AbortSignal): AsyncGenerator<number> {
      lives += 1;
      while (!signal.aborted) {
        yield lives;
        await sleep(20);
        if (lives === 1) throw new Error('the first life ends badly');
      }
    }
    const server = new ZbusServer({ module: 'test', broker: redis.broker });
    server.serve(counter, { ...counterService([], () => ''), Ticks$: failing });
    await server.start();
    ends.push(() => server.stop(200));
    const stop = AbortSignal.timeout(20_000);
    for await (const tick of connect().stream(counter, 'Ticks', { signal: stop })) if (tick === 2) break;
    expect(lives).toBe(2);
  });

  it('gives events in order and none that lacks its type', async () => {
    await serve();
    const ticks: number[] = [];
    const stop = AbortSignal.timeout(20_000);
    for await (const tick of connect().stream(counter, 'Ticks', { signal: stop })) {
      ticks.push(tick);
      if (ticks.length === 6) break;
    }
    expect(ticks).toHaveLength(6);
    expect(ticks).toEqual(ticks.toSorted((a, b) => a - b));
    expect(ticks.every((tick) => tick % 3 !== 2)).toBe(true);
  });

  it('ends when its signal aborts and drops what it cannot read', async () => {
    const client = connect();
    const stop = new AbortController();
    const seen: number[] = [];
    const reading = (async () => {
      for await (const tick of client.stream(counter, 'Ticks', { signal: stop.signal })) seen.push(tick);
    })();
    await listening(1);
    await peek.publish(`${QUEUE}.Ticks`, Buffer.from([0xcb, 0, 0, 0, 0, 0, 0, 0, 0]));
    await peek.publish(`${QUEUE}.Ticks`, encode(counter.streams.Ticks, 5));
    await expect.poll(() => seen).toEqual([5]);
    stop.abort();
    await reading;
  });

  it('ends as given up when the client is closed while it subscribes', async () => {
    const client = connect();
    const stop = new AbortController();
    const first = client.stream(counter, 'Ticks', { signal: stop.signal });
    const next = first.next();
    await listening(1);
    // The broker takes its time, and nobody hears of the second subscription.
    await peek.client('PAUSE', 500);
    const second = failure(client.stream(counter, 'Ticks').next());
    await new Promise((resolve) => setImmediate(resolve));
    stop.abort();
    await client.close();
    expect(await second).toMatchObject({ kind: 'cancelled' });
    await next;
  });

  it('disconnects a listener that falls too far behind, with a reason', async () => {
    const client = connect();
    const events = client.stream(counter, 'Ticks');
    const first = events.next();
    await listening(1);
    // Another one that keeps up shows what has come.
    let came = 0;
    const stop = new AbortController();
    const reading = (async () => {
      for await (const _ of client.stream(counter, 'Ticks', { signal: stop.signal })) came += 1;
    })();
    const payload = encode(counter.streams.Ticks, 1);
    const tell = (): Promise<number> => peek.publish(`${QUEUE}.Ticks`, payload);
    await tell();
    await first;
    for (let told = 1; told <= 1_101; told += 100) {
      await expect.poll(() => came).toBe(told);
      await Promise.all(Array.from({ length: 100 }, tell));
    }
    stop.abort();
    await reading;
    const error = await failure(
      (async () => {
        for await (const _ of events) await Promise.resolve();
      })(),
    );
    expect(error.message).toContain('read faster');
  });
});
