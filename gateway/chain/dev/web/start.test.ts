/** The web services on a real chain: what clients ask for, as they write it, and what nobody should get. */

import { request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Identity } from '../../../rmb/keys.ts';
import { ChainClient } from '../../client.ts';
import { type RunningDevChain, startDevChain } from '../start.ts';
import { JsonRpcLine } from './json-rpc.ts';
import { type RunningWeb, startWeb } from './start.ts';

const GiB = 1024 ** 3;
const log = pino({ level: 'silent' });
const HASH = '9021d4dee05a661e2cb6838152c67f25';
const DATA = '{"version":3,"type":"vm","name":"shop","projectName":"vm/shop"}';

describe('web services of a development chain', () => {
  let chain: RunningDevChain;
  let web: RunningWeb;
  let farmer: ChainClient;
  let node: ChainClient;
  const ids = { farm: 0, node: 0, farmer: 0, nodeTwin: 0, contract: 0 };

  beforeAll(async () => {
    chain = await startDevChain({ host: '127.0.0.1', port: 0, log });
    const person = async (byte: string, keyType: 'sr25519' | 'ed25519'): Promise<[ChainClient, number, Identity]> => {
      const identity = await Identity.fromSecret(byte.repeat(32), keyType);
      const client = await ChainClient.connect({ endpoints: [chain.url], identity });
      await client.endow();
      return [client, await client.ensureTwin({ relay: 'relay.example', encryptionKey: null }), identity];
    };
    let identity: Identity;
    [farmer, ids.farmer, identity] = await person('a1', 'sr25519');
    [node, ids.nodeTwin] = await person('b2', 'ed25519');
    ids.farm = await farmer.createFarm('web-farm');
    const resources = { cru: 8n, mru: BigInt(32 * GiB), sru: BigInt(1000 * GiB), hru: 0n };
    ids.node = await node.createNode({ farmId: ids.farm, resources });
    ids.contract = Number(await farmer.createNodeContract({ nodeId: ids.node, hash: HASH, data: DATA, publicIps: 0 }));
    // Nobody listens at the relay: the node is asked in vain.
    web = await startWeb({ chain: chain.url, relays: ['ws://127.0.0.1:9'], identity, host: '127.0.0.1', port: 0, log });
  }, 60_000);

  afterAll(async () => {
    await web?.stop();
    await farmer?.close();
    await node?.close();
    await chain?.stop();
  });

  const get = async (path: string): Promise<{ status: number; count: string | null; body: unknown }> => {
    const response = await fetch(`${web.url}${path}`);
    return { status: response.status, count: response.headers.get('count'), body: await response.json() };
  };

  const query = async (text: string, variables: object = {}): Promise<unknown> => {
    const body = JSON.stringify({ query: text, variables });
    return (await fetch(`${web.url}/graphql`, { method: 'POST', body })).json();
  };

  it('tells of a node that does not answer what the chain and the grid reckon', { timeout: 30_000 }, async () => {
    const { status, body } = await get(`/nodes/${ids.node}`);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      ...{ nodeId: ids.node, farmId: ids.farm, farmName: 'web-farm', twinId: ids.nodeTwin, status: 'down' },
      ...{ healthy: false, features: [], rentable: false, rented: false, dedicated: false },
      capacity: {
        total_resources: { cru: 8, mru: 32 * GiB, sru: 1000 * GiB, hru: 0 },
        used_resources: { cru: 0, mru: Math.floor((32 * GiB) / 10), sru: 20 * GiB, hru: 0 },
      },
      // 8 compute units of 0.1 and 5 storage units of 0.05 milli-TFT's worth an hour, 720 hours.
      price_usd: ((8 * 100_000 + 5 * 50_000) * 720) / 10_000_000,
    });
    expect(await get('/nodes/77')).toEqual({ status: 404, count: null, body: { error: 'node 77 is not found' } });
  });

  it('filters, sorts, counts and pages', { timeout: 30_000 }, async () => {
    expect(await get('/nodes?status=up&ret_count=true')).toEqual({ status: 200, count: '0', body: [] });
    // One client writes a list with commas, another repeats the name.
    for (const list of ['status=up,down', 'status=up&status=down', `farm_ids=5,${ids.farm}`, 'free_mru=1024']) {
      const { count, body } = await get(`/nodes?${list}&ret_count=true&sort_by=free_cru&sort_order=desc`);
      expect([list, count, (body as object[]).length]).toEqual([list, '1', 1]);
    }
    expect((await get(`/nodes?free_sru=${999 * GiB}`)).body).toEqual([]);
    const rows = async (filter: string): Promise<number> => ((await get(`/nodes?${filter}`)).body as object[]).length;
    expect(await rows('price_min=75.5&price_max=75.7&gpu_available=false&sort_by=rent_contract_id')).toBe(1);
    for (const none of ['price_min=75.7', 'price_max=75', 'gpu_vendor_name=nvidia', 'gpu_device_id=2204']) {
      expect([none, await rows(none)]).toEqual([none, 0]);
    }
    expect((await get('/twins?size=1&page=2')).body).toEqual([expect.objectContaining({ twinId: ids.nodeTwin })]);
    expect((await get('/farms?name=WEB-FARM')).body).toEqual([expect.objectContaining({ farmId: ids.farm })]);
    expect((await get('/public_ips')).body).toEqual([]);
    expect((await get('/stats')).body).toMatchObject({ nodes: 1, farms: 1, twins: 2, contracts: 1, totalCru: 8 });
  });

  it.each([
    ['/nodes?color=red', 'parameter color is not known'],
    ['/nodes?node_id=x', 'number x is not a whole number'],
    ['/nodes?price_max=1e3', 'amount 1e3 is not a number'],
    ['/nodes?rented=perhaps', 'perhaps is neither true nor false'],
    ['/nodes?size=-1', 'size -1 is not a whole number'],
    ['/nodes?__proto__=1', 'parameter __proto__ is not known'],
    ['/twins?sort_by=age', 'sort_by age: use twin_id, account_id, relay, public_key'],
  ])('refuses %s', { timeout: 30_000 }, async (path, error) => {
    expect(await get(path)).toEqual({ status: 400, count: null, body: { error } });
  });

  it('tells of contracts', async () => {
    const contract = {
      ...{ contract_id: ids.contract, twin_id: ids.farmer, state: 'Created', type: 'node' },
      created_at: expect.any(Number),
      details: {
        ...{ nodeId: ids.node, farm_name: 'web-farm', farm_id: ids.farm, number_of_public_ips: 0 },
        ...{ deployment_data: DATA, deployment_hash: HASH },
      },
    };
    expect((await get(`/contracts/${ids.contract}`)).body).toEqual(contract);
    expect((await get(`/contracts?twin_id=${ids.farmer}&state=Created,GracePeriod`)).body).toEqual([contract]);
    expect((await get(`/contracts?twin_id=${ids.nodeTwin}`)).body).toEqual([]);
    expect((await get(`/contracts/${ids.contract}/bills`)).body).toEqual([]);
  });

  it('keeps the time of a contract through its bills, which nobody collects', { timeout: 60_000 }, async () => {
    const path = `/contracts/${ids.contract}`;
    const first = (await get(path)).body;
    // The chain counts whole seconds: a bill in the very one of the contract would move nothing.
    await sleep(1100);
    const line = new JsonRpcLine(chain.url);
    try {
      await line.call('dev_bill', [{ contract: ids.contract, seconds: 3600 }], z.unknown());
    } finally {
      await line.close();
    }
    expect((await get(path)).body).toEqual(first);
    expect((await get(`${path}/bills?ret_count=true`)).count).toBe('0');
    const consumption = { last_hour_consumption: 0, overall_consumption: 0 };
    expect((await get(`/twins/${ids.farmer}/consumption`)).body).toEqual(consumption);
  });

  it('answers GraphQL as the clients ask it', async () => {
    expect(await query('query { __typename }')).toEqual({ data: { __typename: 'Query' } });
    const where = `where: {twinID_eq: ${ids.farmer}, state_in: [Created, GracePeriod]}`;
    expect(
      await query(`query { items: nodeContractsConnection(${where}, orderBy: twinID_ASC) { count: totalCount } }`),
    ).toEqual({ data: { items: { count: 1 } } });
    const text = `query getContracts($n: Int!) {
      nodeContracts(where: {twinID_eq: ${ids.farmer}, AND: [{ deploymentData_contains: "\\"type\\":\\"vm\\"" },]}, limit: $n) {
        contractID deploymentData state nodeID numberOfPublicIPs
      }
      nameContracts(limit: 5) { name }
    }`;
    expect(await query(text, { n: 3 })).toEqual({
      data: {
        nodeContracts: [
          {
            ...{ contractID: `${ids.contract}`, deploymentData: DATA, state: 'Created' },
            ...{ nodeID: ids.node, numberOfPublicIPs: 0 },
          },
        ],
        nameContracts: [],
      },
    });
    expect(await query('query($id: Int!){ nodes(where: {nodeID_eq: $id}) { twinID } }', { id: ids.node })).toEqual({
      data: { nodes: [{ twinID: ids.nodeTwin }] },
    });
    expect(await query('{ nodes(where: {colour_eq: 1}) { twinID } }')).toMatchObject({ errors: [expect.anything()] });
    expect(await query('{ nodes {')).toMatchObject({ errors: [expect.anything()] });
    expect(await query(`{ ${'a:nodes{nodeID} '.repeat(2000)} }`)).toMatchObject({ errors: [expect.anything()] });
  });

  it('follows the chain', async () => {
    const name = BigInt(await farmer.createNameContract('shop'));
    const names = '{ nameContracts { contractID name } }';
    expect(await query(names)).toEqual({ data: { nameContracts: [{ contractID: `${name}`, name: 'shop' }] } });
    await farmer.cancelContract(name);
    expect(await query(names)).toEqual({ data: { nameContracts: [] } });
  });

  it('counts whoever has a twin as verified, and is a proxy for that question alone', async () => {
    const asked = (target: string): Promise<{ status: number | undefined; body: string }> =>
      new Promise((resolve, reject) => {
        const { hostname, port } = new URL(web.url);
        request({ hostname, port, path: target }, (response) => {
          response.setEncoding('utf8');
          let body = '';
          response.on('data', (part: string) => {
            body += part;
          });
          response.on('end', () => resolve({ status: response.statusCode, body }));
        })
          .on('error', reject)
          .end();
      });
    const verified = { status: 200, body: expect.stringContaining('"VERIFIED"') };
    expect(await asked(`/api/v1/status?client_id=${farmer.address}`)).toEqual(verified);
    expect(await asked(`/api/v1/status?twin_id=${ids.farmer}`)).toEqual(verified);
    expect(await asked(`https://kyc.dev.grid.tf/api/v1/status?client_id=${farmer.address}`)).toEqual(verified);
    expect((await asked('/api/v1/status?twin_id=99')).status).toBe(404);
    expect((await asked('/api/v1/status?client_id=nobody')).status).toBe(400);
    expect((await asked('https://example.com/api/v1/status?twin_id=1')).status).toBe(403);
    expect((await asked('/etc/passwd')).status).toBe(404);
  });

  it('opens no tunnel and reads no endless question', async () => {
    const { hostname, port } = new URL(web.url);
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(port), hostname, () =>
        socket.write('CONNECT kyc.dev.grid.tf:443 HTTP/1.1\r\n\r\n'),
      );
      socket.once('data', (data) => resolve(data.toString()));
      socket.once('error', reject);
    });
    expect(answer).toMatch(/^HTTP\/1\.1 501 /);
    const response = await fetch(`${web.url}/graphql`, { method: 'POST', body: 'x'.repeat(300_000) });
    expect(response.status).toBe(413);
  });

  it('says when the chain is away, and goes on when it is back', { timeout: 30_000 }, async () => {
    const port = Number(new URL(chain.url).port);
    await chain.stop();
    expect(await get('/twins')).toMatchObject({ status: 503, body: { error: expect.stringContaining('chain') } });
    chain = await startDevChain({ host: '127.0.0.1', port, log });
    // It kept nothing, and that is what is told.
    await expect.poll(async () => get('/twins')).toEqual({ status: 200, count: null, body: [] });
  });
});
