/** The official Go grid client's high-level deployers on a simulated node, which shows after each stage what it has. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  deploymentGet,
  deploymentList,
  GiB,
  networkPrivateIps,
  networkWireguardPorts,
  statisticsGet,
} from '../../schemas/index.ts';
import { removeCompileCache, SimulatedNode, SimulatedTenant } from '../system/simulated-node.ts';
import { isRoot } from '../system/test-node.ts';
import { buildGridGo, reasonNotToBuild } from './grid-go/build.ts';
import { type GoFront, GoGridClient, startGoFront } from './grid-go/client.ts';

/** An address of this machine that nobody else uses: the relay is at port 443 of it. */
const HOST = '127.213.44.10';
const NETWORK = 'gonet';

async function reasonNotToRun(): Promise<string | undefined> {
  if (!isRoot) return 'port 443 needs root';
  if (!existsSync('/usr/bin/openssl')) return 'certificates are made with openssl';
  return reasonNotToBuild();
}

const missing = await reasonNotToRun();
if (missing !== undefined) process.stderr.write(`the Go grid client is skipped: ${missing}\n`);

describe.skipIf(missing !== undefined)('the official Go grid client and a simulated node', () => {
  const node = new SimulatedNode();
  // The client asks for a machine's image before it deploys it; the simulated node never does.
  const hub = createServer(({ url }, response) => response.end(url?.endsWith('.md5') ? '0'.repeat(32) : ''));
  let folder: string;
  let front: GoFront;
  let client: GoGridClient;
  let tenant: SimulatedTenant;
  let before: Awaited<ReturnType<typeof books>>;
  let open: () => Promise<GoGridClient>;

  /** What the node itself says is taken. */
  const books = async () => {
    const { used, users } = await tenant.ask(statisticsGet);
    const ports = await tenant.ask(networkWireguardPorts);
    return { used, users: [users.deployments, users.workloads], ports, deployments: await tenant.ask(deploymentList) };
  };
  const contracts = () => tenant.chain.activeContracts(node.facts.node.id);
  const stored = async (contract: number): Promise<{ version: number; states: string[] }> => {
    const { version, workloads } = await tenant.ask(deploymentGet, { contract_id: contract });
    return { version, states: workloads.map(({ name, result }) => `${name} ${result.state}`).sort() };
  };
  const machine = (name: string, mounts: object): object => {
    const flist = `http://127.0.0.1:${(hub.address() as AddressInfo).port}/base.flist`;
    return { name, flist, command: '/sbin/zinit init', memoryMB: 256, rootMB: 512, env: { SSH_KEY: 'key' }, mounts };
  };
  const site = (disksGB: object, ...machines: readonly object[]): object => {
    return { name: 'site', node: node.facts.node.id, network: NETWORK, disksGB, machines };
  };

  beforeAll(async () => {
    await new Promise<void>((resolve) => hub.listen(0, '127.0.0.1', resolve));
    folder = await mkdtemp(join(tmpdir(), 'gn-grid-go-'));
    const file = join(folder, 'grid-go');
    await Promise.all([node.up(), buildGridGo(file)]);
    const { chain, relay, web, tenants } = node.facts;
    front = await startGoFront(folder, { chain, relay, web, host: HOST });
    const { mnemonic: secret = '', key_type: keyType = '' } = tenants[0] ?? {};
    open = () => GoGridClient.open(file, front, { secret, keyType });
    client = await open();
    tenant = await SimulatedTenant.open(node);
    before = await books();
  }, 480_000);

  afterAll(async () => {
    await client?.close();
    await tenant?.close();
    await front?.close();
    hub.closeAllConnections();
    hub.close();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    await node.remove();
    removeCompileCache();
  }, 60_000);

  it('finds the node, in its own types', { timeout: 60_000 }, async () => {
    const { id, farm, twin } = node.facts.node;
    const address = { ip: '198.51.100.7/24', gw: '198.51.100.1' };
    const ownFarm = await tenant.chain.createFarm('gofarm', [address]);
    const found = (await client.step('proxy', {
      node: id,
      nodes: { Status: ['up', 'standby'], FarmIDs: [farm, ownFarm], TotalCRU: 1, PriceMax: 1e6, Features: ['network'] },
      farms: { FarmID: ownFarm },
      twins: { TwinID: tenant.twin },
      ips: { Free: true, FarmIDs: [ownFarm] },
      sort: { nodes: 'free_cru', farms: 'used_ips', twins: 'relay', contracts: 'contract_id', ips: 'ip' },
    })) as Record<string, { value?: unknown; failure?: string }>;
    expect(Object.entries(found).flatMap(([asked, { failure }]) => (failure === undefined ? [] : [asked]))).toEqual([]);
    const ip = expect.objectContaining({ ip: address.ip, gateway: address.gw, contract_id: 0, farm_id: ownFarm });
    expect(found).toMatchObject({
      node: { value: { nodeId: id, farmId: farm, twinId: twin, status: 'up' } },
      nodes: { value: { count: 1, rows: [{ nodeId: id }] } },
      farms: { value: { rows: [{ name: 'gofarm', twinId: tenant.twin, publicIps: [ip] }] } },
      twins: { value: { rows: [{ twinId: tenant.twin, relay: HOST }] } },
      ips: { value: { rows: [ip] } },
    });

    // It looks for healthy nodes alone, and this one has just begun to look after itself.
    const wish = { options: { FreeMRU: GiB, FreeSRU: GiB }, disks: [GiB], rootfs: [GiB] };
    await expect
      .poll(() => client.step('filter', wish).catch(() => []), { interval: 500 })
      .toEqual([expect.objectContaining({ nodeId: id, healthy: true })]);
  });

  it('asks the node whatever it can ask', async () => {
    const answers = (await client.step('node', node.facts.node.id)) as Record<string, { value?: unknown }>;
    expect(answers).toMatchObject({
      statistics: { value: { total: { cru: 8 } } },
      version: { value: { zos: expect.stringContaining('simulated') } },
      interfaces: { value: { zos: [expect.any(String)] } },
      pools: { value: [{ name: 'simulated-ssd', type: 'ssd' }, { type: 'hdd' }] },
      deployments: { value: [] },
      publicConfig: { failure: 'no public configuration' },
      // Of the farmer alone; the client's spelling of the command is served.
      exitDevice: { failure: 'unauthorized' },
    });
  });

  it('deploys a network, and a machine with disks', { timeout: 90_000 }, async () => {
    const { id } = node.facts.node;
    const wish = { name: NETWORK, range: '10.46.0.0/16', nodes: [id] };
    const network = (await client.step('network', wish)) as { contracts: Record<number, number> };
    expect(await stored(network.contracts[id] ?? 0)).toEqual({ version: 0, states: [`${NETWORK} ok`] });

    const made = (await client.step(
      'deploy',
      site({ data: 1, old: 1, spare: 1 }, machine('one', { data: '/data' })),
    )) as {
      contract: number;
    };
    expect(await stored(made.contract)).toEqual({ version: 0, states: ['data ok', 'old ok', 'one ok', 'spare ok'] });
    expect(await tenant.ask(networkPrivateIps, { network_name: NETWORK })).toEqual(['10.46.2.2']);
    const loaded = await client.step('load', {
      ...{ node: id, deployment: 'site', machine: 'one', disk: 'data', network: NETWORK },
    });
    expect(loaded).toMatchObject({
      disk: { name: 'data', size: 1 },
      machine: { ip: '10.46.2.2', cpu: 1, memory: 256, mounts: [{ name: 'data', mount_point: '/data' }] },
      network: { contracts: network.contracts },
    });
  });

  it('hears why a change is refused, and finds all as it was', { timeout: 60_000 }, async () => {
    const wish = site({ data: 2, old: 1, spare: 1 }, machine('one', { data: '/data' }));
    await expect(client.step('deploy', wish)).rejects.toThrow(
      /^error waiting deployment: workload data within deployment \d+ was not updated: disk is mounted/,
    );
    const synced = (await client.step('sync', 'site')) as { contract: number };
    expect(synced).toMatchObject({ disks: [{ size: 1 }, { size: 1 }, { size: 1 }], machines: [{ name: 'one' }] });
    expect((await stored(synced.contract)).states).toEqual(['data ok', 'old ok', 'one ok', 'spare ok']);
  });

  it('goes on in another process: adds a machine, grows a disk, removes one', { timeout: 90_000 }, async () => {
    const { id } = node.facts.node;
    await client.close();
    client = await open();
    const adopted = (await client.step('adopt', { node: id, deployment: 'site', network: NETWORK })) as {
      contract: number;
      machines: readonly object[];
    };
    expect(adopted.machines).toEqual([expect.objectContaining({ name: 'one', ip: '10.46.2.2' })]);
    const machines = [machine('one', { data: '/data' }), machine('two', {})];
    await client.step('deploy', site({ data: 1, spare: 2 }, ...machines));
    expect((await stored(adopted.contract)).states).toEqual(['data ok', 'one ok', 'spare ok', 'two ok']);
    const addresses = (await tenant.ask(networkPrivateIps, { network_name: NETWORK })).toSorted();
    expect(addresses).toEqual(['10.46.2.2', '10.46.2.3']);
    expect(await client.step('contracts', { project: 'vm/site', kind: 'vm', name: 'site' })).toMatchObject({
      mine: { nodeContracts: [{ nodeID: id }, { contractID: `${adopted.contract}`, nodeID: id, state: 'Created' }] },
      project: { nodeContracts: [{ contractID: `${adopted.contract}` }] },
      named: { value: { [id]: adopted.contract } },
    });
  });

  it('deploys several at once, cancels all of a project, and leaves nothing', { timeout: 90_000 }, async () => {
    const { id: nodeId } = node.facts.node;
    const several = ['first', 'second'].map((name) => {
      return { name, node: nodeId, project: 'go/several', network: NETWORK, disksGB: { [`${name}disk`]: 1 } };
    });
    const made = (await client.step('batch', { networks: [], deployments: several })) as Record<string, number>;
    expect((await contracts()).length).toBe(4);
    for (const name of ['first', 'second']) {
      expect(await stored(made[name] ?? 0)).toEqual({ version: 0, states: [`${name}disk ok`] });
    }
    await client.step('project', 'go/several');
    expect((await contracts()).length).toBe(2);

    await client.step('cancel', { deployment: 'site', network: NETWORK });
    expect(await contracts()).toEqual([]);
    await expect.poll(books).toEqual(before);
    expect(await client.step('contracts', { project: 'vm/site', kind: 'vm', name: 'site' })).toMatchObject({
      mine: { nodeContracts: [] },
      named: { failure: expect.stringContaining('could not find any contracts') },
    });
  });
});
