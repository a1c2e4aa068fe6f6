/** Several endpoints of a chain, of which some fall silent, stand still, lose their state or are of another chain. */
import { randomBytes } from 'node:crypto';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { isGridError } from '../../schemas/errors/index.ts';
import { Identity } from '../rmb/keys.ts';
import { type ChainBlock, ChainClient, type ChainClientOptions } from './client.ts';
import { RpcServer } from './dev/rpc/server.ts';
import { Runtimes } from './dev/runtime.ts';
import { type RunningDevChain, startDevChain } from './dev/start.ts';
import { redirectLibraryLog } from './library-log.ts';
import { EndpointLine } from './line.ts';
import type { EndpointNews } from './provider.ts';
import { TcpProxy } from './testing/tcp-proxy.ts';

const log = pino({ level: 'silent' });
const PATIENCE = { timeout: 20_000 };
/** As in production, but for people who do not want to wait. */
const QUICK = {
  ...{ connectMs: 2_000, answerMs: 1_500, probeMs: 400, stallMs: 1_000, surveyMs: 400 },
  ...{ retryMs: 50, retryMostMs: 400, returnMs: 300, lagBlocks: 3 },
};
const DEAD = 'ws://127.0.0.1:9';
const timing = { idleBlockMs: 3_600_000, finalityMs: 500 };
redirectLibraryLog();

let folder: string;
let live: RunningDevChain;
/** The same chain, as it was some blocks ago: nothing happens there any more. */
let stuck: RunningDevChain;
let other: RunningDevChain;
/** Another server of the living chain. */
let mirror: RpcServer;
let mirrorUrl: string;
let user: ChainClient;
const ends: Array<() => Promise<unknown>> = [];

const start = (name: string): Promise<RunningDevChain> =>
  startDevChain({ host: '127.0.0.1', port: 0, log, timing, faults: true, state: join(folder, name) });

const final = (): number => live.chain.finalized.number;

/** New final blocks of the living chain. */
function advance(blocks: number): void {
  for (let made = 0; made < blocks; made += 1) live.chain.seal();
  live.chain.finalize(live.chain.head.number);
}

async function proxy(url: string): Promise<TcpProxy> {
  const made = await TcpProxy.before(url);
  ends.push(() => made.close());
  return made;
}

interface Opened {
  readonly client: ChainClient;
  readonly news: EndpointNews[];
  readonly endpoint: () => string | undefined;
  readonly problem: (url: string) => string | undefined;
}

function open(endpoints: string[], options: Partial<ChainClientOptions> = {}): Opened {
  const news: EndpointNews[] = [];
  const client = new ChainClient({
    ...{ endpoints, health: QUICK, deadlineMs: 15_000, onEndpoint: (one: EndpointNews) => news.push(one) },
    ...options,
  });
  ends.push(() => client.close());
  const { connection } = client;
  return {
    client,
    news,
    endpoint: () => (connection.isConnected ? connection.endpoint : undefined),
    problem: (url) => connection.states.find((state) => state.url === url)?.problem,
  };
}

function follow(client: ChainClient): ChainBlock[] {
  const stop = new AbortController();
  const blocks: ChainBlock[] = [];
  const following = (async () => {
    for await (const block of client.blocks('final', stop.signal)) blocks.push(block);
  })();
  ends.push(async () => {
    stop.abort();
    await following;
  });
  return blocks;
}

