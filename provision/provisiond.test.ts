import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { silentLog } from '../modules/zbus/broker.ts';
import { ZbusClient } from '../modules/zbus/client.ts';
import { ZbusError } from '../modules/zbus/errors.ts';
import { ZbusServer } from '../modules/zbus/server.ts';
import { startRedis, type TestRedis } from '../modules/zbus/testing/redis.ts';
import type { Deployment } from '../schemas/deployment.ts';
import { ENGINE_LIMITS } from './engine/steps.ts';
import { planner, provision, statistics } from './interface.ts';
import { type Provisiond, type ProvisiondOptions, startProvisiond } from './provisiond.ts';
import { failingJournal } from './store/failing.ts';
import { MemoryJournal } from './store/memory.ts';
import { SqliteJournal } from './store/sqlite.ts';
import { TestHost } from './testing/host.ts';
import { diskWorkload, machineWorkload, networkWorkload, Tenant } from './testing/tenant.ts';
import { deploymentFromStruct, deploymentToStruct, workloadFromStruct } from './wire.ts';

const GIB = 1024 ** 3;
const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));

let folder: string;
let redis: TestRedis;
let host: TestHost;
let bus: ZbusClient;
let tenant: Tenant;
const servers: ZbusServer[] = [];
const daemons: Provisiond[] = [];
const children: ChildProcess[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'prov-'));
  redis = await startRedis();
  host = new TestHost(folder);
  bus = new ZbusClient({ broker: redis.broker });
  tenant = new Tenant(7);
});

