/** The controls of the development chain, over a real WebSocket, with blocks made by hand. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { Identity } from '../../rmb/keys.ts';
import { ChainClient } from '../client.ts';
import { redirectLibraryLog } from '../library-log.ts';
import { timestamp } from './description/money.ts';
import { storageKey } from './description/pallet.ts';
import { type RunningDevChain, startDevChain } from './start.ts';

const log = pino({ level: 'silent' });
const HOUR_MS = 3_600_000;
redirectLibraryLog();

let running: RunningDevChain;
let plain: RunningDevChain;
let client: ChainClient;

interface Line {
  readonly ask: (method: string, ...params: unknown[]) => Promise<{ result?: never; error?: { message: string } }>;
  readonly notices: { readonly method: string; readonly params: { readonly result: { number: string } } }[];
  readonly close: () => void;
}

async function open(url = running.url): Promise<Line> {
  const socket = new WebSocket(url);
  await once(socket, 'open');
  const answers = new Map<number, (answer: never) => void>();
  const notices: Line['notices'] = [];
  socket.on('message', (data: Buffer) => {
    const message = JSON.parse(data.toString());
    if (message.method === undefined) answers.get(message.id)?.(message as never);
    else notices.push(message);
  });
  let id = 0;
  const ask: Line['ask'] = (method, ...params) => {
    id += 1;
    const { promise, resolve } = Promise.withResolvers<never>();
    answers.set(id, resolve);
    socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
    return promise;
  };
  return { ask, notices, close: () => socket.terminate() };
}

/** A chain that stands, with everything final, and a line to it. */
async function standing(): Promise<Line> {
  const line = await open();
  await line.ask('dev_delayAnswers', 0);
  await line.ask('dev_stall', { blocks: true, finality: false });
  await line.ask('dev_finalityLag', 0);
  running.chain.finalize(running.chain.head.number);
  await line.ask('dev_stall', { finality: true });
  return line;
}

beforeAll(async () => {
  const timing = { idleBlockMs: HOUR_MS, finalityMs: 500 };
  running = await startDevChain({ host: '127.0.0.1', port: 0, log, timing, faults: true });
  plain = await startDevChain({ host: '127.0.0.1', port: 0, log, timing });
  const identity = await Identity.fromSecret(randomBytes(32).toString('hex'), 'sr25519');
  client = await ChainClient.connect({ endpoints: [running.url], identity, deadlineMs: 30_000 });
  await client.endow();
  await client.ensureTwin({ relay: 'relay.example' });
});

afterAll(async () => {
  await client?.close();
  await running?.stop();
  await plain?.stop();
});

describe('a chain that was not started for it', () => {
  it('has no faults', async () => {
    const line = await open(plain.url);
    const { error } = await line.ask('dev_reorg', { depth: 1 });
    expect(error?.message).toBe('this chain was started without --faults');
    expect((await line.ask('rpc_methods')).result).not.toMatchObject({
      methods: expect.arrayContaining(['dev_reorg']),
    });
    line.close();
  });
});

