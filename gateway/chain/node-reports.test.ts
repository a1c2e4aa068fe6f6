import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { isGridError } from '../../schemas/errors/index.ts';
import { Identity } from '../rmb/keys.ts';
import { ChainClient } from './client.ts';
import { type RunningDevChain, startDevChain } from './dev/start.ts';
import { redirectLibraryLog } from './library-log.ts';
import { readReported, reportTraffic } from './node-reports.ts';
import { ensureOwnNode } from './own-node.ts';
import { LIFE_BLOCKS } from './transactions.ts';

const log = pino({ level: 'silent' });
redirectLibraryLog();
const HASH = '9021d4dee05a661e2cb6838152c67f25';
const LIMITS = { deadlineMs: 30_000 };
const RESOURCES = { hru: 0n, sru: 1_000_000n, cru: 4n, mru: 8_000_000n };

let running: RunningDevChain;
let node: ChainClient;
let farmId: number;
let nodeId: number;
let contract: bigint;
const clients: ChainClient[] = [];

async function client(): Promise<ChainClient> {
  const identity = await Identity.fromSecret(randomBytes(32).toString('hex'), 'ed25519');
  const opened = await ChainClient.connect({ endpoints: [running.url], identity, deadlineMs: 30_000 });
  clients.push(opened);
  await opened.endow();
  return opened;
}

/** The newest block is final, and so are all before it. */
async function settle(): Promise<number> {
  running.chain.finalize(running.chain.head.number);
  return (await readReported(node, [], LIMITS)).block;
}

const trafficUntil = async (): Promise<bigint> =>
  (await readReported(node, [contract], LIMITS)).contracts[0]?.TrafficUntil ?? 0n;

beforeAll(async () => {
  running = await startDevChain({ host: '127.0.0.1', port: 0, log, faults: true });
  const farmer = await client();
  await farmer.ensureTwin({ relay: 'relay.example' });
  farmId = await farmer.createFarm('reports');
}, 60_000);

afterEach(() => running.chain.setFinality({ held: false }));

afterAll(async () => {
  for (const one of clients) await one.close();
  await running.stop();
});

describe('ensureOwnNode', () => {
  it('needs a twin and a farm, makes the node once, and writes only what differs', async () => {
    node = await client();
    const wishes = { farmId, resources: RESOURCES, interfaces: [] };
    await expect(ensureOwnNode(node, wishes)).rejects.toMatchObject({ code: 'chain_registration' });
    await node.ensureTwin({ relay: 'relay.example' });
    await expect(ensureOwnNode(node, { ...wishes, farmId: 99 })).rejects.toMatchObject({ code: 'chain_not_found' });

    const created = await ensureOwnNode(node, wishes);
    expect(created.done).toBe('created');
    ({ nodeId } = created);
    const location = { city: 'Ghent', country: 'Belgium', latitude: '51', longitude: '3' };
    const zos = { name: 'zos', mac: '54:B2:03:00:00:01', ips: ['10.0.0.2/24', '10.0.0.3/24'] };
    const full = { ...wishes, location, interfaces: [zos], serialNumber: 's-1', virtualized: true, secureBoot: false };
    expect(await ensureOwnNode(node, full)).toEqual({
      nodeId,
      done: 'updated',
      differences: expect.arrayContaining(['location', 'interfaces', 'serialNumber', 'virtualized']),
    });
    const before = (await node.account(node.publicKey)).nonce;
    // Other letters, another order, and what is left out: nothing differs.
    const same = { ...zos, mac: zos.mac.toLowerCase(), ips: zos.ips.toReversed() };
    const again = await ensureOwnNode(node, { farmId, resources: RESOURCES, interfaces: [same] });
    expect(again).toEqual({ nodeId, done: 'nothing', differences: [] });
    expect((await node.account(node.publicKey)).nonce).toBe(before);
    expect((await node.node(nodeId))?.location.city).toBe('Ghent');
    const grown = { ...RESOURCES, sru: 2_000_000n };
    expect(await ensureOwnNode(node, { farmId, resources: grown })).toMatchObject({ differences: ['resources'] });
    expect((await node.node(nodeId))?.resources.sru).toBe(2_000_000n);
  });

  it('changes nothing for an account that cannot pay', async () => {
    const identity = await Identity.fromSecret(randomBytes(32).toString('hex'), 'ed25519');
    const poor = node.actingAs(identity);
    await poor.endow();
    await poor.ensureTwin({ relay: 'relay.example' });
    const { data } = await poor.account(poor.publicKey);
    await poor.transfer(node.publicKey, data.free - 15_000n);
    await expect(ensureOwnNode(poor, { farmId, resources: RESOURCES })).rejects.toMatchObject({
      code: 'chain_account',
    });
  });
});

describe('reportTraffic', () => {
  const report = async (timestamp: bigint, nru: bigint) => ({ contractId: contract, timestamp, window: 3600n, nru });

  beforeAll(async () => {
    contract = await node.createNodeContract({ nodeId, hash: HASH });
  });

  it('returns when a final block has it, and lets others pass meanwhile', async () => {
    const birth = await settle();
    const made = await trafficUntil();
    running.chain.setFinality({ held: true });
    let isFinal = false;
    const sent = reportTraffic(node, [await report(made + 10n, 1_000n)], birth, LIMITS).then(() => {
      isFinal = true;
    });
    await node.reportUptime(5n, BigInt(Math.floor((await node.time()) / 1000)));
    expect(isFinal).toBe(false);
    running.chain.setFinality({ held: false });
    await sent;
    expect(await trafficUntil()).toBe(made + 10n);
  });

  it('is void after its life, however late it is sent', async () => {
    const birth = await settle();
    const before = await trafficUntil();
    for (let block = 0; block < LIFE_BLOCKS; block += 1) running.chain.seal();
    const error: unknown = await reportTraffic(node, [await report(before + 10n, 5n)], birth, LIMITS).catch(
      (thrown: unknown) => thrown,
    );
    expect(isGridError(error, 'chain_rejected')).toBe(true);
    await settle();
    expect(await trafficUntil()).toBe(before);
  });

  it('is passed over when it is older than the newest, and told by nothing but what is stored', async () => {
    const birth = await settle();
    const before = await trafficUntil();
    await reportTraffic(node, [await report(before - 1n, 7n)], birth, LIMITS);
    expect(await trafficUntil()).toBe(before);
  });

  it('says which contract is over, and nothing of one that came after the final block', async () => {
    const hash = (): string => randomBytes(16).toString('hex');
    const over = await node.createNodeContract({ nodeId, hash: hash() });
    await node.cancelContract(over);
    await settle();
    running.chain.setFinality({ held: true });
    const coming = await node.createNodeContract({ nodeId, hash: hash() });
    const ids = [contract, over, coming, 999n];
    const held = async () =>
      (await readReported(node, ids, LIMITS)).contracts.map(({ ContractID, NodeID }) => [ContractID, NodeID]);
    const known = [
      [contract, nodeId],
      [over, 0],
    ];
    expect(await held()).toEqual(known);
    running.chain.setFinality({ held: false });
    await settle();
    expect(await held()).toEqual([...known, [coming, nodeId]]);
  });
});
