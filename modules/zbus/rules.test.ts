/** Rules of a server that hold whatever its neighbours and its own handlers do. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { encode } from './codec.ts';
import { encodeRequest } from './frames.ts';
import { ZbusServer } from './server.ts';
import { type CallLog, counter, counterService } from './testing/counter.ts';
import {
  connect,
  ends,
  failure,
  keys,
  peek,
  QUEUE,
  rawCall,
  redis,
  serve,
  spawnServer,
  taken,
  workList,
} from './testing/live.ts';
import { str, uint64 } from './wire.ts';

const OBJECT = { Name: 'counter', Version: '0.0.1' };

/** As the registry of a process on another machine, of which nothing is heard but that it lives. */
async function stranger(id: string, lives: boolean): Promise<string> {
  const work = `${QUEUE}:work:${id}`;
  await peek.hset('test:instances', id, JSON.stringify({ host: 'another-machine', pid: 1, works: [work] }));
  if (lives) await peek.set(`test:instance:${id}`, '', 'EX', 60);
  return work;
}

const sleepCall = (id: string): Buffer =>
  encodeRequest({ id, inputs: [encode(str, 'a'), encode(uint64, 1n)], object: OBJECT, replyTo: id, method: 'Sleep' });

describe('several processes of one module', () => {
  it('answer what a dead one left, also one that lived when they started', async () => {
    const log: CallLog = [];
    const work = await stranger('other', true);
    await peek.rpush(work, sleepCall('left'));
    await serve(log);
    expect(await peek.llen(work)).toBe(1);
    // Its ten seconds pass.
    await peek.del('test:instance:other');
    const found = await peek.blpopBuffer('left', 10);
    expect(found?.[1].toString('latin1')).toContain('server restarted before the call was finished');
    await expect.poll(() => peek.hexists('test:instances', 'other')).toBe(0);
    expect(log).toEqual([]);
    expect(await keys()).toEqual([]);
  });

  it('answer what is left for objects that are no longer served', async () => {
    await peek.hset('test:instances', 'old', JSON.stringify({ host: '', pid: 0, works: ['test.gone@0.0.1:work:old'] }));
    const object = { Name: 'gone', Version: '0.0.1' };
    const frame = encodeRequest({ id: 'A', inputs: [], object, replyTo: 'answers', method: 'Do' });
    await peek.rpush('test.gone@0.0.1:work:old', frame, 'garbage');
    await serve();
    expect((await peek.blpopBuffer('answers', 20))?.[1].toString('latin1')).toContain('server restarted');
    await expect.poll(keys).toEqual([]);
  });

  it('read a registry full of garbage', async () => {
    for (const [index, value] of ['', 'x', '7', 'null', '{"works":7}', '{"pid":"a","works":[{}]}'].entries()) {
      await peek.hset('test:instances', `${index}`, value);
    }
    await serve();
    expect(await connect().of(counter).Add({ a: 1, b: 1 })).toBe(2);
    expect(await peek.hlen('test:instances')).toBe(1);
  });

  it('never run a call of each other, even when one was still as long as its life', async () => {
    const first = await spawnServer();
    const call = connect().of(counter).Sleep({ name: 'a', ms: 1_500 });
    const ended = call.catch((error: unknown) => error);
    await expect.poll(taken).toBe(1);
    first.kill('SIGSTOP');
    ends.push(async () => void first.kill('SIGCONT'));
    const [id] = await peek.hkeys('test:instances');
    await peek.del(`test:instance:${id}`);
    const log: CallLog = [];
    await serve(log);
    first.kill('SIGCONT');
    // The second was told that the first is no more; both have said so of their calls, and nobody ran one twice.
    expect(await ended).toMatchObject({
      kind: 'call_failed',
      message: 'server restarted before the call was finished',
    });
    await peek.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await expect.poll(taken, { timeout: 20_000 }).toBe(0);
    expect(log).toEqual([]);
    expect(await connect().of(counter).Add({ a: 1, b: 1 })).toBe(2);
  });
});

describe('a graceful stop', () => {
  it('leaves calls that do not end to the next process, which answers them', async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const server = new ZbusServer({ module: 'test', broker: redis.broker });
    server.serve(counter, { ...counterService(), Sleep: () => promise });
    await server.start();
    const call = failure(connect().of(counter).Sleep({ name: 'a', ms: 0 }));
    await expect.poll(taken).toBe(1);
    await server.stop(50);
    expect(await taken()).toBe(1);
    await serve();
    expect(await call).toMatchObject({ kind: 'call_failed', remote: { code: 'bus_call_interrupted' } });
    resolve('late');
    expect(await taken()).toBe(0);
  });
});

describe('a handler', () => {
  it('hears of a deadline while it waits for its turn, and does not run then', async () => {
    const log: CallLog = [];
    const { promise: end, resolve } = Promise.withResolvers<void>();
    await serve(log, undefined, end);
    const calls = connect().of(counter);
    const first = calls.Sleep({ name: 'a', ms: 0 });
    await expect.poll(() => log).toEqual(['+a']);
    const inputs = [encode(str, 'a'), encode(uint64, 1n)];
    const work = await workList();
    const eye = peek.duplicate();
    ends.push(async () => eye.disconnect());
    const deadline = Date.now() + 1_000;
    const second = rawCall('Sleep', inputs, { deadline });
    await expect.poll(() => eye.llen(work)).toBe(2);
    await expect.poll(() => Date.now()).toBeGreaterThan(deadline);
    resolve();
    expect((await second).callError?.message).toContain('it was not run');
    await first;
    expect(log).toEqual(['+a', '-a']);
  });

  it('that holds the thread delays the status by that long, and no longer', async () => {
    // In processes of their own: this one has to ask meanwhile.
    const script = `
      import { ZbusServer } from ${JSON.stringify(new URL('./server.ts', import.meta.url).href)};
      import { counter, counterService } from ${JSON.stringify(new URL('./testing/counter.ts', import.meta.url).href)};
      const server = new ZbusServer({ module: 'test', broker: ${JSON.stringify(redis.broker)} });
      const hold = () => {
        process.stdout.write('held');
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);
        return 'done';
      };
      server.serve(counter, { ...counterService(), Sleep: hold });
      await server.start();
      process.stdout.write('ready');`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    ends.push(async () => {
      if (child.exitCode === null && child.kill('SIGKILL')) await once(child, 'exit');
    });
    await once(child.stdout, 'data');
    const client = connect();
    const call = client.of(counter).Sleep({ name: 'a', ms: 0 });
    await once(child.stdout, 'data');
    expect((await client.status('test')).Objects).toHaveLength(1);
    expect(await call).toBe('done');
  });
});