describe('blocks', () => {
  it('stand still until one is made', async () => {
    const line = await standing();
    const before = running.chain.head.number;
    const sent = client.createNameContract(`still-${before}`);
    await expect.poll(() => running.chain.pool.size).toBe(1);
    expect(running.chain.head.number).toBe(before);
    await line.ask('dev_seal');
    expect(await sent).toBeGreaterThan(0n);
    expect(running.chain.head.number).toBe(before + 1);
    expect(running.chain.finalized.number).toBe(before);
    line.close();
  });

  it('that are not final are replaced by a longer branch, and still known by hash', async () => {
    const line = await standing();
    const { number: base } = running.chain.head;
    const now = storageKey(timestamp.storage.Now, []);
    await line.ask('dev_seal');
    await line.ask('dev_seal');
    const old = running.chain.head;
    const oldTime = (await line.ask('state_getStorage', now, old.hash)).result;
    expect((await line.ask('dev_reorg', { depth: 3 })).error?.message).toContain('no reorganisation of 3');
    const subscription = await line.ask('chain_subscribeNewHeads');
    expect(subscription.error).toBeUndefined();
    const { result } = await line.ask('dev_reorg', { depth: 2 });
    expect(running.chain.head).toMatchObject({ number: base + 3, hash: result });
    expect((await line.ask('chain_getBlockHash', old.number)).result).not.toBe(old.hash);
    expect((await line.ask('state_getStorage', now, old.hash)).result).toBe(oldTime);
    expect((await line.ask('state_getStorage', now)).result).not.toBe(oldTime);
    // Another one, from before the first fork.
    await line.ask('dev_reorg', { depth: 3 });
    expect((await line.ask('state_getStorage', now, old.hash)).result).toBe(oldTime);
    await expect.poll(() => line.notices.map(({ params }) => Number(params.result.number)).at(-1)).toBe(base + 4);
    line.close();
  });

  it('take their transactions along, or give them back', async () => {
    const line = await standing();
    const name = `forked-${running.chain.head.number}`;
    const make = async (): Promise<void> => {
      const sent = client.createNameContract(name);
      await expect.poll(() => running.chain.pool.size).toBe(1);
      await line.ask('dev_seal');
      await sent;
    };
    await make();
    await line.ask('dev_reorg', { depth: 1, transactions: 'kept' });
    expect(await client.contractByName(name)).toBeDefined();
    await line.ask('dev_reorg', { depth: 2, transactions: 'dropped' });
    expect(await client.contractByName(name)).toBeUndefined();
    await make();
    expect(await client.contractByName(name)).toBeDefined();
    line.close();
  });

  it('become final late, by hand, or not at all', async () => {
    const line = await standing();
    const { number: base } = running.chain.head;
    await line.ask('dev_finalityLag', 2);
    await line.ask('dev_stall', { finality: false });
    for (let made = 0; made < 3; made += 1) await line.ask('dev_seal');
    await expect.poll(() => running.chain.finalized.number).toBe(base + 1);
    await line.ask('dev_finalize', base + 2);
    expect(running.chain.finalized.number).toBe(base + 2);
    await line.ask('dev_finalityLag', 0);
    await expect.poll(() => running.chain.finalized.number).toBe(base + 3);
    line.close();
  });

  it('lose their state, not their headers', async () => {
    const line = await standing();
    const { number, hash } = running.chain.head;
    expect((await line.ask('dev_discardStates', number + 1)).error?.message).toContain('is not final');
    await line.ask('dev_seal');
    await line.ask('dev_finalize', number + 1);
    await line.ask('dev_discardStates', number + 1);
    expect((await line.ask('state_getStorage', '0x00', hash)).error?.message).toContain('State already discarded');
    expect((await line.ask('chain_getHeader', hash)).error).toBeUndefined();
    expect((await line.ask('chain_getBlockHash', number)).result).toBe(hash);
    line.close();
  });
});

describe('notifications', () => {
  it('get lost, change places, and end', async () => {
    const line = await standing();
    await line.ask('chain_subscribeNewHeads');
    const { number: base } = running.chain.head;
    const told = (): number[] => line.notices.map(({ params }) => Number(params.result.number) - base);
    await expect.poll(told).toEqual([0]);
    await line.ask('dev_loseNotifications', { name: 'chain_newHead', count: 1 });
    await line.ask('dev_seal');
    await line.ask('dev_swapNotifications', 'chain_newHead');
    for (let made = 0; made < 3; made += 1) await line.ask('dev_seal');
    await expect.poll(told).toEqual([0, 3, 2, 4]);
    expect(Number((await line.ask('dev_endSubscriptions')).result)).toBeGreaterThan(0);
    await line.ask('dev_seal');
    await line.ask('system_chain');
    expect(told()).toEqual([0, 3, 2, 4]);
    line.close();
  });

  it('and answers come late or never, and connections are refused', async () => {
    const line = await standing();
    await line.ask('dev_delayAnswers', 150);
    const asked = performance.now();
    await line.ask('system_chain');
    expect(performance.now() - asked).toBeGreaterThan(140);
    await line.ask('dev_delayAnswers', 0);
    await line.ask('dev_refuseConnections', 3_000);
    const refused = new WebSocket(running.url);
    await once(refused, 'close');
    await expect
      .poll(async () => {
        const again = await open().catch(() => undefined);
        const answer = await Promise.race([again?.ask('system_chain'), new Promise((end) => setTimeout(end, 200))]);
        again?.close();
        return answer !== undefined;
      })
      .toBe(true);
    line.close();
  });
});

describe('a new runtime', () => {
  it('is announced, has metadata of its own, and takes only what was signed for it', async () => {
    const line = await standing();
    const { head } = running.chain;
    const { hash: before } = head;
    const specVersion = running.chain.specVersionAt(head);
    const old = (await line.ask('state_getMetadata')).result;
    const { result: version } = await line.ask('dev_upgradeRuntime');
    expect(version).toBe(specVersion + 1);
    expect((await line.ask('state_getRuntimeVersion')).result).toMatchObject({ specVersion: specVersion + 1 });
    expect((await line.ask('state_getRuntimeVersion', before)).result).toMatchObject({ specVersion });
    expect((await line.ask('state_getMetadata')).result).not.toBe(old);
    expect((await line.ask('state_getMetadata', before)).result).toBe(old);
    await line.ask('dev_stall', { blocks: false });
    const name = `upgraded-${running.chain.head.number}`;
    await expect
      .poll(() => client.createNameContract(name).catch(() => undefined), { timeout: 20_000 })
      .toBeGreaterThan(0n);
    line.close();
  }, 60_000);
});
