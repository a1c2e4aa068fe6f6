/** Callers that give up, modules in two versions, peers with habits of their own. */
import { describe, expect, it } from 'vitest';
import { ZbusClient } from './client.ts';
import { encode } from './codec.ts';
import { defineInterface } from './definition.ts';
import { decodeRequest, encodeResponse } from './frames.ts';
import { ZbusServer } from './server.ts';
import { type CallLog, counter } from './testing/counter.ts';
import { connect, ends, failure, keys, peek, QUEUE, redis, serve, taken } from './testing/live.ts';
import { signed64, str } from './wire.ts';

describe('a caller that gives up', () => {
  it('is heard by the handler that runs for it, and by no other', async () => {
    const log: CallLog = [];
    await serve(log);
    const calls = connect().of(counter);
    const giving = new AbortController();
    const given = failure(calls.Sleep({ name: 'a', ms: 60_000 }, { signal: giving.signal }));
    const other = calls.Sleep({ name: 'b', ms: 300 });
    await expect.poll(() => log.filter((entry) => entry.startsWith('+')).toSorted()).toEqual(['+a', '+b']);
    giving.abort();
    expect(await given).toMatchObject({ kind: 'cancelled' });
    await expect.poll(() => log).toContain('-a');
    expect(await other).toBe('b');
    expect(log).not.toContain('!b');
  });

  it('leaves a call that waits for its turn unrun', async () => {
    const log: CallLog = [];
    const { promise: end, resolve } = Promise.withResolvers<void>();
    await serve(log, undefined, end);
    const calls = connect().of(counter);
    const first = calls.Sleep({ name: 'a', ms: 0 });
    await expect.poll(() => log).toEqual(['+a']);
    const giving = new AbortController();
    const second = failure(calls.Sleep({ name: 'a', ms: 1 }, { signal: giving.signal }));
    await expect.poll(() => taken()).toBe(2);
    giving.abort();
    expect(await second).toMatchObject({ kind: 'cancelled' });
    // Word of it goes before the next call.
    expect(await calls.Add({ a: 1, b: 1 })).toBe(2);
    resolve();
    await first;
    await expect.poll(() => taken()).toBe(0);
    expect(log).toEqual(['+a', '-a']);
  });
});

describe('a module', () => {
  it('serves two versions of an object at once', async () => {
    const older = defineInterface({
      module: 'test',
      object: 'greeter',
      version: '0.0.1',
      methods: { Greet: { args: { name: str }, returns: [str], fails: true } },
      streams: {},
    });
    const newer = defineInterface({
      ...older,
      version: '1.0.0',
      methods: { Greet: { args: { name: str, times: signed64 }, returns: [str], fails: true } },
    });
    const server = new ZbusServer({ module: 'test', broker: redis.broker });
    server.serve(older, { Greet: ({ name }) => `hello ${name}` });
    server.serve(newer, { Greet: ({ name, times }) => `hello ${name} `.repeat(times).trim() });
    await server.start();
    ends.push(() => server.stop(200));
    const client = connect();
    expect(await client.of(older).Greet({ name: 'a' })).toBe('hello a');
    expect(await client.of(newer).Greet({ name: 'a', times: 2 })).toBe('hello a hello a');
    expect((await client.status('test')).Objects).toEqual([
      { Name: 'greeter', Version: '0.0.1' },
      { Name: 'greeter', Version: '1.0.0' },
    ]);
    const unserved = { ...older, version: '2.0.0' };
    const refused = await failure(client.of(unserved).Greet({ name: 'a' }, { deadlineMs: 20_000 }));
    expect(refused.kind).toBe('protocol');
    expect(refused.message).toContain('unknown object, the module serves greeter@0.0.1, greeter@1.0.0');
    expect(await keys()).toEqual([]);
  });
});

describe('a peer that answers on a list named after the call', () => {
  /** As the Rust library does: it ignores where the caller waits. */
  async function answerByName(count: number): Promise<void> {
    const line = peek.duplicate();
    ends.push(async () => line.disconnect());
    for (let served = 0; served < count; served++) {
      const found = await line.blpopBuffer(QUEUE, 20);
      if (found === null) throw new Error('no call came');
      const { id, replyTo, method } = decodeRequest(found[1]);
      expect(replyTo).toBe(id);
      const data = method === 'Add' ? encode(signed64, served) : encode(str, 'done');
      await peek.rpush(id, encodeResponse({ id, data }));
      await peek.expire(id, 300);
    }
  }

  it('is called by clients that know it', async () => {
    const client = new ZbusClient({ broker: redis.broker, replyPerCall: ['test'] });
    ends.push(() => client.close());
    const peer = answerByName(40);
    const calls = client.of(counter);
    const all = Array.from({ length: 40 }, () => calls.Add({ a: 1, b: 1 }, { deadlineMs: 20_000 }));
    expect((await Promise.all(all)).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i));
    await peer;
    expect(await keys()).toEqual([]);
  });

  it('may be silent: the call is withdrawn at its deadline, a taken one given up', async () => {
    const client = new ZbusClient({ broker: redis.broker, replyPerCall: ['test'] });
    ends.push(() => client.close());
    const calls = client.of(counter);
    expect(await failure(calls.Add({ a: 1, b: 1 }, { deadlineMs: 200 }))).toMatchObject({ kind: 'busy' });
    expect(await keys()).toEqual([]);
    const taken = failure(calls.Add({ a: 1, b: 1 }, { deadlineMs: 1_500 }));
    await expect.poll(() => peek.lpop(QUEUE)).not.toBeNull();
    expect(await taken).toMatchObject({ kind: 'deadline' });
    const peer = answerByName(1);
    expect(await calls.Add({ a: 1, b: 1 }, { deadlineMs: 20_000 })).toBe(0);
    await peer;
  });

  it('is waited for no longer than its client lives', async () => {
    const client = new ZbusClient({ broker: redis.broker, replyPerCall: ['test'] });
    const call = failure(client.of(counter).Add({ a: 1, b: 1 }, { deadlineMs: 60_000 }));
    await expect.poll(() => peek.llen(QUEUE)).toBe(1);
    await client.close();
    expect(await call).toMatchObject({ kind: 'cancelled' });
  });
});
