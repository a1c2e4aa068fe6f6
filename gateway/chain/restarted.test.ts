/** A chain that begins anew at an endpoint, while a process remembers the old one; and what a silent endpoint holds up. */
import { randomBytes } from 'node:crypto';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ChainClient } from './client.ts';
import { RpcServer } from './dev/rpc/server.ts';
import { Runtimes } from './dev/runtime.ts';
import { type RunningDevChain, startDevChain } from './dev/start.ts';
import { redirectLibraryLog } from './library-log.ts';
import type { EndpointNews } from './provider.ts';
import { TcpProxy } from './testing/tcp-proxy.ts';

const log = pino({ level: 'silent' });
const PATIENCE = { timeout: 20_000 };
const timing = { idleBlockMs: 3_600_000, finalityMs: 500 };
/** A silent endpoint is waited for longer than a test lasts, one in use for two probes; surveys come often. */
const health = {
  ...{ connectMs: 60_000, answerMs: 60_000, probeMs: 2_000, stallMs: 3_600_000, surveyMs: 400 },
  ...{ retryMs: 50, retryMostMs: 400, returnMs: 3_600_000, lagBlocks: 3 },
};
redirectLibraryLog();

let folder: string;
let ends: Array<() => Promise<unknown>>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'restarted-'));
  ends = [];
});

afterEach(async () => {
  for (const end of ends.reverse()) await end();
  await rm(folder, { recursive: true, force: true });
});

/** A chain with that many final blocks. */
async function start(blocks: number, options: { readonly port?: number; readonly state?: string } = {}) {
  const running = await startDevChain({ host: '127.0.0.1', port: 0, log, timing, faults: true, ...options });
  ends.push(() => running.stop());
  while (running.chain.head.number < blocks) running.chain.seal();
  running.chain.finalize(running.chain.head.number);
  return running;
}

/** Another server of the same chain. */
async function mirrorOf({ chain }: RunningDevChain): Promise<string> {
  const mirror = new RpcServer({ chain, runtimes: new Runtimes(), faults: true, host: '127.0.0.1', port: 0, log });
  const port = await mirror.listening();
  ends.push(() => mirror.close());
  return `ws://127.0.0.1:${port}`;
}

async function proxied(url: string): Promise<TcpProxy> {
  const proxy = await TcpProxy.before(url);
  ends.push(() => proxy.close());
  return proxy;
}

function open(endpoints: string[], news: EndpointNews[] = []) {
  const client = new ChainClient({ endpoints, health, deadlineMs: 30_000, onEndpoint: (one) => news.push(one) });
  ends.push(() => client.close());
  const { connection } = client;
  return { client, endpoint: () => (connection.isConnected ? connection.endpoint : undefined) };
}

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'no failure',
    (error: unknown) => (error as { code?: unknown }).code ?? error,
  );