afterEach(async () => {
  for (const child of children.splice(0)) await kill(child);
  await Promise.all(daemons.splice(0).map((daemon) => daemon.stop()));
  await Promise.all(servers.splice(0).map((server) => server.stop()));
  await bus.close();
  await redis.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function serveHost(modules?: readonly string[]): Promise<void> {
  const made = host.serve(redis.broker, modules);
  servers.push(...made);
  await Promise.all(made.map((server) => server.start()));
}

async function startHere(given: Partial<ProvisiondOptions> = {}): Promise<Provisiond> {
  const server = new ZbusServer({ module: 'provision', broker: redis.broker });
  const daemon = startProvisiond({
    server,
    bus,
    log: silentLog,
    root: join(folder, 'provisiond'),
    guest: { kernel: '/guest/vmlinuz', initrd: '/guest/initrd.img' },
    cpuOvercommit: 4,
    contractWaitMs: 300,
    engineLimits: { ...ENGINE_LIMITS, retry: { budgetMs: 1_000, firstDelayMs: 10, maxDelayMs: 100 } },
    contractLimits: { intervalMs: 60_000, retryMs: 50, confirmDelayMs: 20, removalsPerRun: 10, readDeadlineMs: 2_000 },
    consumptionLimits: { gatherMs: 20, deadlineMs: 2_000, retryMs: [20, 40] },
    host: { cpus: 4, memoryBytes: 16 * GIB },
    ...given,
  });
  daemons.push(daemon);
  servers.push(server);
  await server.start();
  return daemon;
}

const deploy = (deployment: Deployment, twin = 7): Promise<void> =>
  bus.of(provision).CreateOrUpdate({ twin, deployment: deploymentToStruct(deployment), update: false });

const workloads = () => [
  networkWorkload('net1', 4127),
  diskWorkload('disk1', GIB),
  machineWorkload('vm1', { mounts: ['disk1'] }),
];

async function stateOf(contract = 1n): Promise<string[]> {
  const found = await bus.of(provision).Get({ twin: 7, contractID: contract });
  return deploymentFromStruct(found, { results: 'keep' }).workloads.map((one) => one.result.state);
}

async function running(contract = 1n): Promise<void> {
  await vi.waitFor(async () => expect(new Set(await stateOf(contract))).toEqual(new Set(['ok'])), { timeout: 15_000 });
}

async function refused(
  deployment: Deployment,
  twin = 7,
): Promise<{ message: string; code: unknown; details: unknown }> {
  const before = { resources: host.resources, changes: host.changes };
  const error: unknown = await deploy(deployment, twin).catch((thrown: unknown) => thrown);
  expect({ resources: host.resources, changes: host.changes }).toEqual(before);
  if (!(error instanceof ZbusError)) throw new Error('it was accepted');
  return { message: error.message, code: error.remote?.code, details: error.remote?.details };
}

describe('provisiond on the bus', () => {
  beforeEach(() => serveHost());

  it('accepts, runs, reports and forgets a deployment', async () => {
    await startHere();
    const deployment = tenant.contracted(host, 1n, workloads());
    const forged = deployment.workloads[0];
    if (forged !== undefined) forged.result = { created: 1, state: 'ok', message: '', data: '{"ip":"1.2.3.4/24"}' };
    await deploy(deployment);
    await running();

    const got = deploymentFromStruct(await bus.of(provision).Get({ twin: 7, contractID: 1n }), { results: 'keep' });
    expect(got.workloads.map((one) => one.data)).toEqual(deployment.workloads.map((one) => one.data));
    expect(got.workloads[0]?.result.data).toBe('');
    expect(JSON.parse(got.workloads[1]?.result.data ?? '')).toEqual({ volume_id: '7-1-disk1' });

    const changes = await bus.of(provision).Changes({ twin: 7, contractID: 1n });
    const log = changes.map((one) => workloadFromStruct(one, { results: 'keep' }));
    expect(log.slice(0, 3).map((one) => one.result.state)).toEqual(['init', 'init', 'init']);
    expect(
      log
        .filter((one) => one.result.state === 'ok')
        .map((one) => one.name)
        .sort(),
    ).toEqual(['disk1', 'net1', 'vm1']);
    expect(await bus.of(provision).List({ twin: 7 })).toHaveLength(1);
    expect(await bus.of(provision).List({ twin: 8 })).toEqual([]);
    expect(await bus.of(provision).ListTwins({})).toEqual([7]);
    expect(await bus.of(provision).ListPrivateIPs({ twin: 7, network: 'net1' })).toEqual(['10.1.2.5']);
    expect(await bus.of(provision).ListPrivateIPs({ twin: 8, network: 'net1' })).toEqual([]);
    expect(await bus.of(provision).GetWorkloadStatus({ id: '7-1-vm1' })).toEqual(['ok', true]);
    expect(await bus.of(provision).GetWorkloadStatus({ id: '7-9-vm1' })).toEqual(['', false]);
    expect((await bus.of(planner).Steps({ twin: 7, contractID: 1n })).at(-1)).toMatchObject({
      Step: 'machine',
      State: 'done',
    });
    expect((await refused(deployment)).message).toBe('exists');

    host.cancelContract(1n);
    await vi.waitFor(() => expect(host.resources).toEqual([]), { timeout: 10_000 });
    await vi.waitFor(
      () => expect(bus.of(provision).Get({ twin: 7, contractID: 1n })).rejects.toThrow(/^deployment not found$/),
      { timeout: 5_000 },
    );
    await expect(bus.of(provision).Changes({ twin: 7, contractID: 1n })).rejects.toThrow(/^deployment not found$/);
  });

  it('counts the same numbers for statistics, for the plan and for a refusal', async () => {
    await startHere();
    const before = await bus.of(planner).Capacity({});
    expect(before).toMatchObject({
      LogicalCPUs: 4,
      CPUOvercommit: 4,
      Total: { CRU: 16, MRU: 16 * GIB, SRU: 100 * GIB },
    });
    expect(before.System).toMatchObject({ MRU: 2 * GIB, SRU: 5 * GIB });
    expect(before.LargestDisk).toBe(95 * GIB);
    await deploy(tenant.contracted(host, 1n, workloads()));
    await running();
    const after = await bus.of(planner).Capacity({});
    expect(after.Committed).toMatchObject({ CRU: 1, MRU: GIB / 2 });
    for (const unit of ['CRU', 'MRU', 'SRU', 'HRU'] as const) {
      expect(after.System[unit] + after.Committed[unit] + after.Pending[unit] + after.Free[unit]).toBe(
        after.Total[unit],
      );
    }
    const counters = await bus.of(statistics).GetCounters({});
    expect(counters.Total).toEqual({ CRU: 4, MRU: 16 * GIB, SRU: 100 * GIB, HRU: 0, IPV4U: 0 });
    expect(counters.Used.MRU).toBe(after.System.MRU + after.Committed.MRU);
    expect(counters.Users).toMatchObject({ Deployments: 1, Workloads: 3 });
    expect(counters.Users.LastDeploymentTimestamp).toBeGreaterThan(1_700_000_000);

    const tooMuch = tenant.contracted(host, 2n, [
      networkWorkload('net2'),
      machineWorkload('big', { network: 'net2', memory: 15 * GIB }),
    ]);
    const dry = await bus.of(planner).Plan({ twin: 7, deployment: deploymentToStruct(tooMuch) });
    expect(dry.Fits).toBe(false);
    const answer = await refused(tooMuch);
    expect(answer).toMatchObject({
      code: 'capacity_memory',
      details: { requested: 15 * GIB, available: after.Free.MRU, total: 16 * GIB },
    });
    expect(dry.Refusals.map((one) => one.Message)).toEqual([answer.message]);
    expect(await bus.of(planner).Capacity({})).toEqual(after);
  });

  it('refuses a disk, several reasons, a type and a feature, and changes nothing', async () => {
    await startHere();
    const disk = await refused(tenant.contracted(host, 1n, [diskWorkload('d', 200 * GIB)]));
    expect(disk).toMatchObject({ code: 'capacity_refused' });
    expect(disk.message).toContain(`requested ${200 * GIB} bytes, available ${95 * GIB} bytes`);
    const lost = await refused(tenant.contracted(host, 2n, [machineWorkload('vm1')]));
    expect(lost.code).toBe('network_missing');
    const overlay = await refused(
      tenant.contracted(host, 3n, [networkWorkload('n'), machineWorkload('v', { network: 'n', planetary: true })]),
    );
    expect(overlay).toMatchObject({ code: 'feature_unsupported', details: { workload: 'v', feature: 'yggdrasil' } });
    host.wireguardPorts = [4127];
    expect((await refused(tenant.contracted(host, 4n, workloads()))).code).toBe('wireguard_port_taken');
    expect(await bus.of(provision).ListTwins({})).toEqual([]);
  });

  it('gives the last space to exactly one of two deployments', async () => {
    await startHere();
    const other = new Tenant(8);
    const first = tenant.contracted(host, 1n, [diskWorkload('d', 60 * GIB)]);
    const second = other.contracted(host, 2n, [diskWorkload('d', 60 * GIB)]);
    const answers = await Promise.allSettled([deploy(first), deploy(second, 8)]);
    expect(answers.map((one) => one.status).sort()).toEqual(['fulfilled', 'rejected']);
    await vi.waitFor(() => expect(host.disks.size).toBe(1));
  });

  it('answers a machine without a network at once, and never holds up the twin that sends the network next', async () => {
    await startHere();
    const machine = tenant.contracted(host, 1n, [machineWorkload('vm1')]);
    const network = tenant.contracted(host, 2n, [networkWorkload('net1')]);
    const began = performance.now();
    const [first, second] = await Promise.allSettled([deploy(machine), deploy(network)]);
    expect([first.status, second.status]).toEqual(['rejected', 'fulfilled']);
    expect(performance.now() - began).toBeLessThan(2_000);
    await deploy(machine);
    await running(1n);
  });

  it('does not refuse for space that is freed while it reads the node', async () => {
    await startHere();
    await deploy(tenant.contracted(host, 1n, [diskWorkload('old', 90 * GIB)]));
    await running();
    // The pools were read already when the old disk goes.
    let reads = 0;
    host.hook = async ({ method }, when) => {
      if (method !== 'WireguardPorts' || when !== 'before' || reads++ > 0) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
      host.cancelContract(1n);
      await vi.waitFor(async () => expect(await bus.of(provision).ListTwins({})).toEqual([]), { timeout: 5_000 });
    };
    await deploy(tenant.contracted(host, 2n, [diskWorkload('new', 80 * GIB)]));
    await running(2n);
    expect(reads).toBe(2);
  });

  it('keeps its sums while deployments come, fail and go, and gives everything back', async () => {
    const daemon = await startHere({ host: { cpus: 16, memoryBytes: 64 * GIB } });
    const before = await bus.of(planner).Capacity({});
    host.hook = async ({ method, args }) => {
      if (/Create|Delete|Setup|Mount|Run/.test(method)) {
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 8));
      }
      if (method === 'Mount' && String(args.name).endsWith('bad')) throw new Error('404 Not Found');
      if (method === 'DiskCreate' && String(args.name).endsWith('5-disk')) throw new Error('the pool is read-only');
    };
    let isOver = false;
    const sums = (async () => {
      let looks = 0;
      for (; !isOver; looks++) {
        const { Total, System, Committed, Pending, Free } = await bus.of(planner).Capacity({});
        for (const unit of ['CRU', 'MRU', 'SRU', 'HRU'] as const) {
          expect(System[unit] + Committed[unit] + Pending[unit] + Free[unit]).toBe(Total[unit]);
        }
      }
      return looks;
    })();
    const answers = await Promise.allSettled(
      Array.from({ length: 16 }, async (_, index) => {
        const contract = BigInt(index + 1);
        const owner = new Tenant(100 + index);
        const name = index % 3 === 0 ? 'bad' : 'vm';
        const wanted = [
          networkWorkload('net1'),
          diskWorkload('disk', 9 * GIB),
          machineWorkload(name, { mounts: ['disk'], memory: 6 * GIB }),
        ];
        await deploy(owner.contracted(host, contract, wanted), owner.twin);
        if (index % 2 === 0) setTimeout(() => host.cancelContract(contract), Math.random() * 200);
      }),
    );
    const refusals = answers.flatMap((one) => (one.status === 'rejected' ? [String(one.reason)] : []));
    expect(refusals.length).toBeGreaterThan(0);
    for (const text of refusals) expect(text).toMatch(/usable \d+ bytes|not enough space left/);
    await vi.waitFor(() => expect(daemon.journal.deployments().length).toBeLessThan(answers.length), {
      timeout: 10_000,
    });
    await daemon.engine.idle();
    const records = daemon.journal.deployments();
    for (const one of records.flatMap((record) => record.workloads)) {
      expect(one.held?.state, `${one.name} ${one.state}`).toBe(one.state === 'ok' ? 'committed' : undefined);
    }
    for (const record of records) host.cancelContract(record.contract);
    await vi.waitFor(() => expect(daemon.journal.deployments()).toEqual([]), { timeout: 10_000 });
    isOver = true;
    expect(await sums).toBeGreaterThan(5);
    expect(host.resources).toEqual([]);
    expect(await bus.of(planner).Capacity({})).toEqual(before);
  }, 40_000);

  it('leaves nothing of a disk that still was being made when its contract ended', async () => {
    const daemon = await startHere();
    host.hook = async ({ method }, when) => {
      if (method !== 'DiskCreate' || when !== 'before') return;
      host.cancelContract(1n);
      await new Promise((resolve) => setTimeout(resolve, 400));
    };
    await deploy(tenant.contracted(host, 1n, [diskWorkload('d', GIB)]));
    await vi.waitFor(() => expect(daemon.journal.history()).toHaveLength(1), { timeout: 5_000 });
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(host.resources).toEqual([]);
  });

  it('answers updates in the words of the grid, to the owner only', async () => {
    await startHere();
    const update = (deployment: Deployment, twin = 7): Promise<void> =>
      bus.of(provision).CreateOrUpdate({ twin, deployment: deploymentToStruct(deployment), update: true });
    const signed = tenant.contracted(host, 1n, [networkWorkload('net1')]);
    await expect(update(signed)).rejects.toThrow(/^twin not found: deployment does not exist$/);
    await deploy(signed);
    await running();
    await expect(update(signed, 9)).rejects.toThrow(/^twin id mismatch \(deployment: 7, message: 9\)$/);
    await expect(update(signed)).rejects.toThrow(/^expecting deployment version 1, got 0: upgrade validation error$/);
    const other = tenant.deployment(2n, [networkWorkload('net2')]);
    await expect(update(other)).rejects.toThrow(/^deployment not found: deployment does not exist$/);
    const taken = tenant.contracted(host, 3n, [networkWorkload('net1')]);
    expect((await refused(taken)).message).toBe("global workload with the same name 'net1' exists: conflict");
    await bus.of(provision).DecommissionCached({ id: '7-1-net1', reason: 'x' });
    expect(await bus.of(provision).GetWorkloadStatus({ id: '7-1-net1' })).toEqual(['', false]);
    const changes = await bus.of(provision).Changes({ twin: 7, contractID: 1n });
    expect(changes.map((one) => [one.Result.State, one.Result.Error])).toEqual([
      ['init', ''],
      ['ok', ''],
      ['deleted', 'workload decommissioned by system, reason: x'],
    ]);
    expect(await bus.of(provision).List({ twin: 7 })).toEqual([]);
    expect((await bus.of(provision).Get({ twin: 7, contractID: 1n })).Workloads).toEqual([]);
  });

  it('refuses what the chain or the signatures do not cover', async () => {
    await startHere();
    const good = tenant.contracted(host, 1n, workloads());
    const facts = host.contracts.get(1n);
    if (facts === undefined) throw new Error('the contract is there');
    const with_ = async (change: Partial<typeof facts>) => {
      host.contracts.set(1n, { ...facts, ...change });
      return refused(good);
    };
    expect(await with_({ DeploymentHash: 'f'.repeat(32) })).toMatchObject({
      code: 'contract_hash',
      message: expect.stringMatching(/^contract hash does not match deployment hash/),
      details: { actual: 'f'.repeat(32), expected: facts.DeploymentHash },
    });
    expect((await with_({ TwinID: 9 })).code).toBe('contract_twin');
    expect((await with_({ NodeID: 12 })).message).toMatch(/^invalid node address in contract/);
    expect((await with_({ State: 'deleted' })).code).toBe('contract_state');
    expect((await with_({ Kind: 'name' })).message).toMatch(/^invalid contract type, expecting node contract/);
    expect((await with_({ RentedBy: 5 })).code).toBe('contract_rented');
    expect((await with_({ Found: false })).message).toMatch(
      /^failed to get deployment contract: .* is not on the chain/,
    );
    host.contracts.set(1n, facts);

    expect((await refused(good, 9)).message).toBe('twin id mismatch (deployment: 7, message: 9)');
    const unsigned = structuredClone(good);
    unsigned.signature_requirement.signatures = [];
    expect((await refused(unsigned)).message).toMatch(/^missing required signature for twin '7'/);
    const tampered = structuredClone(good);
    tampered.metadata = 'other';
    expect((await refused(tampered)).message).toMatch(/^failed to verify signature/);
    host.twins.delete(7);
    const stranger = new Tenant(70);
    host.contracts.set(2n, { ...facts, ContractID: 2n });
    expect((await refused(stranger.deployment(2n, workloads()), 70)).message).toMatch(
      /^failed to get public key for twin '70'/,
    );
    const later = structuredClone(good);
    later.version = 1;
    expect((await refused(later)).code).toBeDefined();
  });

  it('believes no old key after the bus was away, and hears of a contract that ended meanwhile', async () => {
    const daemon = await startHere();
    await deploy(tenant.contracted(host, 1n, [networkWorkload('net1')]));
    await running();
    host.tell('alive');
    await new Promise((resolve) => setTimeout(resolve, 200));
    host.twins.set(7, new Tenant(7).publicKey);
    // Both were told while nobody could hear.
    host.cancelContract(1n, true);
    host.tell('alive');
    await vi.waitFor(() => expect(daemon.journal.deployments()).toEqual([]), { timeout: 5_000 });
    const publicKey = host.twins.get(7) ?? new Uint8Array();
    const old = tenant.contracted(host, 2n, [networkWorkload('net1')]);
    host.twins.set(7, publicKey);
    expect((await refused(old)).message).toMatch(/^failed to verify signature/);
  });

  it('tells the chain what runs, again until it is heard, and nothing twice', async () => {
    await startHere();
    let failures = 2;
    host.hook = ({ method }) => {
      if (method === 'SetContractConsumption' && failures-- > 0) throw new Error('the chain is away');
    };
    await deploy(tenant.contracted(host, 1n, workloads()));
    const MIB = 1024n ** 2n;
    const all = { HRU: 0n, SRU: 1024n * MIB + 500n * MIB, CRU: 1n, MRU: 512n * MIB };
    await vi.waitFor(() => expect(host.consumption.get(1n)).toEqual(all), { timeout: 5_000 });
    expect(failures).toBeLessThan(0);
    await bus.of(provision).DecommissionCached({ id: '7-1-vm1', reason: 'too many crashes' });
    const left = { HRU: 0n, SRU: 1024n * MIB, CRU: 0n, MRU: 0n };
    await vi.waitFor(() => expect(host.consumption.get(1n)).toEqual(left), { timeout: 5_000 });
    const reports = (): number => host.calls.filter((call) => call.method === 'SetContractConsumption').length;
    const before = reports();
    await bus.of(provision).DecommissionCached({ id: '7-1-vm1', reason: 'again' });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(reports()).toBe(before);
  });

  it('waits for a contract that is a moment late', async () => {
    await startHere({ contractWaitMs: 5_000 });
    const deployment = tenant.contracted(host, 1n, workloads());
    const facts = host.contracts.get(1n);
    host.contracts.delete(1n);
    const answer = deploy(deployment);
    setTimeout(() => facts !== undefined && host.contracts.set(1n, facts), 700);
    await answer;
    await running();
  });

  it('answers nothing but an error when its journal can not write', async () => {
    const journal = failingJournal(new MemoryJournal());
    await startHere({ journal });
    journal.failing.add('accept');
    expect((await refused(tenant.contracted(host, 1n, workloads()))).message).toContain('disk I/O error');
    journal.failing.clear();
    await deploy(tenant.contracted(host, 1n, workloads()));
    await running();
  });
});

