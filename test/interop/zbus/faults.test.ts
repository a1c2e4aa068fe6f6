/** Losses between the Go library and ours: a call ends in an answer, an error or its deadline, and both go on. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { flist } from '../../../modules/flistd/interface.ts';
import { ZbusClient } from '../../../modules/zbus/client.ts';
import type { Service } from '../../../modules/zbus/definition.ts';
import { isZbusError } from '../../../modules/zbus/errors.ts';
import { ZbusServer } from '../../../modules/zbus/server.ts';
import { startRedis, type TestRedis } from '../../../modules/zbus/testing/redis.ts';
import { bool, str } from '../../../modules/zbus/wire.ts';
import { end, start } from '../../bench/peers/child.ts';
import { BUILD_DEADLINE_MS, buildGoPrograms, hasGo } from './build.ts';
import { leftovers } from './leftovers.ts';
import { type GoOutcome, GoPeer } from './peer.ts';
import { hexOf } from './sample.ts';

const FLIST = 'flist.flist@0.0.1';
const CALLS = 10;
/** How long a method runs that is under way when something happens. */
const RUN_MS = 400;
const DEADLINE_MS = 3_000;
const AGAIN_MS = 20_000;
const YES = hexOf(bool, true);
const NAME = hexOf(str, 'a');

describe.skipIf(!hasGo)('losses between the Go library and ours', { timeout: 90_000 }, () => {
  let folder: string;
  let redis: TestRedis;
  const ends: Array<() => Promise<unknown>> = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gn-zbus-'));
    await buildGoPrograms(folder, 'peer');
  }, BUILD_DEADLINE_MS);
  afterAll(() => rm(folder, { recursive: true, force: true }));
  beforeEach(async () => {
    redis = await startRedis();
    ends.push(() => redis.stop());
  });
  afterEach(async () => {
    for (const each of ends.splice(0).reverse()) await each();
  });

  async function goCaller(deadlineMs = DEADLINE_MS): Promise<() => Promise<GoOutcome>> {
    const peer = await GoPeer.start(join(folder, 'peer'), redis.broker);
    ends.push(() => peer.stop());
    return () => peer.call({ object: FLIST, method: 'Exists', args: [NAME], raw: true, deadlineMs });
  }

  async function goServer(delayMs: number): Promise<GoPeer> {
    const prepared = { [FLIST]: { Exists: [{ results: [YES], delayMs }] } };
    const peer = await GoPeer.start(join(folder, 'peer'), redis.broker, prepared);
    ends.push(() => peer.stop());
    return peer;
  }

  async function ourServer(): Promise<void> {
    const server = new ZbusServer({ module: 'flist', broker: redis.broker });
    const exists = async (): Promise<boolean> => {
      await sleep(RUN_MS);
      return true;
    };
    const service = Object.fromEntries(Object.keys(flist.methods).map((name) => [name, exists]));
    server.serve(flist, service as unknown as Service<typeof flist>);
    await server.start();
    ends.push(() => server.stop(500));
  }

  function ourCaller(): () => Promise<string> {
    const client = new ZbusClient({ broker: redis.broker, deadlineMs: DEADLINE_MS });
    ends.push(() => client.close());
    const calls = client.of(flist);
    return () =>
      calls.Exists({ name: 'a' }).then(
        (found) => `answer ${found}`,
        (error: unknown) => {
          if (!isZbusError(error)) throw error;
          return error.kind;
        },
      );
  }

  /** Memory that is full refuses what adds to it. */
  async function fill(full: boolean): Promise<void> {
    const control = new Redis({ path: redis.socket, protocol: 2 });
    await control.config('SET', 'maxmemory-policy', 'noeviction');
    await control.config('SET', 'maxmemory', full ? '1' : '0');
    control.disconnect();
  }

  async function expectClean(): Promise<void> {
    await expect.poll(() => leftovers(redis.socket), { timeout: AGAIN_MS }).toEqual([]);
  }

  describe.each([
    ['is restarted', 0],
    ['is away for a second', 1_000],
  ])('when the broker %s', (_what, downMs) => {
    it('a Go caller and our server', async () => {
      await ourServer();
      const call = await goCaller();
      const under = Array.from({ length: CALLS }, call);
      await sleep(RUN_MS / 2);
      await redis.restart(downMs);
      for (const { results, failure } of await Promise.all(under)) {
        expect(results?.[0] === YES || failure !== undefined).toBe(true);
      }
      await expect.poll(async () => (await call()).results, { timeout: AGAIN_MS }).toEqual([YES]);
      await expectClean();
    });

    it('our caller and a Go server', async () => {
      await goServer(20);
      const call = ourCaller();
      const under = Array.from({ length: CALLS }, call);
      await sleep(50);
      await redis.restart(downMs);
      for (const outcome of await Promise.all(under)) {
        expect(['answer true', 'bus_lost', 'deadline', 'busy', 'no_such_module']).toContain(outcome);
      }
      await expect.poll(call, { timeout: AGAIN_MS }).toBe('answer true');
      await expectClean();
    });
  });

  describe('when the broker is full', () => {
    it('a Go caller gets the answer of our server as soon as there is room', async () => {
      await ourServer();
      const call = await goCaller(AGAIN_MS);
      const under = call();
      await sleep(RUN_MS / 2);
      await fill(true);
      expect((await call()).failure).toBe('no response');
      await sleep(RUN_MS);
      await fill(false);
      expect((await under).results).toEqual([YES]);
      expect((await call()).results).toEqual([YES]);
      await expectClean();
    });

    it('our caller hears that the call was refused, and the Go server drops its answer', async () => {
      const peer = await goServer(RUN_MS);
      const call = ourCaller();
      const under = call();
      await expect.poll(() => peer.taken.length, { timeout: AGAIN_MS }).toBe(1);
      await fill(true);
      expect(await call()).toBe('bus_lost');
      await sleep(RUN_MS);
      await fill(false);
      expect(['deadline', 'answer true']).toContain(await under);
      await expect.poll(call, { timeout: AGAIN_MS }).toBe('answer true');
      await expectClean();
    });
  });

  describe('when a server is killed between taking a call and answering', () => {
    it('a Go caller hears from the next one of ours that the call is over', async () => {
      const { child } = await start(join(import.meta.dirname, 'slow-server.ts'), [redis.broker]);
      ends.push(() => end(child));
      const call = await goCaller(AGAIN_MS);
      const under = call();
      const taken = async (): Promise<boolean> =>
        (await leftovers(redis.socket)).some((key) => key.startsWith(`${FLIST}:`));
      await expect.poll(taken, { timeout: AGAIN_MS }).toBe(true);
      await end(child);
      await ourServer();
      expect(await under).toEqual({
        results: [hexOf(bool, false)],
        error: 'server restarted before the call was finished',
      });
      expect((await call()).results).toEqual([YES]);
      await expectClean();
    });

    it('our caller meets its deadline, as Go servers forget what they took, and the next one answers', async () => {
      const first = await goServer(AGAIN_MS);
      const call = ourCaller();
      const under = call();
      await expect.poll(() => first.taken.length, { timeout: AGAIN_MS }).toBe(1);
      await first.stop();
      expect(await under).toBe('deadline');
      await goServer(0);
      await expect.poll(call, { timeout: AGAIN_MS }).toBe('answer true');
      await expectClean();
    });
  });
});
