/** What strangers may write to the broker: nothing of it stops a module or a caller. */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { encode } from './codec.ts';
import { defineInterface } from './definition.ts';
import { decodeRequest, decodeResponse, encodeRequest, encodeResponse } from './frames.ts';
import { FRAME_MOST_BYTES } from './limits.ts';
import { ZbusServer } from './server.ts';
import { type CallLog, counter } from './testing/counter.ts';
import { connect, ends, failure, keys, peek, QUEUE, rawCall, redis, serve, spawnServer } from './testing/live.ts';
import { count64, int64, str } from './wire.ts';

const STATUS_QUEUE = 'test.zbus@1.0';
const OBJECT = { Name: 'counter', Version: '0.0.1' };
const MIB = 1024 * 1024;
const hex = (text: string): Buffer => Buffer.from(text, 'hex');

/** An array in an array and so on. */
const nested = (depth: number): Buffer => Buffer.concat([Buffer.alloc(depth, 0x91), hex('c0')]);

/** A call with one argument that has the given bytes. */
const callWith = (method: string, ...inputs: Uint8Array[]): Buffer =>
  encodeRequest({ id: 'stranger', inputs, object: OBJECT, replyTo: 'stranger', method });

const good = callWith('Fail', encode(str, 'no'));

const UNREADABLE: ReadonlyArray<readonly [string, Buffer]> = [
  ['nothing', Buffer.alloc(0)],
  ['text', Buffer.from('hello')],
  ['a number', hex('07')],
  ['a map with the wrong types', hex('82a24944c3a6496e7075747301')],
  ['a map that is cut off', good.subarray(0, 40)],
  ['a map that is longer than it says', hex('dfffffffff')],
  ['a list that is longer than it says', hex('81a6496e70757473ddffffffff')],
  ['bytes that are longer than they say', hex('81a6496e7075747391c6ffffffff')],
  ['the code that means nothing', hex('c1')],
  ['an unknown key nested 10,000 deep', Buffer.concat([hex('81a158'), nested(10_000)])],
  ['a trace nested 10,000 deep', Buffer.concat([hex('81a55472616365'), nested(10_000)])],
  ['a million inputs of nothing', Buffer.concat([hex('81a6496e70757473dd00100000'), Buffer.alloc(0x10_0000, 0xc0)])],
];