describe('provisiond with a dead daemon', () => {
  it('names the daemon it can not plan without, and accepts nothing', async () => {
    await serveHost(['network', 'flist', 'vmd', 'api-gateway']);
    await startHere();
    const answer = await refused(tenant.contracted(host, 1n, workloads()));
    expect(answer).toMatchObject({ code: 'capacity_unknown', details: { daemon: 'storaged', kind: 'no_such_module' } });
  });

  it('names the chain', async () => {
    await serveHost(['storage', 'network', 'flist', 'vmd']);
    await startHere();
    expect((await refused(tenant.contracted(host, 1n, workloads()))).message).toMatch(
      /^failed to get public key for twin '7'/,
    );
  });

  it('fails the workload with its stage when vmd stays dead, and keeps the rest', async () => {
    await serveHost(['storage', 'network', 'flist', 'api-gateway']);
    await startHere();
    await deploy(tenant.contracted(host, 1n, workloads()));
    await vi.waitFor(async () => expect(await stateOf()).toEqual(['ok', 'ok', 'error']), { timeout: 15_000 });
    const [, , machine] = (await bus.of(provision).Get({ twin: 7, contractID: 1n })).Workloads;
    expect(machine?.Result.Error).toMatch(/stage machine, step 'machine' of workload 'vm1'/);
  }, 30_000);
});