describe('a chain that began anew', () => {
  it('is told at once, not waited for, and the old one is gone on with where it comes back', async () => {
    const state = join(folder, 'old');
    const old = await start(30, { state });
    const port = Number(new URL(old.url).port);
    const news: EndpointNews[] = [];
    const { client } = open([old.url], news);
    expect(await client.connection.finalNumber()).toBeGreaterThanOrEqual(30);
    client.connection.requireFinal(30);
    await old.stop();

    const anew = await start(5, { port });
    await expect.poll(() => failure(client.time({ deadlineMs: 5_000 })), PATIENCE).toBe('chain_restarted');
    await expect(client.finalContracts([1n])).rejects.toThrow(/serves a chain that began anew: its block 1 is 0x/);
    expect(news.findLast(({ what }) => what === 'refused')).toMatchObject({
      problem: 'restarted',
      reason: expect.stringContaining('its chain began anew: block 1 is'),
    });
    expect(client.connection.states).toMatchObject([{ problem: 'restarted', inUse: false }]);
    // Also where it has come further than the old one.
    while (anew.chain.head.number < 60) anew.chain.seal();
    anew.chain.finalize(60);
    expect(await failure(client.time())).toBe('chain_restarted');
    await anew.stop();

    await start(40, { port, state });
    await expect.poll(() => failure(client.finalContracts([1n])), PATIENCE).toBe('no failure');
  }, 90_000);

  it('is known for one also where it had no block when it was used first', async () => {
    const old = await start(0);
    const port = Number(new URL(old.url).port);
    const { client, endpoint } = open([old.url]);
    await expect.poll(endpoint, PATIENCE).toBe(old.url);
    for (let blocks = 0; blocks < 10; blocks += 1) old.chain.seal();
    old.chain.finalize(10);
    await expect.poll(() => client.connection.states[0]?.final, PATIENCE).toBeGreaterThanOrEqual(10);
    await old.stop();
    await start(3, { port });
    await expect.poll(() => failure(client.time({ deadlineMs: 5_000 })), PATIENCE).toBe('chain_restarted');
  }, 60_000);

  it('is told, too, where its first block is another', async () => {
    const state = join(folder, 'old');
    const old = await start(30, { state });
    const port = Number(new URL(old.url).port);
    const { client } = open([old.url]);
    expect(await client.connection.finalNumber()).toBeGreaterThanOrEqual(30);
    await old.stop();
    await cp(state, join(folder, 'other'), { recursive: true });
    const snapshot = join(folder, 'other', 'chain.json');
    const text = await readFile(snapshot, 'utf8');
    const { genesis } = JSON.parse(text) as { genesis: string };
    await writeFile(snapshot, text.replaceAll(genesis, `0x${randomBytes(32).toString('hex')}`));
    await start(31, { port, state: join(folder, 'other') });
    await expect.poll(() => failure(client.time({ deadlineMs: 5_000 })), PATIENCE).toBe('chain_genesis');
  }, 60_000);

  it('is never used beside one that goes on, and keeps nobody from that', async () => {
    const [living, anew] = [await start(30), await start(40)];
    const first = await proxied(living.url);
    const { client, endpoint } = open([first.url, anew.url, await mirrorOf(living)]);
    await expect.poll(endpoint, PATIENCE).toBe(first.url);
    await expect.poll(() => client.connection.states[1]?.problem, PATIENCE).toBe('restarted');
    await first.close();
    await expect.poll(endpoint, PATIENCE).toBe(client.connection.endpoints[2]);
    // What it told of its blocks counts for nothing.
    client.connection.requireFinal(30);
  }, 60_000);
});

describe('an endpoint that is silent', () => {
  it('holds nobody up on the way to one that is known to be good, though it is preferred and just asked', async () => {
    const living = await start(30);
    const [silent, used] = [await proxied(living.url), await proxied(living.url)];
    const news: EndpointNews[] = [];
    silent.fallSilent();
    const [first, good] = [used.url, await mirrorOf(living)];
    const { client, endpoint } = open([first, silent.url, good], news);
    await expect.poll(endpoint, PATIENCE).toBe(first);
    // A survey waits for its answer, longer than this test may take.
    await expect.poll(() => silent.open, PATIENCE).toBeGreaterThan(0);
    await expect.poll(() => client.connection.states[2]?.final, PATIENCE).toBeGreaterThanOrEqual(30);
    await used.close();
    await expect.poll(endpoint, PATIENCE).toBe(good);
    expect(news.map(({ what, endpoint: url }) => `${what} ${url}`)).toEqual([
      `used ${first}`,
      `left ${first}`,
      `used ${good}`,
    ]);
  }, 60_000);

  it('holds up neither leaving one that lags nor the end of the process', async () => {
    const state = join(folder, 'state');
    const old = await start(10, { state });
    await old.stop();
    await cp(state, join(folder, 'ahead'), { recursive: true });
    const [behind, ahead] = [await start(10, { state }), await start(30, { state: join(folder, 'ahead') })];
    const silent = await proxied(ahead.url);
    silent.fallSilent();
    const { client, endpoint } = open([behind.url, silent.url, ahead.url]);
    await expect.poll(endpoint, PATIENCE).toBe(ahead.url);
    await expect.poll(() => silent.open, PATIENCE).toBeGreaterThan(0);
    let isClosed = false;
    client.close().then(
      () => {
        isClosed = true;
      },
      () => undefined,
    );
    await expect.poll(() => isClosed, PATIENCE).toBe(true);
  }, 60_000);
});
