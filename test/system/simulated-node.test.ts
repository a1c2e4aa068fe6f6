/** `gridnode up --simulate` as a user without root runs it: real requests, honest books, nothing left. */
import { existsSync, readdirSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Identity } from '../../gateway/rmb/index.ts';
import {
  capacityGet,
  debugDeploymentHealth,
  debugDeploymentList,
  deploymentGet,
  deploymentList,
  GiB,
  networkInterfaces,
  networkPublicConfig,
  networkWireguardPorts,
  statisticsGet,
  storagePools,
  systemNodeFeatures,
  systemVersion,
} from '../../schemas/index.ts';
import { removeCompileCache, SimulatedNode, SimulatedTenant } from './simulated-node.ts';
import { DISK_BYTES, diskWorkload, machineAddress, siteWorkloads } from './tenant.ts';

const FLIST = 'https://hub.grid.tf/tf-official-apps/base:latest.flist';

const isGone = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
};

const kill = (pids: ReadonlyMap<string, number>, name: string): void => {
  const pid = pids.get(name);
  if (pid === undefined) throw new Error(`${name} does not run`);
  process.kill(pid, 'SIGKILL');
};

describe('a simulated node', { timeout: 180_000 }, () => {
  const node = new SimulatedNode();
  let tenant: SimulatedTenant;
  let output = '';

  beforeAll(async () => {
    output = await node.up('--total', 'cru=4,mru=16G,sru=500G,hru=1T', '--fail', 'no such change');
    tenant = await SimulatedTenant.open(node);
  }, 180_000);

  afterAll(async () => {
    await tenant?.close();
    await node.remove();
    removeCompileCache();
  });

  it('says that it is simulated wherever a person looks', async () => {
    expect(output).toContain('simulated');
    expect((await tenant.ask(systemVersion)).zos).toMatch(/simulated$/);
    expect(await tenant.ask(systemNodeFeatures)).toContain('simulated');
    expect((await tenant.ask(storagePools)).map(({ name }) => name)).toEqual(['simulated-ssd', 'simulated-hdd']);
    expect((await node.command('status')).stdout).toContain('simulated');
    expect((await node.command('logs', 'node')).stdout).toContain('a simulated node answers');
    // A farmer asks for it by the name it has on a real node.
    const { stdout, stderr } = await node.command('logs', 'provisiond', '--bytes', '65536');
    expect(stderr).toContain('provisiond is a part of the unit node');
    expect(stdout).toContain('a simulated node answers');
    await expect(node.command('perf', 'nope')).rejects.toThrow("no task 'nope'; there are cpu-benchmark, healthcheck");
  });

  it('keeps secrets in files of its user alone, and out of logs', async () => {
    const file = join(node.state, 'client.json');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const secrets = node.facts.tenants.map(({ mnemonic }) => mnemonic);
    for (const name of readdirSync(join(node.state, 'log'))) {
      const text = await readFile(join(node.state, 'log', name), 'utf8');
      for (const secret of secrets) expect(text).not.toContain(secret);
    }
  });

  it('deploys a network, a disk and a machine, accounts for them, and forgets them when they are cancelled', async () => {
    const before = await tenant.ask(capacityGet);
    const contract = await tenant.deploy(siteWorkloads('one', 1, FLIST));
    expect(Object.fromEntries([...(await tenant.settled(contract))].map(([name, { state }]) => [name, state]))).toEqual(
      {
        onenet: 'ok',
        onedisk: 'ok',
        onevm: 'ok',
      },
    );

    const deployment = await tenant.ask(deploymentGet, { contract_id: Number(contract) });
    const data = deployment.workloads.find(({ name }) => name === 'onevm')?.result?.data;
    expect(JSON.parse(typeof data === 'string' ? data : JSON.stringify(data))).toMatchObject({
      id: `${tenant.twin}-${contract}-onevm`,
      ip: machineAddress(1),
      console_url: '',
    });
    const during = await tenant.ask(capacityGet);
    expect(during.committed.cru - before.committed.cru).toBe(1);
    expect(during.committed.sru - before.committed.sru).toBeGreaterThan(DISK_BYTES);
    expect((await tenant.ask(statisticsGet)).used.sru).toBe(during.committed.sru + during.system.sru);
    const ssd = (await tenant.ask(storagePools)).find(({ type }) => type === 'ssd');
    expect(ssd).toMatchObject({ size: 500 * GiB, used: during.committed.sru + during.system.sru });
    expect(await tenant.ask(networkWireguardPorts)).toContain(4201);
    expect(await tenant.ask(networkInterfaces)).toEqual({ zos: ['192.0.2.2'] });

    await tenant.chain.cancelContract(contract);
    await expect.poll(() => tenant.ask(deploymentList)).toEqual([]);
    await expect.poll(async () => (await tenant.ask(capacityGet)).committed).toEqual(before.committed);
    expect(await tenant.ask(networkWireguardPorts)).not.toContain(4201);
    expect((await tenant.ask(storagePools)).find(({ type }) => type === 'ssd')?.used).toBe(before.system.sru);
    for (const [file, empty] of [
      ['vmd/machines.json', {}],
      ['networkd/links.json', { networks: {}, taps: {}, owners: {} }],
      ['flistd/mounts.json', {}],
    ] as const) {
      expect(JSON.parse(await readFile(join(node.state, file), 'utf8'))).toEqual(empty);
    }
    expect(readdirSync(join(node.state, 'flistd/mnt'))).toEqual([]);
  });

  it('has the public configuration that its farmer gave it on the chain', async () => {
    await expect(tenant.ask(networkPublicConfig)).rejects.toThrow('no public configuration');
    const { farmer, node: facts } = JSON.parse(await readFile(join(node.state, 'client.json'), 'utf8'));
    const acting = tenant.chain.actingAs(await Identity.fromSecret(farmer.mnemonic, farmer.key_type));
    const ip4 = { ip: '185.206.122.33/24', gw: '185.206.122.1' };
    const write = (config: object | null) =>
      acting.submit({ pallet: 'tfgridModule', method: 'addNodePublicConfig', args: [facts.farm, facts.id, config] });
    await write({ ip4, ip6: null, domain: 'gateway.example.com' });
    await expect
      .poll(() => tenant.ask(networkPublicConfig).catch(() => undefined))
      .toEqual({
        ...{ type: '', ipv4: ip4.ip, gw4: ip4.gw, ipv6: '', gw6: '', domain: 'gateway.example.com' },
      });
    await write(null);
    await expect
      .poll(() => tenant.ask(networkPublicConfig).catch((error: Error) => error.message))
      .toContain('no public configuration');
  });

  it('refuses what the pretended machine has no room for, with the numbers', async () => {
    await expect(tenant.deploy([diskWorkload('huge', 600 * GiB)])).rejects.toThrow(
      /not enough|no room|largest|capacity/i,
    );
  });

  it('goes on with what it had accepted after every process of it was killed', async () => {
    const contract = await tenant.deploy(siteWorkloads('two', 2, FLIST));
    await tenant.settled(contract);
    await tenant.close();
    const pids = await node.pids();
    // The supervisor first: it would start the others again.
    for (const name of ['supervisor', 'node', 'chain', 'redis']) kill(pids, name);
    await expect.poll(() => [...pids.values()].every(isGone)).toBe(true);

    const before = node.facts;
    const patterns = async () =>
      JSON.parse(await readFile(join(node.state, 'node.json'), 'utf8')).simulated.fail as string[];
    expect(await patterns()).toEqual(['no such change']);
    await node.up('--fail', '');
    expect(await patterns()).toEqual([]);
    expect(node.facts).toEqual(before);
    tenant = await SimulatedTenant.open(node);
    expect((await tenant.ask(deploymentList)).map(({ contract_id }) => contract_id)).toEqual([contract]);
    expect((await tenant.ask(capacityGet)).committed.cru).toBe(1);
    expect((await tenant.settled(contract)).get('twovm')?.state).toBe('ok');
    await tenant.chain.cancelContract(contract);
    await expect.poll(() => tenant.ask(deploymentList)).toEqual([]);
  });

  it('starts a process again that was killed while it runs', async () => {
    const pids = await node.pids();
    kill(pids, 'node');
    await expect
      .poll(async () => (await node.command('status').catch((error: { stdout: string }) => error)).stdout)
      .toMatch(/node +running.* 1 /);
    await expect.poll(() => tenant.ask(deploymentList).catch(() => undefined), { timeout: 60_000 }).toEqual([]);
  });

  it('runs beside another one that takes time and fails what it is told to', async () => {
    const other = new SimulatedNode();
    try {
      await other.up('--delay', '20', '--fail', 'vmd run .*-bvm', '--admin-twin', '5');
      const second = await SimulatedTenant.open(other, 2);
      try {
        const contract = await second.deploy(siteWorkloads('b', 3, FLIST));
        const results = await second.settled(contract);
        expect(results.get('bdisk')?.state).toBe('ok');
        expect(results.get('bvm')).toMatchObject({ state: 'error' });
        expect(results.get('bvm')?.message).toContain('was told to fail this: vmd run');
        expect(await tenant.ask(deploymentList)).toEqual([]);
        const { deployments } = await second.ask(debugDeploymentList);
        expect(deployments).toMatchObject([{ twin_id: 5, contract_id: contract }]);
        await expect(tenant.ask(debugDeploymentList)).rejects.toThrow('unauthorized');
        const health = await second.ask(debugDeploymentHealth, { deployment: `5:${contract}` });
        expect(health.workloads.map(({ name, status }) => [name, status])).toContainEqual(['bnet', 'healthy']);
        // With the node's key from the file a client needs no chain to read answers.
        const { node: facts } = other.facts;
        const twin = await second.chain.twin(facts.twin);
        expect(facts.public_key).toBe(Buffer.from(twin?.account ?? []).toString('hex'));
        expect(facts.encryption_key).toBe(Buffer.from(twin?.encryptionKey ?? []).toString('hex'));
        expect(facts.encryption_key).toHaveLength(66);
      } finally {
        await second.close();
      }
      const pids = await other.pids();
      await other.command('down', '--purge');
      await expect.poll(() => [...pids.values()].filter((pid) => !isGone(pid))).toEqual([]);
      expect(existsSync(other.state)).toBe(false);
    } finally {
      await other.remove();
    }
  });
});