async function startChild(): Promise<ChildProcess> {
  const args = [MAIN, '--broker', redis.broker, '--state', folder, '--contract-wait-seconds', '1'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  await new Promise<void>((resolve, reject) => {
    let text = '';
    child.once('exit', (code) => reject(new Error(`provisiond ended with ${code}: ${text}`)));
    child.stdout?.on('data', (chunk: Buffer) => {
      text = (text + chunk.toString()).slice(-20_000);
      if (text.includes('"msg":"ready"')) resolve();
    });
  });
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

describe('kill -9 of provisiond', () => {
  const points = [
    ['DiskCreate', 'before'],
    ['DiskCreate', 'after'],
    ['CreateNR', 'after'],
    ['SetupPrivTap', 'after'],
    ['Mount', 'after'],
    ['Run', 'before'],
    ['Run', 'after'],
  ] as const;

  it('at any call ends in the same running deployment, and a cancellation killed half way in nothing', async () => {
    await serveHost();
    for (const [index, [method, when]] of points.entries()) {
      const contract = BigInt(index + 1);
      let child = await startChild();
      let isKilled = false;
      host.hook = async (call, moment) => {
        if (isKilled || call.method !== method || moment !== when) return;
        isKilled = true;
        await kill(child);
      };
      await deploy(tenant.contracted(host, contract, workloads()));
      await vi.waitFor(() => expect(isKilled).toBe(true), { timeout: 10_000 });
      child = await startChild();
      await running(contract);
      const changes = await bus.of(provision).Changes({ twin: 7, contractID: contract });
      expect(changes.filter((one) => one.Result.State === 'ok')).toHaveLength(3);
      expect(host.resources).toHaveLength(6);

      isKilled = false;
      host.hook = async (call, moment) => {
        if (isKilled || call.method !== 'Unmount' || moment !== when) return;
        isKilled = true;
        await kill(child);
      };
      host.cancelContract(contract);
      await vi.waitFor(() => expect(isKilled).toBe(true), { timeout: 10_000 });
      child = await startChild();
      await vi.waitFor(() => expect(host.resources).toEqual([]), { timeout: 10_000 });
      await vi.waitFor(async () => expect(await bus.of(provision).ListTwins({})).toEqual([]), { timeout: 5_000 });
      await kill(child);
    }
    const journal = new SqliteJournal(join(folder, 'provisiond', 'journal.sqlite'));
    expect(journal.deployments()).toEqual([]);
    expect(journal.history()).toHaveLength(points.length);
    journal.close();
  }, 120_000);
});
