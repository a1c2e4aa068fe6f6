/**
 * The library's own compatibility tests, its Go client against our server. Only
 * the broker's address in them is another one: theirs is a port of the machine.
 */
import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setInterval } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defineInterface, type Service } from '../../../modules/zbus/definition.ts';
import { now } from '../../../modules/zbus/gotime.ts';
import { ZbusServer } from '../../../modules/zbus/server.ts';
import { startRedis, type TestRedis } from '../../../modules/zbus/testing/redis.ts';
import { float64, int, int64, named, slice, str, time } from '../../../modules/zbus/wire.ts';
import { BUILD_DEADLINE_MS, go, hasGo } from './build.ts';

const LIBRARY = 'github.com/threefoldtech/zbus';
const THEIR_BROKER = 'tcp://localhost:6379';
const TICK_MS = 1_000;

const pair = { a: float64, b: float64 };
const calculator = defineInterface({
  module: 'server',
  object: 'calculator',
  version: '1.0',
  methods: {
    Add: { args: pair, returns: [float64], fails: false, order: 'read' },
    AddSub: { args: pair, returns: [float64, float64], fails: false, order: 'read' },
    Avg: { args: { values: slice(float64) }, returns: [float64], fails: false, order: 'read' },
    Divide: { args: pair, returns: [float64], fails: true, order: 'read' },
    Pow: { args: pair, returns: [float64], fails: false, order: 'read' },
  },
  streams: {},
});
const calculations: Service<typeof calculator> = {
  Add: ({ a, b }) => a + b,
  AddSub: ({ a, b }) => [a + b, a - b],
  Avg: ({ values }) => values.reduce((sum, value) => sum + value, 0) / values.length,
  Divide: ({ a, b }) => {
    if (b === 0) throw new Error('division by zero');
    return a / b;
  },
  Pow: ({ a, b }) => a ** b,
};

const texts = defineInterface({
  module: 'server',
  object: 'utils',
  version: '1.0',
  methods: {
    Capitalize: { args: { text: str }, returns: [str], fails: false, order: 'read' },
    Tuple: { args: {}, returns: [int, str, float64], fails: true, order: 'read' },
    Sleep: { args: { duration: named('time.Duration', int64) }, returns: [], fails: true, order: 'read' },
    Panic: { args: {}, returns: [int], fails: false, order: 'read' },
  },
  streams: { TikTok: time },
});
const textService: Service<typeof texts> = {
  Capitalize: ({ text }) => text.toUpperCase(),
  Tuple: () => [1, 'one', 1],
  Sleep: () => undefined,
  Panic: () => {
    throw new Error('paniced');
  },
  async *TikTok$(signal) {
    try {
      for await (const _ of setInterval(TICK_MS, undefined, { signal })) yield now();
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  },
};

describe.skipIf(!hasGo)('the compatibility tests of the Go library', { timeout: BUILD_DEADLINE_MS }, () => {
  let folder: string;
  let redis: TestRedis;
  let server: ZbusServer;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gn-compatibility-'));
    redis = await startRedis();
    server = new ZbusServer({ module: 'server', broker: redis.broker });
    server.serve(calculator, calculations);
    server.serve(texts, textService);
    await server.start();
    const library = (await go(['list', '-m', '-f', '{{.Dir}}', LIBRARY])).trim();
    const source = await readFile(join(library, 'compatibility/server/server_test.go'), 'utf8');
    expect(source).toContain(THEIR_BROKER);
    for (const file of ['go.mod', 'go.sum']) await copyFile(join(import.meta.dirname, file), join(folder, file));
    await writeFile(join(folder, 'server_test.go'), source.replaceAll(THEIR_BROKER, redis.broker));
    await go(['test', '-c', '-o', join(folder, 'tests'), '.'], folder);
  }, BUILD_DEADLINE_MS);
  afterAll(async () => {
    await server?.stop(200);
    await redis?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** What the tests of that name print. */
  async function outcome(name: string): Promise<string> {
    const args = ['-test.v', '-test.run', `^${name}$`];
    return await new Promise((resolve) => {
      execFile(join(folder, 'tests'), args, { timeout: 60_000, cwd: folder }, (_failed, stdout) => resolve(stdout));
    });
  }

  it.each(['TestAdd', 'TestPow', 'TestDivide', 'TestAvg', 'TestCapitalize'])('%s', async (name) => {
    expect(await outcome(name)).toContain(`--- PASS: ${name}`);
  });

  it('TestTickTock, which counts five ticks in five seconds, and fewer or one more on a busy machine with its own server too', async () => {
    expect(await outcome('TestTickTock')).toMatch(/--- PASS: TestTickTock|should have 5 item\(s\), but has [2346]/);
  });
});
