import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { TestClock } from '../testing/clock.ts';
import { cacheCheck, clockCheck, healthCheck, networkCheck } from './health-check.ts';

const { signal } = new AbortController();
const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function listen(): Promise<{ server: Server; url: string }> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ends.push(() => new Promise((resolve) => server.close(resolve)));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { server, url: `ws://127.0.0.1:${address.port}/secret?key=1` };
}

describe('the cache', () => {
  it('is in order where a file can be written and read, and keeps nothing of the check', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'perf-cache-'));
    ends.push(() => rm(folder, { recursive: true }));
    expect(await cacheCheck(async () => folder)(signal)).toEqual([]);
    expect(await readdir(folder)).toEqual([]);
  });

  it('is not where nothing can be written', async () => {
    expect(await cacheCheck(async () => '/proc')(signal)).toContainEqual(
      expect.stringMatching(/^failed to write to cache: (ENOENT|EACCES|EROFS)/),
    );
  });
});

describe('the network', () => {
  it('is in order where one instance of each service takes connections', async () => {
    const { url } = await listen();
    const closed = await listen();
    await ends.pop()?.();
    expect(await networkCheck({ substrate: [closed.url, url], relay: [url] })(signal)).toEqual([]);
  });

  it('is not where a service has none; what is said shows no path of a URL', async () => {
    const { url } = await listen();
    await ends.pop()?.();
    const port = new URL(url).port;
    const findings = await networkCheck({ substrate: [url, 'nonsense'], relay: [], hub: ['ftp://127.0.0.1/'] })(signal);
    expect(findings).toEqual([
      `all substrate instances are unreachable: ws://127.0.0.1:${port} is not reachable: connect ECONNREFUSED 127.0.0.1:${port}; invalid URL 'nonsense'`,
      "all hub instances are unreachable: invalid URL 'ftp://127.0.0.1/'",
    ]);
  });
});

describe('the clock', () => {
  it('may be off by a minute', async () => {
    const clock = new TestClock('2026-01-01T00:00:00Z');
    const chain = (text: string) => clockCheck(async () => Date.parse(text), clock)(signal);
    expect(await chain('2025-12-31T23:59:10Z')).toEqual([]);
    expect(await chain('2026-01-01T00:00:50Z')).toEqual([]);
    expect(await chain('2025-12-31T23:55:00Z')).toEqual([expect.stringContaining('300 s ahead of')]);
    expect(await chain('2026-01-01T00:02:00Z')).toEqual([expect.stringContaining('120 s behind')]);
  });
});

describe('the check', () => {
  it('believes a finding that stays, forgets one that passes, and takes what is thrown for one', async () => {
    const clock = new TestClock('2026-01-01T00:00:00Z');
    let passing = 0;
    const { run } = healthCheck(
      {
        fine: async () => [],
        passing: async () => (passing++ === 0 ? ['just now'] : []),
        staying: async () => ['broken', 'and dirty'],
        throwing: () => Promise.reject(new Error('no answer')),
      },
      clock,
    );
    let done = false;
    const found = run(signal).finally(() => (done = true));
    await clock.pass(60_000, () => done || clock.sleepers > 0);
    expect(await found).toEqual({
      fine: [],
      passing: [],
      staying: ['broken', 'and dirty'],
      throwing: ['no answer'],
    });
    expect(passing).toBe(2);
  });
});
