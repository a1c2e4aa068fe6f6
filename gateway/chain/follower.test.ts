/** What a follower makes of a chain that misbehaves: forks, silence, old states, new runtimes. */
import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { isGridError } from '../../schemas/errors/index.ts';
import { Identity } from '../rmb/keys.ts';
import { ChainClient } from './client.ts';
import { type RunningDevChain, startDevChain } from './dev/start.ts';
import { BlockFollower, type ChainBlock } from './follower.ts';
import { redirectLibraryLog } from './library-log.ts';
import { settledContract } from './settled-contract.ts';

const log = pino({ level: 'silent' });
const PATIENCE = { timeout: 20_000 };
redirectLibraryLog();

let running: RunningDevChain;
let client: ChainClient;
let stop: AbortController;
const following: Promise<void>[] = [];

async function control(method: string, ...params: unknown[]): Promise<unknown> {
  const socket = new WebSocket(running.url);
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  socket.on('open', () => socket.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })));
  socket.on('error', reject);
  socket.on('close', () => resolve(undefined));
  socket.on('message', (data: Buffer) => {
    const { result, error } = JSON.parse(data.toString());
    if (error === undefined) resolve(result);
    else reject(new Error(error.message));
  });
  return promise.finally(() => socket.terminate());
}

/** Blocks from the next one on. */
async function follow(kind: 'best' | 'final'): Promise<ChainBlock[]> {
  const blocks: ChainBlock[] = [];
  const { signal } = stop;
  following.push(
    (async () => {
      for await (const block of new BlockFollower(client.connection, kind, { silenceMs: 300 }).blocks(signal))
        blocks.push(block);
    })(),
  );
  // The library may first repeat a head of the follower before.
  await expect.poll(() => blocks.at(-1)?.number, PATIENCE).toBe(head());
  blocks.length = 0;
  return blocks;
}

const names = (blocks: readonly ChainBlock[]): string[] =>
  blocks.flatMap(({ events }) =>
    events.flatMap(({ name, data }) => {
      if (name !== 'EntrySet') return [];
      return [Buffer.from(String(data[1]).slice(2), 'hex').toString()];
    }),
  );
const gaps = (blocks: readonly ChainBlock[]): number[] => blocks.flatMap(({ gap, number }) => (gap ? [number] : []));
const head = (): number => running.chain.head.number;

/** Stores a name in a block of its own. */
async function say(name: string): Promise<void> {
  const sent = client.submit({ pallet: 'tfkvStore', method: 'set', args: [name, '1'] });
  await expect.poll(() => running.chain.pool.size, PATIENCE).toBe(1);
  running.chain.seal();
  await sent;
}

beforeAll(async () => {
  const timing = { idleBlockMs: 3_600_000, finalityMs: 500 };
  running = await startDevChain({ host: '127.0.0.1', port: 0, log, timing, faults: true });
  const identity = await Identity.fromSecret(randomBytes(32).toString('hex'), 'sr25519');
  client = await ChainClient.connect({ endpoints: [running.url], identity, deadlineMs: 30_000 });
  await client.endow();
});

beforeEach(async () => {
  stop = new AbortController();
  running.chain.setPaused(true);
  running.chain.setFinality({ held: true });
  // What a test that failed left in the pool is no part of the next.
  if (running.chain.pool.size > 0) running.chain.seal();
  running.chain.finalize(head());
});

afterEach(async () => {
  stop.abort();
  await Promise.all(following.splice(0));
});

afterAll(async () => {
  await client?.close();
  await running?.stop();
});

