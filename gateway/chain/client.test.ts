import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { isGridError } from '../../schemas/errors/index.ts';
import { Identity, type KeyType } from '../rmb/keys.ts';
import { type ChainBlock, ChainClient } from './client.ts';
import { type RunningDevChain, startDevChain } from './dev/start.ts';
import { redirectLibraryLog } from './library-log.ts';

const log = pino({ level: 'silent' });
redirectLibraryLog();
const HASH = '9021d4dee05a661e2cb6838152c67f25';
const OTHER_HASH = '0123456789abcdef0123456789abcdef';
const PATIENCE = { timeout: 20_000 };
const RESOURCES = { hru: 0n, sru: 512n * 2n ** 30n, cru: 8n, mru: 2n ** 34n };

const open = new Set<ChainClient>();
let running: RunningDevChain;

async function person(keyType: KeyType, deadlineMs = 30_000): Promise<ChainClient> {
  const identity = await Identity.fromSecret(randomBytes(32).toString('hex'), keyType);
  const client = await ChainClient.connect({ endpoints: [running.url], identity, deadlineMs });
  open.add(client);
  return client;
}

async function twinOf(keyType: KeyType): Promise<{ client: ChainClient; twin: number }> {
  const client = await person(keyType);
  await client.endow();
  return { client, twin: await client.ensureTwin({ relay: 'relay.example', encryptionKey: null }) };
}

async function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** What an event says of a contract on a node, nothing where it is about something else. */
function contractEvent({ name, data }: ChainBlock['events'][number], nodeId: number): string[] {
  if (name === 'NodeContractCanceled') return data[1] === nodeId ? [`cancelled ${data[0]}`] : [];
  if (name !== 'ContractCreated') return [];
  const { contractType } = data[0] as { contractType: { nodeContract?: { nodeId: number; deploymentHash: string } } };
  const contract = contractType.nodeContract;
  if (contract?.nodeId !== nodeId) return [];
  return [`created ${Buffer.from(contract.deploymentHash.slice(2), 'hex')}`];
}

beforeAll(async () => {
  running = await startDevChain({ host: '127.0.0.1', port: 0, log });
});

afterAll(async () => {
  for (const client of open) await client.close();
  await running.stop();
});