describe('a module', () => {
  it('drops every frame that is no request, on its queue and on that of its status, and goes on', async () => {
    await serve();
    for (const [, frame] of UNREADABLE) await peek.rpush(QUEUE, frame);
    for (const [, frame] of UNREADABLE) await peek.rpush(STATUS_QUEUE, frame);
    const client = connect();
    expect(await client.of(counter).Add({ a: 1, b: 1 })).toBe(2);
    expect((await client.status('test')).Objects).toHaveLength(1);
    await expect.poll(keys).toEqual([]);
  });

  it('answers a status behind a hundred frames of garbage within its three seconds', async () => {
    await serve();
    const garbage = Array.from({ length: 100 }, (_, index) => Buffer.from([0xc1, index]));
    await peek.rpush(STATUS_QUEUE, ...garbage);
    expect((await connect().status('test')).Objects).toHaveLength(1);
  });

  it('refuses calls in the words that Go peers know', async () => {
    await serve();
    const text = encode(str, 'a');
    const refusal = async (method: string, ...inputs: Uint8Array[]) => (await rawCall(method, inputs)).protocolError;
    expect(await refusal('Nope')).toBe('not a function');
    expect(await refusal('')).toBe('not a function');
    expect(await refusal('add')).toBe('not a function');
    expect(await refusal('Ticks')).toBe('not a function');
    expect(await refusal('Add', hex('01'))).toBe('invalid number of arguments expecting 2 got 1');
    expect(await refusal('Add', hex('01'), hex('01'), hex('01'))).toBe('invalid number of arguments expecting 2 got 3');
    expect(await refusal('Many')).toBe('invalid number of arguments expecting 1 got 0');
    expect(await refusal('Add', hex('01'), text)).toBe('invalid argument type [1] expecting int64 got');
    expect(await refusal('Add', hex('cb3ff0000000000000'), hex('01'))).toBe(
      'invalid argument type [0] expecting int64 got',
    );
    expect(await refusal('Fail', nested(10_000))).toBe('invalid argument type [0] expecting string got');
    expect(await refusal('Fail', hex('dbffffffff61'))).toBe('invalid argument type [0] expecting string got');
    expect(await refusal('Fail', new Uint8Array(0))).toBe('invalid argument type [0] expecting string got');
    expect(await refusal('Many', text, hex('01'))).toBe('invalid argument type [2] expecting test.Name');
    for (const object of [
      { Name: 'counter', Version: '9' },
      { Name: 'counter', Version: '' },
      { Name: 'x', Version: '0.0.1' },
    ]) {
      await peek.rpush(QUEUE, encodeRequest({ id: 'A', inputs: [], object, replyTo: 'B', method: 'Panic' }));
      const found = await peek.blpopBuffer('B', 20);
      expect(decodeResponse(found?.[1] ?? Buffer.alloc(0))).toMatchObject({ id: 'A', protocolError: 'unknown object' });
    }
  });

  it('answers a bare nil on the list without a name, as Go does', async () => {
    await serve();
    await peek.rpush(QUEUE, hex('c0'));
    const found = await peek.blpopBuffer('', 20);
    expect(decodeResponse(found?.[1] ?? Buffer.alloc(0))).toMatchObject({ id: '', protocolError: 'unknown object' });
  });

  it('drops an answer to a key that is no list, and keeps nobody waiting for it', async () => {
    await serve([], 1);
    await peek.set('no list', 'x', 'EX', 60);
    const frames = Array.from({ length: 20 }, (_, index) =>
      encodeRequest({ id: `${index}`, inputs: [], object: OBJECT, replyTo: 'no list', method: 'Trace' }),
    );
    await peek.rpush(QUEUE, ...frames);
    const status = { id: 's', inputs: [], object: { Name: 'zbus', Version: '1.0' }, replyTo: 'no list', method: '' };
    await peek.rpush(STATUS_QUEUE, encodeRequest(status));
    const client = connect();
    expect(await client.of(counter).Add({ a: 1, b: 1 })).toBe(2);
    expect((await client.status('test')).Objects).toHaveLength(1);
    await expect.poll(keys).toEqual(['no list']);
  });

  it('serves again once its queue is a list again', async () => {
    await peek.set(QUEUE, 'no list');
    await serve();
    await sleep(100);
    await peek.del(QUEUE);
    expect(await connect().of(counter).Add({ a: 1, b: 1 })).toBe(2);
  });

  it('refuses a frame of 64 MiB unread, says so to its caller, and keeps none of it', {
    timeout: 120_000,
  }, async () => {
    const server = await spawnServer();
    await expect.poll(() => peek.hlen('test:instances')).toBe(1);
    const large = callWith('Fail', Buffer.alloc(64 * MIB, 0xc0));
    const list = Buffer.concat([hex('81a6496e70757473dd04000000'), Buffer.alloc(64 * MIB, 0xc0)]);
    for (let round = 0; round < 2; round++) {
      await peek.rpush(QUEUE, large);
      const found = await peek.blpopBuffer('stranger', 20);
      expect(decodeResponse(found?.[1] ?? Buffer.alloc(0))).toMatchObject({
        id: 'stranger',
        protocolError: `the request has ${large.length} bytes, more than the ${FRAME_MOST_BYTES} of a message of the bus`,
      });
      await peek.rpush(QUEUE, list);
      await peek.rpush(STATUS_QUEUE, list);
      await expect.poll(() => keys(), { timeout: 20_000 }).toEqual([]);
    }
    expect(await connect().of(counter).Add({ a: 1, b: 1 })).toBe(2);
    expect(server.exitCode).toBeNull();
    // Six such frames came; a process that kept or unpacked them would hold gigabytes.
    expect(await peakMiB(server.pid)).toBeLessThan(900);
  });

  it('tells a caller whose answer would be too large', async () => {
    const big = defineInterface({
      module: 'test',
      object: 'big',
      version: '0.0.1',
      methods: { Make: { args: { bytes: count64 }, returns: [str], fails: true, order: 'read' } },
      streams: {},
    });
    const server = new ZbusServer({ module: 'test', broker: redis.broker });
    server.serve(big, { Make: ({ bytes }) => 'x'.repeat(bytes) });
    await server.start();
    ends.push(() => server.stop(200));
    const calls = connect().of(big);
    expect(await calls.Make({ bytes: FRAME_MOST_BYTES - MIB })).toHaveLength(FRAME_MOST_BYTES - MIB);
    const error = await failure(calls.Make({ bytes: FRAME_MOST_BYTES }));
    expect(error).toMatchObject({ kind: 'call_failed' });
    expect(error.message).toContain(`more than the ${FRAME_MOST_BYTES} of a message of the bus`);
  });
});