describe('a follower', () => {
  it('of final blocks never sees a fork; one of best blocks is told that it saw one', async () => {
    const [final, best] = [await follow('final'), await follow('best')];
    await say('on a fork');
    await expect.poll(() => names(best), PATIENCE).toEqual(['on a fork']);
    running.chain.reorg(1, 'dropped');
    await expect.poll(() => best.at(-1)?.number, PATIENCE).toBe(head());
    expect(gaps(best)).not.toEqual([]);
    await say('for good');
    running.chain.finalize(head());
    await expect.poll(() => names(final), PATIENCE).toEqual(['for good']);
    expect(gaps(final)).toEqual([]);
    const numbers = final.map(({ number }) => number);
    expect(numbers).toEqual(numbers.map((_, index) => (numbers[0] ?? 0) + index));
  }, 60_000);

  it('reads what was made while nothing was final, in order', async () => {
    const final = await follow('final');
    for (const name of ['one', 'two', 'three']) await say(name);
    expect(names(final)).toEqual([]);
    running.chain.finalize(head());
    await expect.poll(() => names(final), PATIENCE).toEqual(['one', 'two', 'three']);
    expect(gaps(final)).toEqual([]);
  }, 60_000);

  it('misses nothing when heads are lost, change places, or stop coming', async () => {
    const final = await follow('final');
    await control('dev_loseNotifications', { name: 'chain_finalizedHead', count: 1 });
    await say('lost');
    running.chain.finalize(head());
    await expect.poll(() => names(final), PATIENCE).toEqual(['lost']);
    await control('dev_swapNotifications', 'chain_finalizedHead');
    await say('first');
    await say('second');
    running.chain.finalize(head());
    await expect.poll(() => names(final), PATIENCE).toEqual(['lost', 'first', 'second']);
    await control('dev_endSubscriptions');
    await say('silent');
    running.chain.finalize(head());
    await expect.poll(() => names(final), PATIENCE).toEqual(['lost', 'first', 'second', 'silent']);
    await say('heard');
    running.chain.finalize(head());
    await expect.poll(() => names(final).at(-1), PATIENCE).toBe('heard');
    expect(gaps(final)).toEqual([]);
  }, 60_000);

  it('tells of a gap after blocks whose state is gone', async () => {
    const final = await follow('final');
    await control('dev_refuseConnections', 400);
    running.chain.seal();
    running.chain.seal();
    running.chain.finalize(head());
    running.chain.discardStates(head());
    running.chain.seal();
    running.chain.seal();
    running.chain.finalize(head());
    await expect.poll(() => final.at(-1)?.number, PATIENCE).toBe(head());
    expect(gaps(final)).toHaveLength(1);
  }, 60_000);

  it('reads blocks of either runtime with the right one', async () => {
    const final = await follow('final');
    await say('before');
    await control('dev_upgradeRuntime');
    await control('dev_upgradeRuntime');
    running.chain.setPaused(false);
    const after = (): Promise<unknown> =>
      client.submit({ pallet: 'tfkvStore', method: 'set', args: ['after', '1'] }).catch(() => undefined);
    await expect.poll(after, PATIENCE).toBeDefined();
    running.chain.setPaused(true);
    // The library knows the newest runtime; these blocks have three.
    running.chain.finalize(head());
    await expect.poll(() => names(final), PATIENCE).toEqual(['before', 'after']);
    expect(final.flatMap(({ events }) => events.filter(({ name }) => name === 'CodeUpdated'))).toHaveLength(2);
    expect(gaps(final)).toEqual([]);
  }, 60_000);

  it('does not let an endpoint that lags say what has ended', async () => {
    await say('later');
    running.chain.finalize(head());
    // What it has seen it does not forget: a client of its own.
    const own = await ChainClient.connect({ endpoints: [running.url], deadlineMs: 30_000 });
    try {
      expect(await settledContract(own, 4711n)).toMatchObject({ contract: null, isEnding: false });
      own.connection.finalSeen(head() + 5);
      const error = await settledContract(own, 4711n).catch((caught: unknown) => caught);
      expect(isGridError(error, 'chain_behind') && error.details).toEqual({ block: head(), known: head() + 5 });
    } finally {
      await own.close();
    }
  }, 60_000);
});
