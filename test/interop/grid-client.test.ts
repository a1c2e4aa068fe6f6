/** The official TypeScript grid client's own modules on a whole node with real machines. */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { bip39Generate, waitReady } from '@polkadot/wasm-crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { webPort } from '../../cli/node/ports.ts';
import { ChainClient } from '../../gateway/chain/client.ts';
import { Identity, RmbClient, TwinCache } from '../../gateway/rmb/index.ts';
import { deploymentGet, deploymentList, parseOutput } from '../../schemas/index.ts';
import { differenceTo, restingHoldings } from '../system/holdings.ts';
import { type Hub, openHub, packSite } from '../system/hub.ts';
import { machinePage } from '../system/page.ts';
import { isRoot, startTestNode, type TestNode } from '../system/test-node.ts';
import { type GridFront, hasGridClient, machineWish, OfficialGridClient, startFront } from './grid-client.ts';

const GiB = 1024 ** 3;
const CALL_DEADLINE_MS = 20_000;
const NETWORK = { name: 'shopnet', ip_range: '10.44.0.0/16' };

describe.skipIf(!isRoot || !hasGridClient)('the official grid client and a whole node', () => {
  let node: TestNode;
  let hub: Hub;
  let front: GridFront;
  let folder: string;
  let chain: ChainClient;
  let client: OfficialGridClient;
  let own: RmbClient;
  let twin: number;
  let flist: string;

  beforeAll(async () => {
    await waitReady();
    // The client wants disks of a gibibyte at least, and half of one for a machine's root.
    node = await startTestNode({ poolSize: 6 * GiB });
    hub = await openHub(node);
    flist = await packSite(hub);
    folder = await mkdtemp(join(node.layout.state, 'client-'));
    const { config } = node;
    const addresses = {
      chain: config.chain[0] ?? '',
      relay: config.relay[0] ?? '',
      web: `http://${config.address}:${webPort}`,
      host: config.hostAddress,
    };
    front = await startFront(folder, addresses);
    const words = bip39Generate(12);
    const identity = await Identity.fromSecret(words, 'sr25519');
    chain = await ChainClient.connect({ endpoints: config.chain, identity });
    await chain.endow();
    twin = await chain.ensureTwin({ relay: addresses.host, encryptionKey: null });
    client = await OfficialGridClient.open(folder, front, addresses, words);
    own = new RmbClient({
      relays: config.relay,
      identity,
      twinId: twin,
      session: 'check',
      twins: new TwinCache({ twin: (id) => chain.twin(id) }),
    });
    await own.connect();
  }, 120_000);

  afterAll(async () => {
    client?.close();
    await own?.close();
    await chain?.close();
    await front?.close();
    await hub?.close();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    if (node !== undefined) expect(await node.stop()).toEqual([]);
  }, 120_000);

  /** What the node itself says this twin has on it. */
  const listed = async () => {
    const request = { twin: node.registration.twins.node, payload: '', deadlineMs: CALL_DEADLINE_MS };
    const answer = await own.call({ ...request, command: deploymentList.name });
    return parseOutput(deploymentList, answer);
  };

  it('deploys, lists, adds a machine and cancels', { timeout: 180_000 }, async () => {
    const before = await restingHoldings(node.layout);
    const [first, second] = ['web', 'second'].map((name) => machineWish(name, node.registration.nodeId, flist));
    const made = (await client.call('machines.deploy', { name: 'shop', network: NETWORK, machines: [first] })) as {
      contracts: { created: { contractId: number }[] };
    };
    const contractId = made.contracts.created[0]?.contractId ?? 0;
    expect(await client.call('machines.list')).toEqual(['shop']);
    expect(await client.call('machines.getObj', 'shop')).toEqual([
      expect.objectContaining({
        name: 'web',
        contractId,
        status: 'ok',
        interfaces: [{ network: NETWORK.name, ip: '10.44.2.2' }],
        mounts: [expect.objectContaining({ name: 'webdisk', size: GiB, state: 'ok' })],
        capacity: { cpu: 1, memory: 256 },
      }),
    ]);
    expect(await machinePage(node, { twin, network: NETWORK.name, address: '10.44.2.2' })).toContain('hello');

    await client.call('machines.add_machine', { ...second, deployment_name: 'shop' });
    const payload = JSON.stringify({ contract_id: contractId });
    const request = { twin: node.registration.twins.node, payload, deadlineMs: CALL_DEADLINE_MS };
    const deployment = parseOutput(deploymentGet, await own.call({ ...request, command: deploymentGet.name }));
    expect(deployment.version).toBe(1);
    expect(deployment.workloads.map(({ name, result }) => [name, result.state]).sort()).toEqual([
      ['second', 'ok'],
      ['seconddisk', 'ok'],
      ['web', 'ok'],
      ['webdisk', 'ok'],
    ]);
    expect((await listed()).length).toBe(2);

    const gone = (await client.call('machines.delete', { name: 'shop' })) as { deleted: object[] };
    expect(gone.deleted.length).toBe(2);
    expect(await chain.activeContracts(node.registration.nodeId)).toEqual([]);
    await expect.poll(listed).toEqual([]);
    expect(await differenceTo(before, node.layout)).toEqual({ more: [], less: [] });
  });
});