async function control(url: string, method: string, ...params: unknown[]): Promise<void> {
  const line = await EndpointLine.open(url, { connectMs: 5_000, answerMs: 5_000 });
  await line.request(method, params);
  line.end('done');
}

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'failover-'));
  const first = await start('live');
  const identity = await Identity.fromSecret(randomBytes(32).toString('hex'), 'sr25519');
  const client = await ChainClient.connect({ endpoints: [first.url], identity, deadlineMs: 30_000 });
  await client.endow();
  await client.ensureTwin({ relay: 'relay.example' });
  await client.close();
  first.chain.finalize(first.chain.head.number);
  await first.stop();
  await cp(join(folder, 'live'), join(folder, 'stuck'), { recursive: true });
  await cp(join(folder, 'live'), join(folder, 'other'), { recursive: true });
  const snapshot = join(folder, 'other', 'chain.json');
  const text = await readFile(snapshot, 'utf8');
  const { genesis } = JSON.parse(text) as { genesis: string };
  await writeFile(snapshot, text.replaceAll(genesis, `0x${'22'.repeat(32)}`));
  [live, stuck, other] = [await start('live'), await start('stuck'), await start('other')];
  for (const { chain } of [live, stuck]) {
    chain.finalize(chain.head.number);
    chain.setFinality({ held: true });
  }
  const runtimes = new Runtimes();
  mirror = new RpcServer({ chain: live.chain, runtimes, faults: true, host: '127.0.0.1', port: 0, log });
  mirrorUrl = `ws://127.0.0.1:${await mirror.listening()}`;
  user = await ChainClient.connect({ endpoints: [live.url], identity, deadlineMs: 30_000 });
}, 60_000);

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

