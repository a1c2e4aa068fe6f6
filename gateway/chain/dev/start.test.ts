/** The chain's door: what it refuses, and what it still knows after a restart. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApiPromise, Keyring, WsProvider } from '@polkadot/api';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { Identity } from '../../rmb/keys.ts';
import { ChainClient } from '../client.ts';
import { redirectLibraryLog } from '../library-log.ts';
import { type RunningDevChain, startDevChain } from './start.ts';

const log = pino({ level: 'silent' });
const HASH = '9021d4dee05a661e2cb6838152c67f25';
const TERMS = ['http://terms.example', 'abc'] as const;
redirectLibraryLog();

let folder: string;
let running: RunningDevChain;
const closing: Array<() => Promise<unknown>> = [];

const start = (): Promise<RunningDevChain> => startDevChain({ host: '127.0.0.1', port: 0, log, state: folder });

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'devchain-'));
  running = await start();
});

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
  await running.stop();
  await rm(folder, { recursive: true, force: true });
});

async function library(): Promise<ApiPromise> {
  const api = await ApiPromise.create({ provider: new WsProvider(running.url) as never, noInitWarn: true });
  closing.push(() => api.disconnect());
  return api;
}

function transaction(api: ApiPromise, pallet: string, method: string, ...args: unknown[]) {
  const make = api.tx[pallet]?.[method];
  if (make === undefined) throw new Error(`no call ${pallet}.${method}`);
  return make(...args);
}

async function ask(method: string, params: unknown[]): Promise<{ result?: unknown; error?: Record<string, unknown> }> {
  const socket = new WebSocket(running.url);
  try {
    await once(socket, 'open');
    socket.send(JSON.stringify({ jsonrpc: '2.0', id: 7, method, params }));
    const [data] = (await once(socket, 'message')) as [Buffer];
    return JSON.parse(data.toString());
  } finally {
    socket.terminate();
  }
}

describe('transactions that are not taken', () => {
  it('a changed call, a used nonce, a foreign genesis, a nonce from far ahead', async () => {
    const api = await library();
    for (const type of ['sr25519', 'ed25519'] as const) {
      const alice = new Keyring({ type }).addFromUri('//Alice');
      const make = () => transaction(api, 'tfgridModule', 'userAcceptTc', ...TERMS);
      const good = (await make().signAsync(alice, { nonce: 0 })).toU8a();
      const bad = new Uint8Array(good);
      bad[bad.length - 1] = (bad.at(-1) as number) ^ 1;
      const submit = (bytes: Uint8Array) => ask('author_submitExtrinsic', [`0x${Buffer.from(bytes).toString('hex')}`]);

      expect((await submit(bad)).error).toMatchObject({ code: 1010, data: 'Transaction has a bad signature' });
      const foreign = await make().signAsync(alice, { nonce: 0, genesisHash: `0x${'22'.repeat(32)}` } as never);
      expect((await submit(foreign.toU8a())).error).toMatchObject({ data: 'Transaction has a bad signature' });
      const ahead = await make().signAsync(alice, { nonce: 5000 });
      expect((await submit(ahead.toU8a())).error).toMatchObject({ code: 1016 });
      expect((await submit(good)).result).toMatch(/^0x[0-9a-f]{64}$/);
      await expect.poll(async () => (await submit(good)).error?.data).toBe('Transaction is outdated');
      const immortal = await make().signAsync(alice, { nonce: 1, era: 0 });
      expect((await submit(immortal.toU8a())).result).toMatch(/^0x/);
      expect((await submit(good.subarray(0, 50))).error).toMatchObject({ code: 1002 });
    }
    const poor = new Keyring({ type: 'sr25519' }).addFromSeed(randomBytes(32));
    const unpaid = await transaction(api, 'system', 'remark', '0x00').signAsync(poor, { nonce: 0 });
    expect((await ask('author_submitExtrinsic', [unpaid.toHex()])).error?.data).toContain('Inability to pay some fees');
  }, 60_000);

  it('a transaction whose nonce comes next waits for the one before', async () => {
    const api = await library();
    const alice = new Keyring({ type: 'sr25519' }).addFromUri('//Alice');
    const [first, second] = await Promise.all(
      [0, 1].map((nonce) => transaction(api, 'system', 'remark', '0x01').signAsync(alice, { nonce })),
    );
    expect((await ask('author_submitExtrinsic', [second?.toHex()])).result).toMatch(/^0x/);
    expect((await ask('system_accountNextIndex', [alice.address])).result).toBe(0);
    expect((await ask('author_submitExtrinsic', [first?.toHex()])).result).toMatch(/^0x/);
    await expect.poll(async () => (await ask('system_accountNextIndex', [alice.address])).result).toBe(2);
  }, 60_000);

  it('calls that only the council may make, and ones that this chain does not run', async () => {
    const client = await funded();
    const submit = (pallet: string, method: string, args: unknown[]) =>
      client.submit({ pallet, method, args }).then(
        () => 'accepted',
        (error: { details?: { error?: string } }) => error.details?.error,
      );
    expect(await submit('tfgridModule', 'setZosVersion', ['1.0'])).toBe('BadOrigin');
    expect(await submit('smartContractModule', 'billContractForBlock', [1])).toBe('CallFiltered');
    expect(await submit('balances', 'transferKeepAlive', [client.address, 10n ** 15n])).toBe('FundsUnavailable');
  }, 60_000);
});

async function funded(): Promise<ChainClient> {
  const identity = await Identity.fromSecret(randomBytes(32).toString('hex'), 'sr25519');
  const client = await ChainClient.connect({ endpoints: [running.url], identity, deadlineMs: 30_000 });
  closing.push(() => client.close());
  await client.endow();
  return client;
}

describe('requests that make no sense', () => {
  it.each([
    ['no_such_method', [], -32601],
    ['state_getStorage', ['zz'], -32602],
    ['state_getStorage', ['0x00', `0x${'33'.repeat(32)}`], -32000],
    ['system_accountNextIndex', ['5Grwva'], -32602],
    ['state_getKeysPaged', ['0x', 100_000], -32602],
    ['dev_graceStart', [4711], -32000],
    ['dev_setTiming', [{ finalityMs: 1 }], -32602],
    ['state_call', ['Nothing_here', '0x'], -32000],
  ])('%s %j', async (method, params, code) => {
    expect((await ask(method, params)).error?.code).toBe(code);
  });

  it('bytes that are not JSON-RPC do not end the connection', async () => {
    const socket = new WebSocket(running.url);
    await once(socket, 'open');
    for (const text of ['{', '[]', '{"id":{}}', 'null']) {
      socket.send(text);
      const [data] = (await once(socket, 'message')) as [Buffer];
      expect(JSON.parse(data.toString()).error.code).toBeLessThan(0);
    }
    socket.terminate();
  });
});

describe('a restart', () => {
  it('continues with the same chain: genesis, height, state, nonces', async () => {
    const client = await funded();
    const twin = await client.ensureTwin({ relay: 'relay.example' });
    const farm = await client.createFarm('restart');
    const node = await client.createNode({ farmId: farm, resources: { hru: 0n, sru: 1n, cru: 1n, mru: 1n } });
    const contract = await client.createNodeContract({ nodeId: node, hash: HASH });
    const before = await client.contract(contract);
    const height = running.chain.head.number;
    const genesis = (await ask('chain_getBlockHash', [0])).result;
    const third = (await ask('chain_getBlockHash', [3])).result;
    for (const close of closing.splice(0)) await close();
    await running.stop();
    running = await start();

    expect(running.chain.head.number).toBeGreaterThanOrEqual(height);
    expect((await ask('chain_getBlockHash', [0])).result).toBe(genesis);
    expect((await ask('chain_getBlockHash', [3])).result).toBe(third);
    const again = await ChainClient.connect({ endpoints: [running.url], deadlineMs: 30_000 });
    closing.push(() => again.close());
    expect(await again.contract(contract)).toEqual(before);
    expect(await again.activeContracts(node)).toEqual([contract]);
    const other = await funded();
    expect(await other.ensureTwin({ relay: 'relay.example' })).toBe(twin + 1);
    expect(running.chain.head.number).toBeGreaterThan(height);
  }, 60_000);

  it('makes a block at once, as clients refuse a chain whose clock stands', async () => {
    const hour = { idleBlockMs: 3_600_000 };
    for (let blocks = running.chain.head.number; blocks < 3; blocks = running.chain.head.number) {
      await running.stop();
      running = await startDevChain({ host: '127.0.0.1', port: 0, log, state: folder, timing: hour });
      await expect.poll(() => running.chain.head.number, { timeout: 20_000 }).toBeGreaterThan(blocks);
    }
  }, 60_000);

  it('refuses a state file that is none instead of starting over', async () => {
    await running.stop();
    await writeFile(join(folder, 'chain.json'), '{"version":1}');
    await expect(start()).rejects.toThrow();
    await rm(join(folder, 'chain.json'));
    running = await start();
  });
});