describe('a grid on the development chain', () => {
  it('goes through the life of twins, farm, node and contracts with both key types', async () => {
    const farmer = await twinOf('sr25519');
    const node = await twinOf('ed25519');
    const user = await twinOf('sr25519');
    expect(new Set([farmer.twin, node.twin, user.twin]).size).toBe(3);

    const key = new Uint8Array([2, ...randomBytes(32)]);
    await node.client.updateTwin({ relay: ['bb.example', 'aa.example', 'bb.example'], encryptionKey: key });
    const twin = await user.client.twin(node.twin);
    expect(twin).toMatchObject({
      id: node.twin,
      relay: ['aa.example', 'bb.example'],
      relayText: 'aa.example_bb.example',
    });
    expect(twin?.encryptionKey).toEqual(key);
    expect(twin?.account).toEqual(node.client.publicKey);
    expect(await user.client.twinByAccount(node.client.publicKey)).toMatchObject({ id: node.twin });
    expect(await user.client.twin(999_999)).toBeUndefined();

    const farmId = await farmer.client.createFarm(`lifecycle-${farmer.twin}`, [
      { ip: '185.206.122.10/24', gw: '185.206.122.1' },
    ]);
    const interfaces = [{ name: 'zos', mac: '54:b2:03:00:00:01', ips: ['10.1.2.3/24'] }];
    const nodeId = await node.client.createNode({ farmId, resources: RESOURCES, interfaces });
    expect(await user.client.node(nodeId)).toMatchObject({
      farmId,
      twinId: node.twin,
      resources: RESOURCES,
      interfaces,
    });
    expect(await user.client.nodeIdOf(node.twin)).toBe(nodeId);
    expect(await user.client.nodesOf(farmId)).toEqual([nodeId]);

    const contractId = await user.client.createNodeContract({ nodeId, hash: HASH, data: '{"a":1}', publicIps: 1 });
    expect(await user.client.contract(contractId)).toMatchObject({
      contractId,
      twinId: user.twin,
      state: { kind: 'created' },
      contractType: {
        kind: 'node',
        nodeId,
        deploymentHash: new TextEncoder().encode(HASH),
        deploymentData: '{"a":1}',
        publicIpsList: [{ ip: '185.206.122.10/24', gateway: '185.206.122.1', contractId }],
      },
    });
    expect(await user.client.activeContracts(nodeId)).toEqual([contractId]);
    expect((await user.client.farm(farmId))?.publicIps[0]?.contractId).toBe(contractId);

    const twice = await failure(user.client.createNodeContract({ nodeId, hash: HASH }));
    expect(isGridError(twice, 'chain_dispatch') && twice.details).toMatchObject({
      call: 'smartContractModule.createNodeContract',
      pallet: 'smartContractModule',
      error: 'ContractIsNotUnique',
    });
    const noAddress = await failure(user.client.createNodeContract({ nodeId, hash: OTHER_HASH, publicIps: 1 }));
    expect(isGridError(noAddress, 'chain_dispatch') && noAddress.details.error).toBe('FarmHasNotEnoughPublicIPsFree');
    expect(await user.client.activeContracts(nodeId)).toEqual([contractId]);

    await user.client.updateNodeContract(contractId, OTHER_HASH, '{}');
    const foreign = await failure(farmer.client.updateNodeContract(contractId, HASH, '{}'));
    expect(isGridError(foreign, 'chain_dispatch') && foreign.details.error).toBe('TwinNotAuthorizedToUpdateContract');

    await user.client.cancelContract(contractId);
    await user.client.cancelContract(contractId);
    expect(await user.client.contract(contractId)).toBeUndefined();
    expect(await user.client.activeContracts(nodeId)).toEqual([]);
    expect((await user.client.farm(farmId))?.publicIps[0]?.contractId).toBe(0n);
    await user.client.createNodeContract({ nodeId, hash: HASH, publicIps: 1 });
  }, 60_000);

  it('rents nodes and registers names with the rules of the chain', async () => {
    const farmer = await twinOf('sr25519');
    const node = await twinOf('ed25519');
    const user = await twinOf('sr25519');
    const farmId = await farmer.client.createFarm(`renting-${farmer.twin}`);
    const nodeId = await node.client.createNode({ farmId, resources: RESOURCES });

    const rent = await user.client.createRentContract(nodeId);
    expect(await user.client.rentContract(nodeId)).toBe(rent);
    const refused = await failure(farmer.client.createNodeContract({ nodeId, hash: HASH }));
    expect(isGridError(refused, 'chain_dispatch') && refused.details.error).toBe('NodeHasRentContract');
    const inside = await user.client.createNodeContract({ nodeId, hash: HASH });
    expect((await user.client.contractAt(inside)).rentedBy).toBe(user.twin);
    const held = await failure(user.client.cancelContract(rent));
    expect(isGridError(held, 'chain_dispatch') && held.details.error).toBe('NodeHasActiveContracts');
    await user.client.cancelContract(inside);
    await user.client.cancelContract(rent);

    const sub = `my-sub-${user.twin}`;
    const name = await user.client.createNameContract(sub);
    expect(await user.client.contractByName(sub)).toBe(name);
    const taken = await failure(farmer.client.createNameContract(sub));
    expect(isGridError(taken, 'chain_dispatch') && taken.details.error).toBe('NameExists');
  }, 60_000);

  it('keeps a node with an extra fee for who rents it', async () => {
    const farmer = await twinOf('sr25519');
    const node = await twinOf('ed25519');
    const user = await twinOf('sr25519');
    const farmId = await farmer.client.createFarm(`fee-${farmer.twin}`);
    const nodeId = await node.client.createNode({ farmId, resources: RESOURCES });
    const setFee = (client: ChainClient): Promise<unknown> =>
      client.submit({ pallet: 'smartContractModule', method: 'setDedicatedNodeExtraFee', args: [nodeId, 5000] });
    const errorOf = async (work: Promise<unknown>): Promise<unknown> => {
      const error = await failure(work);
      return isGridError(error, 'chain_dispatch') && error.details.error;
    };

    expect(await errorOf(setFee(user.client))).toBe('UnauthorizedToSetExtraFee');
    await setFee(farmer.client);
    const contract = { nodeId, hash: HASH };
    expect(await errorOf(user.client.createNodeContract(contract))).toBe('NodeNotAvailableToDeploy');
    const rent = await user.client.createRentContract(nodeId);
    expect(await errorOf(setFee(farmer.client))).toBe('NodeHasActiveContracts');
    await user.client.cancelContract(await user.client.createNodeContract(contract));
    await user.client.cancelContract(rent);
  }, 60_000);

  it('tells of events in final blocks in order and carries on after lost sockets', async () => {
    const farmer = await twinOf('sr25519');
    const node = await twinOf('ed25519');
    const farmId = await farmer.client.createFarm(`events-${farmer.twin}`);
    const nodeId = await node.client.createNode({ farmId, resources: RESOURCES });
    const stop = new AbortController();
    const blocks: ChainBlock[] = [];
    const following = (async () => {
      for await (const block of farmer.client.blocks('final', stop.signal)) blocks.push(block);
    })();
    // Final blocks of earlier tests still arrive: only this node's contracts count.
    const told = (): string[] =>
      blocks.flatMap((block) => block.events.flatMap((event) => contractEvent(event, nodeId)));
    await expect.poll(() => blocks.length, PATIENCE).toBeGreaterThan(0);

    const first = await farmer.client.createNodeContract({ nodeId, hash: HASH });
    await farmer.client.cancelContract(first);
    await expect.poll(told, PATIENCE).toEqual([`created ${HASH}`, `cancelled ${first}`]);

    const admin = new WebSocket(running.url);
    await once(admin, 'open');
    admin.send(JSON.stringify({ id: 1, jsonrpc: '2.0', method: 'dev_dropSockets', params: [] }));
    await once(admin, 'close');
    // A call whose answer went with a socket may have been taken: then the next says that it is there.
    const again = async (): Promise<boolean> => {
      const error = await failure(farmer.client.createNodeContract({ nodeId, hash: OTHER_HASH }));
      return (
        error === undefined || (isGridError(error, 'chain_dispatch') && error.details.error === 'ContractIsNotUnique')
      );
    };
    await expect.poll(again, PATIENCE).toBe(true);
    await expect.poll(told, PATIENCE).toEqual([`created ${HASH}`, `cancelled ${first}`, `created ${OTHER_HASH}`]);
    const numbers = blocks.map((block) => block.number);
    expect(numbers).toEqual([...new Set(numbers)].sort((one, other) => one - other));
    stop.abort();
    await following;
  }, 60_000);
});

