/** What a node says of itself: every command answered by the real daemons, with what this machine has. */
import { cpus, totalmem } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { output, ZodType } from 'zod';
import type { Peer } from '../../cli/node/peer.ts';
import { network } from '../../modules/networkd/interface.ts';
import { performanceRuns } from '../../modules/noded/interface.ts';
import { storage } from '../../modules/storaged/interface.ts';
import { ZbusClient } from '../../modules/zbus/index.ts';
import {
  adminInterfaces,
  type Command,
  gpuList,
  networkInterfaces,
  parseOutput,
  perfGet,
  perfGetAll,
  statisticsGet,
  storagePools,
  systemDiagnostics,
  systemDmi,
  systemHypervisor,
  systemNodeFeatures,
  systemVersion,
} from '../../schemas/index.ts';
import { Tenant } from './tenant.ts';
import { isRoot, startTestNode, type TestNode } from './test-node.ts';

const CALL_DEADLINE_MS = 30_000;
const GIB = 1024 ** 3;

describe.skipIf(!isRoot)('what a node says of itself', () => {
  let node: TestNode;
  let user: Peer;
  let farmer: Peer;

  beforeAll(async () => {
    node = await startTestNode({
      location: 'longitude=3.7,latitude=51.0,continent=Europe,country=BE:Belgium,city=Gent',
    });
    const tenant = await Tenant.open(node);
    await tenant.answered();
    user = tenant.peer;
    farmer = await node.peer('farmer');
  }, 180_000);

  afterAll(async () => {
    if (node !== undefined) expect(await node.stop()).toEqual([]);
  }, 120_000);

  const text = async (name: string, payload = '', from = user): Promise<string> =>
    Buffer.from(await from.callNode(name, payload, CALL_DEADLINE_MS)).toString();
  const ask = async <O extends ZodType>(command: Command<ZodType, O>): Promise<output<O>> =>
    parseOutput(command, await user.callNode(command.name, '', CALL_DEADLINE_MS));

  it('has versions, features and a hypervisor', async () => {
    expect(await ask(systemVersion)).toEqual({
      zos: expect.stringMatching(/^\d/),
      zinit: expect.stringMatching(/^v\d/),
    });
    expect(await ask(systemNodeFeatures)).toEqual(expect.arrayContaining(['zmount', 'network', 'zmachine']));
    expect(await ask(systemHypervisor)).toMatch(/^[a-z]*$/);
  });

  it('stands where its operator says', async () => {
    expect(await text('zos.location.get')).toBe(
      '{"longitude":3.7,"latitude":51,"continent":"Europe","country_name":"Belgium","country_code":"BE","city_name":"Gent"}',
    );
  });

  it('counts what the machine has', async () => {
    const { total, system, open_connections } = await ask(statisticsGet);
    expect(total).toMatchObject({ cru: cpus().length, mru: totalmem(), ipv4u: 0 });
    expect(system.mru).toBeGreaterThanOrEqual(2 * GIB);
    // At least the gateway's own line to its relay, seen from both ends.
    expect(open_connections).toBeGreaterThanOrEqual(2);
    const pools = await ask(storagePools);
    expect(pools).toHaveLength(1);
    expect(pools[0]).toMatchObject({ type: 'ssd', size: total.sru });
    expect(total.sru).toBeGreaterThan(2 * GIB);
    for (const { id } of await ask(gpuList)) expect(id).toMatch(/^[0-9a-f:.]+\/[0-9a-f]{4}\/[0-9a-f]{4}$/);
  });

  it('gives the table of its firmware, or says why it cannot', async () => {
    const answer = await ask(systemDmi).catch((error: Error) => error.message);
    if (typeof answer === 'string')
      expect(answer).toMatch(/dmidecode is not installed|DMI table of this node cannot be read/);
    else expect(answer.sections.length).toBeGreaterThan(0);
  });

  it('has addresses, and no public ones', async () => {
    const interfaces = await ask(networkInterfaces);
    expect(interfaces).toEqual({ zos: [node.config.address] });
    await expect(text('zos.network.public_config_get')).rejects.toThrow(/no public configuration$/);
    await expect(text('zos.network.has_ipv6')).rejects.toThrow(/no public ipv6 found$/);
    expect(await text('zos.network.list_public_ips')).toBe('[]');
    expect(await text('zos.network.list_private_ips', '{"network_name":"none"}')).toBe('[]');
    const taken = JSON.parse(await text('zos.network.list_wg_ports')) as unknown[];
    // Before any network there are the ports that the node keeps for itself.
    expect(taken).toContain(443);
    expect(taken.every(Number.isInteger)).toBe(true);
  });

  it.each(['zos.admin', 'zos.network.admin'])('shows its cards to the farmer alone: %s', async (group) => {
    for (const name of ['interfaces', 'get_public_nic', 'set_public_nic']) {
      await expect(text(`${group}.${name}`, '"zos"')).rejects.toThrow(/unauthorized$/);
    }
    const cards = parseOutput(adminInterfaces, await text(`${group}.interfaces`, '', farmer));
    expect(cards.zos).toEqual({
      ips: [`${node.config.address}/30`],
      mac: expect.stringMatching(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/),
    });
    expect(await text(`${group}.get_public_nic`, '', farmer)).toBe(
      '{"is_single":true,"is_dual":false,"dual_interface":""}',
    );
    expect(await text(`${group}.set_public_nic`, '"zos"', farmer)).toBe('null');
    const choose = (payload: string) => text(`${group}.set_public_nic`, payload, farmer);
    await expect(choose('5')).rejects.toThrow(/failed to decode input, expecting string: /);
    await expect(choose('"lo"')).rejects.toThrow(/invalid exit bridge must be a physical nic or the default bridge/);
    await expect(choose('"uplink"')).rejects.toThrow(/device is 'uplink' already used/);
  });

  it('is found healthy and able to provision by its own measurements', { timeout: 150_000 }, async () => {
    const bus = new ZbusClient({ broker: node.layout.broker });
    const networks = (await bus.of(network).Metrics({})).size;
    const found = async (taskName: string) =>
      (await bus.of(performanceRuns).Run({ taskName }, { deadlineMs: 70_000 })).Result;
    try {
      expect(await found('healthcheck')).toEqual({ cache: [], network: [], clock: [] });
      expect(await found('provisiontest')).toEqual([]);
      expect(await bus.of(storage).VolumeList({})).toEqual([]);
      expect(await bus.of(storage).DiskList({})).toEqual([]);
      expect((await bus.of(network).Metrics({})).size).toBe(networks);
    } finally {
      await bus.close();
    }
    // Go's clients and those in TypeScript spell the key differently.
    for (const key of ['name', 'Name']) {
      const answer = parseOutput(perfGet, await text('zos.perf.get', JSON.stringify({ [key]: 'provisiontest' })));
      expect(answer).toMatchObject({ name: 'provisiontest', result: '[]' });
    }
    expect((await ask(perfGetAll)).map(({ name }) => name)).toEqual(
      expect.arrayContaining(['healthcheck', 'provisiontest']),
    );
    await expect(text('zos.perf.get', '{"name":"speedtest"}')).rejects.toThrow(/result not found$/);
    await expect(text('zos.perf.get', '{"name":')).rejects.toThrow(/failed to unmarshal payload: /);
    await expect.poll(async () => (await ask(systemDiagnostics)).healthy).toBe(true);
  });

  it('says how its modules are, also when one is away', async () => {
    let all = await ask(systemDiagnostics);
    const isWell = async (): Promise<boolean> => {
      all = await ask(systemDiagnostics);
      return all.system_status_ok;
    };
    await expect.poll(isWell).toBe(true);
    const names = ['api-gateway', 'flist', 'network', 'node', 'provision', 'storage', 'vmd'];
    expect(Object.keys(all.modules).sort()).toEqual(names);
    for (const { status, error } of Object.values(all.modules)) {
      expect(error).toBeUndefined();
      expect(status.objects.length).toBeGreaterThan(0);
      expect(status.workers.every(({ time }) => !Number.isNaN(Date.parse(time)))).toBe(true);
    }
    await node.zinit.stop('noded');
    const less = JSON.parse(await text('zos.system.diagnostics'));
    expect(less.system_status_ok).toBe(false);
    expect(less.modules.node).toEqual({ status: { objects: [], workers: [] }, error: {} });
    expect(less.modules.vmd).not.toHaveProperty('error');
    expect(less.healthy).toBe(false);
    await expect(text('zos.location.get')).rejects.toThrow(/module node of this node does not answer/);
    await node.zinit.start('noded');
    await expect.poll(async () => (await ask(systemDiagnostics)).system_status_ok).toBe(true);
  });
});