afterAll(async () => {
  await user?.close();
  await mirror?.close();
  for (const chain of [live, stuck, other]) await chain?.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('of several endpoints', () => {
  it('one that falls silent with its socket open is left, and what was followed goes on without a gap', async () => {
    const before = await proxy(live.url);
    const { client, news, endpoint, problem } = open([before.url, mirrorUrl]);
    const blocks = follow(client);
    await expect.poll(endpoint, PATIENCE).toBe(before.url);
    advance(1);
    await expect.poll(() => blocks.at(-1)?.number, PATIENCE).toBe(final());
    const first = blocks.length;
    before.fallSilent();
    advance(2);
    await expect.poll(endpoint, PATIENCE).toBe(mirrorUrl);
    expect(problem(before.url)).toMatch(/silent|lost/);
    expect(news).toContainEqual(expect.objectContaining({ endpoint: before.url, what: 'left', problem: 'silent' }));
    await expect.poll(() => blocks.at(-1)?.number, PATIENCE).toBe(final());
    expect(blocks.slice(first).map(({ gap }) => gap)).toEqual([false, false]);
    expect(await client.time()).toBeGreaterThan(0);
  }, 60_000);

  it('that went on to another branch is not told of as final, whatever another had made final', async () => {
    const part = async (name: string): Promise<RunningDevChain> => {
      await cp(join(folder, 'stuck', 'chain.json'), join(folder, name, 'chain.json'));
      const made = await start(name);
      ends.push(async () => {
        await made.stop();
        await rm(join(folder, name), { recursive: true, force: true });
      });
      made.chain.setFinality({ held: true });
      return made;
    };
    const [told, behind] = [await part('told'), await part('behind')];
    told.chain.seal();
    told.chain.finalize(told.chain.head.number);
    for (let made = 0; made < 3; made += 1) behind.chain.seal();
    const before = await proxy(told.url);
    const { client, endpoint } = open([before.url, behind.url]);
    const blocks = follow(client);
    await expect.poll(() => blocks.at(-1)?.hash, PATIENCE).toBe(told.chain.finalized.hash);
    const { length } = blocks;
    // It tells of a new final block, and is gone before that is read.
    await control(told.url, 'dev_delayAnswers', 30_000);
    told.chain.seal();
    told.chain.finalize(told.chain.head.number);
    await expect.poll(endpoint, PATIENCE).toBe(behind.url);
    expect(await client.time()).toBeGreaterThan(0);
    await sleep(500);
    expect(blocks.slice(length)).toEqual([]);
    behind.chain.finalize(behind.chain.head.number);
    await expect.poll(() => blocks.at(-1)?.hash, PATIENCE).toBe(behind.chain.finalized.hash);
    expect(blocks[length]?.gap).toBe(true);
  }, 60_000);

  it('the preferred one is used again once it serves, and no other line stays open', async () => {
    const [preferred, spare] = [await proxy(live.url), await proxy(mirrorUrl)];
    preferred.fallSilent();
    const { client, endpoint } = open([preferred.url, spare.url]);
    await expect.poll(endpoint, PATIENCE).toBe(spare.url);
    expect(await client.time()).toBeGreaterThan(0);
    preferred.speak();
    await expect.poll(endpoint, PATIENCE).toBe(preferred.url);
    await expect.poll(() => spare.open, PATIENCE).toBe(0);
    // The spare one is visited now and then, and left again.
    const visits = spare.accepted;
    await expect.poll(() => spare.accepted, PATIENCE).toBeGreaterThan(visits);
    await expect.poll(() => spare.open, PATIENCE).toBe(0);
    expect(endpoint()).toBe(preferred.url);
  }, 60_000);

  it('one whose final block stands still while that of another goes on is left for it', async () => {
    const { client, endpoint, news } = open([stuck.url, live.url]);
    advance(QUICK.lagBlocks + 2);
    await expect.poll(endpoint, PATIENCE).toBe(live.url);
    await expect.poll(() => news.map(({ problem }) => problem), PATIENCE).toContain('lagging');
    const [number] = await Promise.all([client.connection.ask('final', {}, (api) => api.rpc.chain.getFinalizedHead())]);
    expect(number.toHex()).toBe(live.chain.finalized.hash);
  }, 60_000);

  it('one that lags is better than none, but may not say what has ended', async () => {
    const { client, endpoint } = open([stuck.url, DEAD]);
    client.connection.finalSeen(stuck.chain.finalized.number + 100);
    await expect.poll(endpoint, PATIENCE).toBe(stuck.url);
    expect(await client.time()).toBeGreaterThan(0);
    expect(() => client.connection.requireFinal(stuck.chain.finalized.number)).toThrow(/final block/);
  }, 60_000);

  it('one of another chain is never used, and told when there is nothing else', async () => {
    const genesis = Buffer.from(live.chain.genesisHash).toString('hex');
    const { endpoint, problem } = open([other.url, live.url], { genesis: `0x${genesis}` });
    await expect.poll(endpoint, PATIENCE).toBe(live.url);
    expect(problem(other.url)).toBe('genesis');
    // Where none was named, the first chain that was used is kept to.
    const before = await proxy(live.url);
    const unnamed = open([before.url, other.url]);
    await expect.poll(unnamed.endpoint, PATIENCE).toBe(before.url);
    before.fallSilent();
    await expect.poll(() => unnamed.problem(other.url), PATIENCE).toBe('genesis');
    const isLost = async (): Promise<boolean> =>
      isGridError(await failure(unnamed.client.time({ deadlineMs: 300 })), 'chain_lost');
    await expect.poll(isLost, PATIENCE).toBe(true);
    const alone = open([other.url], { genesis: `0x${genesis}` });
    expect(isGridError(await failure(alone.client.time()), 'chain_genesis')).toBe(true);
  }, 60_000);

  it('a transaction that was on its way when its endpoint fell silent fails, and the next is sent elsewhere', async () => {
    const before = await proxy(live.url);
    const identity = await Identity.fromSecret(randomBytes(32).toString('hex'), 'ed25519');
    const { client, endpoint } = open([before.url, mirrorUrl], { identity });
    await client.endow();
    await expect.poll(endpoint, PATIENCE).toBe(before.url);
    before.fallSilent();
    const error = await failure(client.acceptTerms());
    expect(isGridError(error, 'chain_lost') || isGridError(error, 'chain_deadline')).toBe(true);
    await client.acceptTerms();
    expect(endpoint()).toBe(mirrorUrl);
  }, 60_000);

  it('a runtime that came while an endpoint was silent is learnt at the next one', async () => {
    const before = await proxy(live.url);
    const { client, endpoint } = open([before.url, mirrorUrl]);
    await expect.poll(endpoint, PATIENCE).toBe(before.url);
    const version = (): Promise<number> =>
      client.connection.ask('the runtime', {}, async (api) => api.runtimeVersion.specVersion.toNumber());
    const old = await version();
    before.fallSilent();
    await control(live.url, 'dev_upgradeRuntime');
    await expect.poll(endpoint, PATIENCE).toBe(mirrorUrl);
    await expect.poll(version, PATIENCE).toBe(old + 1);
    expect(await client.twin(1)).toMatchObject({ id: 1 });
  }, 60_000);
});