describe('many at once', () => {
  it('endows accounts and sends calls of one account side by side', async () => {
    const people = await Promise.all(
      ['sr25519', 'ed25519', 'sr25519', 'ed25519'].map((type) => person(type as KeyType)),
    );
    await Promise.all(people.map((one) => one.endow()));
    const [first] = people as [ChainClient];
    const twin = await first.ensureTwin({ relay: 'relay.example' });
    const names = Array.from({ length: 10 }, (_, index) => `side-by-side-${twin}-${index}`);
    const ids = await Promise.all(names.map((name) => first.createNameContract(name)));
    expect(new Set(ids).size).toBe(names.length);
  }, 60_000);
});

describe('what goes wrong', () => {
  it('names the account that cannot pay', async () => {
    const poor = await person('sr25519');
    const error = await failure(poor.acceptTerms());
    expect(isGridError(error, 'chain_rejected') && error.details).toMatchObject({ code: 1010 });
    expect(String(error)).toContain('Inability to pay some fees');
  });

  it('gives up on endpoints that do not answer', async () => {
    const started = Date.now();
    const error = await failure(ChainClient.connect({ endpoints: ['ws://127.0.0.1:9'], deadlineMs: 700 }));
    expect(isGridError(error, 'chain_lost') && error.message).toMatch(
      /^the chain cannot be reached: no answer about its runtime from ws:\/\/127\.0\.0\.1:9; /,
    );
    expect(Date.now() - started).toBeLessThan(20_000);
  });

  it('uses the second endpoint when the first is dead', async () => {
    const client = await ChainClient.connect({ endpoints: ['ws://127.0.0.1:9', running.url], deadlineMs: 30_000 });
    open.add(client);
    expect(await client.time()).toBeGreaterThanOrEqual(0);
  }, 60_000);

  it('refuses a chain with another genesis', async () => {
    const genesis = `0x${'11'.repeat(32)}`;
    const error = await failure(ChainClient.connect({ endpoints: [running.url], genesis, deadlineMs: 30_000 }));
    expect(isGridError(error, 'chain_genesis')).toBe(true);
  }, 60_000);

  it('refuses to sign without an identity and hashes that are none', async () => {
    const reader = await ChainClient.connect({ endpoints: [running.url], deadlineMs: 30_000 });
    open.add(reader);
    expect(isGridError(await failure(reader.acceptTerms()), 'chain_key')).toBe(true);
    const { client } = await twinOf('sr25519');
    await expect(client.createNodeContract({ nodeId: 1, hash: `0x${HASH}` })).rejects.toThrow(RangeError);
  }, 60_000);
});
