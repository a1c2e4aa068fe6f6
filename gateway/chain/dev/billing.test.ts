/** Bills of real contracts on the chain: amounts, events, grace periods, rent that drags, and who is paid. */
import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Identity } from '../../rmb/keys.ts';
import { type ChainBlock, ChainClient } from '../client.ts';
import { redirectLibraryLog } from '../library-log.ts';
import { billAfter } from './pallets/billing.ts';
import { findContract } from './pallets/grace.ts';
import { type RunningDevChain, startDevChain } from './start.ts';

const log = pino({ level: 'silent' });
const HOUR = 3600;
const DAY = 24 * HOUR;
const TFT = 10_000_000n;
const GIB = 1024n ** 3n;
const PATIENCE = { timeout: 20_000 };
/** Two compute units and one storage unit: 25 milli-USD an hour, 2.5 TFT. */
const RESOURCES = { hru: 0n, sru: 200n * GIB, cru: 4n, mru: 8n * GIB };
redirectLibraryLog();

let running: RunningDevChain;
let farmer: ChainClient;
let node: ChainClient;
let user: ChainClient;
let nodeId: number;
const clients: ChainClient[] = [];
const stop = new AbortController();
const blocks: ChainBlock[] = [];
let following: Promise<void>;

async function person(): Promise<ChainClient> {
  const identity = await Identity.fromSecret(randomBytes(32).toString('hex'), 'ed25519');
  const client = await ChainClient.connect({ endpoints: [running.url], identity, deadlineMs: 30_000 });
  clients.push(client);
  await client.endow();
  await client.ensureTwin({ relay: 'relay.example' });
  return client;
}

const bill = (id: bigint, seconds: number): Promise<unknown> =>
  running.chain.asRoot((context) => billAfter(context, findContract(context, id), seconds));
const balance = async (client: ChainClient) => (await client.account(client.publicKey)).data;
const stateOf = async (id: bigint): Promise<string | undefined> => (await user.contract(id))?.state.kind;
const hash = (): string => randomBytes(16).toString('hex');

/** Names of what the chain told of a contract, in order. */
const toldOf = (id: bigint): string[] =>
  blocks.flatMap(({ events }) =>
    events.flatMap(({ pallet, name, data }) => {
      const subject = (data[0] as { contractId?: number } | null)?.contractId ?? data[0];
      return pallet === 'smartContractModule' && subject === Number(id) ? [name] : [];
    }),
  );

beforeAll(async () => {
  const timing = { idleBlockMs: 3_600_000, finalityMs: 500 };
  running = await startDevChain({ host: '127.0.0.1', port: 0, log, timing, billing: { graceBlocks: 2 } });
  [farmer, node, user] = [await person(), await person(), await person()];
  const farmId = await farmer.createFarm('billing', [{ ip: '185.206.122.10/24', gw: '185.206.122.1' }]);
  nodeId = await node.createNode({ farmId, resources: RESOURCES });
  following = (async () => {
    for await (const block of user.blocks('best', stop.signal)) blocks.push(block);
  })();
});

beforeEach(async () => {
  const { free } = await balance(user);
  if (free < 1000n * TFT) await user.endow(4000n * TFT);
});

afterAll(async () => {
  stop.abort();
  await following;
  for (const client of clients) await client.close();
  await running?.stop();
});

describe('bills', () => {
  it('are for what was used since the last one, and nobody is billed unasked', async () => {
    const id = await user.createNodeContract({ nodeId, hash: hash(), publicIps: 1 });
    await node.reportContractResources([{ contractId: id, used: RESOURCES }]);
    const before = await balance(user);
    running.chain.seal();
    expect((await balance(user)).reserved).toBe(before.reserved);
    await bill(id, HOUR);
    const { free, reserved } = await balance(user);
    // 250 000 units and 40 000 for the address are 29 milli-USD: 2.9 TFT, less by what the balance lasts for.
    const paid = reserved - before.reserved;
    expect(before.free - free).toBe(paid);
    expect(Number(paid) / Number(TFT)).toBeGreaterThan(2.9 * 0.4 - 0.01);
    expect(Number(paid) / Number(TFT)).toBeLessThan(2.9 + 0.01);
    await expect.poll(() => toldOf(id).at(-1), PATIENCE).toBe('ContractBilled');

    const earned = (await balance(farmer)).free;
    await user.cancelContract(id);
    const half = (await balance(farmer)).free - earned;
    expect(half).toBeGreaterThanOrEqual(paid / 2n);
    expect((await balance(user)).reserved).toBe(before.reserved);
    const ending = ['RewardDistributed', 'NodeContractCanceled'];
    await expect.poll(() => toldOf(id).filter((name) => ending.includes(name)), PATIENCE).toEqual(ending);
  }, 60_000);

  it('of a rented node are for all of it, its contracts are paused and ended with it', async () => {
    const rent = await user.createRentContract(nodeId);
    const inside = await user.createNodeContract({ nodeId, hash: hash() });
    await node.reportContractResources([{ contractId: inside, used: RESOURCES }]);
    const before = await balance(user);
    await bill(inside, DAY);
    expect((await balance(user)).reserved).toBe(before.reserved);
    await bill(rent, HOUR);
    const paid = Number((await balance(user)).reserved - before.reserved) / Number(TFT);
    // Half of 2.5 TFT, as for a dedicated node.
    expect(paid).toBeLessThan(1.26);
    expect(paid).toBeGreaterThan(1.25 * 0.4 - 0.01);

    await bill(rent, 500 * DAY);
    expect([await stateOf(rent), await stateOf(inside)]).toEqual(['grace', 'grace']);
    await user.endow(20_000n * TFT);
    await bill(rent, 0);
    expect([await stateOf(rent), await stateOf(inside)]).toEqual(['created', 'created']);

    await bill(rent, 20_000 * DAY);
    expect(await stateOf(inside)).toBe('grace');
    running.chain.seal();
    await bill(rent, 0);
    expect(await stateOf(rent)).toBeUndefined();
    expect(await stateOf(inside)).toBeUndefined();
    expect(await user.activeContracts(nodeId)).toEqual([]);
    expect(await user.rentContract(nodeId)).toBeUndefined();
    await expect.poll(() => toldOf(rent).slice(-1), PATIENCE).toEqual(['RentContractCanceled']);
    const about = (name: string): boolean => /Grace|Cancel|Elapsed/.test(name);
    expect(toldOf(inside).filter(about)).toEqual([
      'ContractGracePeriodStarted',
      'ContractGracePeriodEnded',
      'ContractGracePeriodStarted',
      'NodeContractCanceled',
    ]);
    expect(toldOf(rent)).toContain('ContractGracePeriodElapsed');
  }, 60_000);

  it('come by themselves when the chain is told a period', async () => {
    const id = await user.createNameContract(`bill-${running.chain.head.number}`);
    running.chain.setBilling({ everySeconds: 1 });
    try {
      await expect
        .poll(() => {
          running.chain.seal();
          return toldOf(id).filter((name) => name === 'ContractBilled').length;
        }, PATIENCE)
        .toBeGreaterThan(0);
    } finally {
      running.chain.setBilling({ everySeconds: 0 });
    }
  }, 60_000);
});