async function peakMiB(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

describe('a caller', () => {
  /** Answers one call with what the test makes of it. */
  async function answerWith(make: (id: string) => Buffer | readonly Buffer[]): Promise<void> {
    const line = peek.duplicate();
    ends.push(async () => line.disconnect());
    const found = await line.blpopBuffer(QUEUE, 20);
    if (found === null) throw new Error('no call came');
    const { id, replyTo } = decodeRequest(found[1]);
    const frames = [make(id)].flat() as Buffer[];
    await peek.rpush(replyTo, ...frames);
  }

  it('finds its answer in a list full of garbage', async () => {
    const answering = answerWith((id) => [
      ...UNREADABLE.map(([, frame]) => frame),
      encodeResponse({ id: 'somebody else', data: encode(int64, 1n) }),
      encodeResponse({ id, data: encode(int64, 42n) }),
    ]);
    expect(await connect().of(counter).Add({ a: 1, b: 1 })).toBe(42);
    await answering;
    await expect.poll(keys).toEqual([]);
  });

  it('is told at once when its own answer cannot be read', async () => {
    const client = connect();
    for (const [make, reason] of [
      [(id: string) => Buffer.concat([hex('82a24944'), encode(str, id), hex('a64f757470757407')]), 'cannot be read'],
      [(id: string) => encodeResponse({ id, data: Buffer.alloc(64 * MIB) }), `more than the ${FRAME_MOST_BYTES}`],
      [(id: string) => encodeResponse({ id, data: hex('a161') }), 'disagree on its type'],
    ] as const) {
      const answering = answerWith(make);
      const error = await failure(client.of(counter).Add({ a: 1, b: 1 }, { deadlineMs: 20_000 }));
      expect(error).toMatchObject({ kind: 'protocol', call: `${QUEUE}.Add` });
      expect(error.message).toContain(reason);
      await answering;
    }
  });

  it('ends at its deadline when no answer ever comes, and the late one hurts nobody', async () => {
    const line = peek.duplicate();
    ends.push(async () => line.disconnect());
    const taken = line.blpopBuffer(QUEUE, 20).then(async (found) => {
      const { id, replyTo } = decodeRequest(found?.[1] ?? Buffer.alloc(0));
      await peek.rpush(replyTo, Buffer.from('garbage'));
      return { id, replyTo };
    });
    const client = connect();
    const error = await failure(client.of(counter).Add({ a: 1, b: 1 }, { deadlineMs: 1_500 }));
    expect(error).toMatchObject({ kind: 'deadline' });
    const { id, replyTo } = await taken;
    await peek.rpush(replyTo, encodeResponse({ id, data: encode(int64, 7n) }));
    const log: CallLog = [];
    await serve(log);
    expect(await client.of(counter).Add({ a: 2, b: 2 })).toBe(4);
  });

  it('passes over events that are none of its stream', async () => {
    const seen: number[] = [];
    const stop = new AbortController();
    const client = connect();
    const listening = (async () => {
      for await (const tick of client.stream(counter, 'Ticks', { signal: stop.signal })) seen.push(tick);
    })();
    const channel = `${QUEUE}.Ticks`;
    await expect.poll(() => peek.pubsub('NUMSUB', channel)).toEqual([channel, 1]);
    for (const [name, frame] of UNREADABLE) if (name !== 'a number') await peek.publish(channel, frame);
    // Beyond 32 MiB the broker itself ends the listener's connection, which then subscribes again.
    await peek.publish(channel, Buffer.alloc(20 * MIB));
    await peek.publish(channel, hex('cb3ff0000000000000'));
    await peek.publish(channel, hex('07'));
    await expect.poll(() => seen, { timeout: 20_000 }).toContain(7);
    // Text whose first byte is a number is one to Go, too.
    expect(seen.at(-1)).toBe(7);
    stop.abort();
    await listening;
  });

  it('refuses to send what is too large', async () => {
    const text = 'x'.repeat(FRAME_MOST_BYTES);
    const error = await failure(connect().of(counter).Fail({ text }));
    expect(error.kind).toBe('protocol');
    expect(error.message).toContain('the call was not sent');
    expect(await keys()).toEqual([]);
  });
});
