/** The official TypeScript grid client's own modules on a simulated node: what costs no real machine. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SimulatedNode, SimulatedTenant } from '../system/simulated-node.ts';
import { isRoot } from '../system/test-node.ts';
import { type GridFront, hasGridClient, machineWish, OfficialGridClient, startFront } from './grid-client.ts';

/** An address of this machine that nobody else uses: the client wants port 443 of it. */
const HOST = '127.213.44.9';
const NETWORK = { name: 'simnet', ip_range: '10.45.0.0/16' };
const FLIST = 'https://hub.grid.tf/tf-official-apps/base:latest.flist';

describe.skipIf(!isRoot || !hasGridClient)('the official grid client and a simulated node', () => {
  const node = new SimulatedNode();
  let folder: string;
  let front: GridFront;
  let client: OfficialGridClient;
  let tenant: SimulatedTenant;

  beforeAll(async () => {
    await node.up();
    folder = await mkdtemp(join(tmpdir(), 'gn-grid-client-'));
    const { chain, relay, web, tenants } = node.facts;
    front = await startFront(folder, { chain, relay, web, host: HOST });
    client = await OfficialGridClient.open(
      folder,
      front,
      { chain, relay, web, host: HOST },
      tenants[0]?.mnemonic ?? '',
    );
    tenant = await SimulatedTenant.open(node);
  }, 240_000);

  afterAll(async () => {
    client?.close();
    await tenant?.close();
    await front?.close();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    await node.remove();
  }, 60_000);

  it('finds the node and reads of it', { timeout: 120_000 }, async () => {
    const { id, farm, twin } = node.facts.node;
    const found = await client.call('capacity.filterNodes', { cru: 1, mru: 1, sru: 1, availableFor: tenant.twin });
    expect(found).toEqual([expect.objectContaining({ nodeId: id, farmId: farm, twinId: twin, status: 'up' })]);
    const statistics = await client.call('zos.getNodeStatistics', { nodeId: id });
    expect(statistics).toEqual(expect.objectContaining({ users: expect.objectContaining({ deployments: 0 }) }));
    expect(await client.call('farms.getFarmByID', { id: farm })).toEqual(
      expect.objectContaining({ name: 'simulated' }),
    );
  });

  it('deploys, updates, deletes a machine and cancels', { timeout: 240_000 }, async () => {
    const { id } = node.facts.node;
    const wish = (name: string): object => machineWish(name, id, FLIST);
    const machines = { name: 'site', network: NETWORK };
    await client.call('machines.deploy', { ...machines, machines: [wish('one')] });
    await client.call('machines.update', { ...machines, machines: [wish('one'), wish('two')] });
    const names = ((await client.call('machines.getObj', 'site')) as { name: string }[]).map(({ name }) => name);
    expect(names.sort()).toEqual(['one', 'two']);
    await client.call('machines.delete_machine', { name: 'two', deployment_name: 'site' });
    const mine = (await client.call('contracts.listMyContracts', { state: ['Created', 'GracePeriod'] })) as {
      nodeContracts: object[];
    };
    expect(mine.nodeContracts.length).toBe(2);
    await client.call('machines.delete', { name: 'site' });
    expect(await tenant.chain.activeContracts(id)).toEqual([]);
    expect(await client.call('machines.list')).toEqual([]);
  });
});
