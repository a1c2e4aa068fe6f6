/** Nothing stops the node, and nothing that was accepted is lost: weaknesses W1 to W8 of docs/weaknesses.md. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { storage } from '../../modules/storaged/interface.ts';
import type { BusLog } from '../../modules/zbus/broker.ts';
import { withTrace } from '../../modules/zbus/trace.ts';
import { attemptStep } from '../../provision/engine/attempt.ts';
import { planner, provision, statistics } from '../../provision/interface.ts';
import { fullDeployment } from '../../provision/testing/provisiond.ts';
import { bus, host, stand, tenant } from '../../provision/testing/stand.ts';
import {
  at,
  diskWorkload,
  machineWorkload,
  networkWorkload,
  Tenant,
  volumeWorkload,
} from '../../provision/testing/tenant.ts';
import type { Workload } from '../../schemas/deployment.ts';
import {
  changeContract,
  changes,
  deployed,
  die,
  ends,
  gate,
  grace,
  isGone,
  LIMITS,
  losePower,
  named,
  next,
  nodeForEachTest,
  operations,
  settles,
  standing,
  start,
} from './node.ts';

const GIB = 1024 ** 3;
const ALL_OK = ['net1 0 ok', 'disk1 0 ok', 'vm1 0 ok'];
const other = new Tenant(8);

nodeForEachTest();

async function deployedBy(owner: Tenant, contract: bigint, ...workloads: Workload[]): Promise<void> {
  await stand.deploy(owner.contracted(host, contract, workloads), owner.twin);
  const expected = workloads.map(({ name }) => `${name} 0 ok`);
  await settles(expected, contract, owner.twin);
}

describe('one deployment never stops the node', () => {
  const encryption = { algorithm: 'AES', key: '00' };
  const foreign: Readonly<Record<string, unknown>> = {
    'network-light': { subnet: '10.1.2.0/24', mycelium: { hex_key: '00'.repeat(32), peers: [] } },
    'zmachine-light': {
      ...JSON.parse(machineWorkload('vm1').data),
      network: { interfaces: [{ network: 'net1', ip: '10.1.2.5' }] },
    },
    qsfs: {
      cache: GIB,
      config: {
        minimal_shards: 1,
        expected_shards: 2,
        encryption,
        meta: { type: 'zdb', config: { prefix: 'p', encryption, backends: [] } },
        groups: [],
        compression: { algorithm: 'snappy' },
      },
    },
    zdb: { size: GIB, mode: 'user', password: '', public: false },
  };

  it.each(Object.keys(foreign))(
    'W1: a %s, which this node can not run, is refused before it is accepted',
    async (type) => {
      await start();
      const wanted = { ...diskWorkload('it', GIB), type, data: JSON.stringify(foreign[type]) };
      expect(await stand.refused(tenant.contracted(host, 1n, [wanted]))).toMatchObject({
        code: 'workload_type_unsupported',
        details: { workload: 'it', type },
      });
      expect(await bus.of(provision).List({ twin: 7 })).toEqual([]);
      expect(await operations(0n)).toEqual([]);
      await deployed(1n, ...fullDeployment());
    },
  );

  it('W1: a daemon that took a call and never answers holds up what needs it, and nothing else', async () => {
    await start();
    const hangs = gate(({ method, args }) => method === 'Mount' && args.name === '7-1-vm1');
    await stand.deploy(tenant.contracted(host, 1n, fullDeployment()));
    await hangs.reached;
    // Another tenant, the same one, and a machine that needs the very daemon.
    await deployedBy(other, 2n, networkWorkload('net1'), machineWorkload('vm1'));
    await deployed(3n, diskWorkload('disk1', GIB));
    await ends(3n);
    host.cancelContract(1n);
    await expect
      .poll(async () => (await operations(1n)).map(({ Kind, State }) => `${Kind} ${State}`))
      .toEqual(['create superseded', 'cancel running']);
    host.cancelContract(2n);
    await expect.poll(() => isGone(2n, other.twin)).toBe(true);
    hangs.open();
    await expect.poll(() => isGone(1n)).toBe(true);
    expect(host.resources).toEqual([]);
  });

  it('W1: a call that nobody answers ends at its deadline, its step within its budget, and the error names both', async () => {
    gate(named('DiskExists'));
    const { deadlineMs, stage } = { deadlineMs: 30, stage: 'storage' as const };
    const ensure = async (): Promise<void> => {
      await bus.of(storage).DiskExists({ name: '7-1-disk1' }, { deadlineMs });
    };
    const step = { name: 'disk', stage, deadlineMs, ensure, undo: ensure };
    const heard: string[] = [];
    // Two attempts and more, on a busy machine, too.
    const budget = { ...LIMITS.retry, budgetMs: 2_000 };
    const attempts = attemptStep('disk1', step, budget, {
      signal: new AbortController().signal,
      inPlace: (attempt) => attempt(),
      pause: async () => undefined,
      heard: (state) => heard.push(state),
    });
    const details = { workload: 'disk1', step: 'disk', stage, attempts: expect.any(Number) };
    await expect(attempts).rejects.toMatchObject({ code: 'step_failed', details });
    expect(heard.slice(0, 3)).toEqual(['started', 'failed', 'failed']);
  });

  it('W6: a chain that takes no reports holds up no deployment, however many wait to be told', async () => {
    await start();
    const hangs = gate(named('SetContractConsumption'));
    await deployed(1n, diskWorkload('disk1', GIB));
    await hangs.reached;
    // More than any queue of theirs had room for.
    const contracts = Array.from({ length: 230 }, (_, index) => BigInt(index + 2));
    for (const contract of contracts) {
      await stand.deploy(tenant.contracted(host, contract, [volumeWorkload('vol1', 1024 ** 2)]));
    }
    await stand.running(231n);
    await expect.poll(async () => await bus.of(statistics).Workloads({})).toBe(231);
    await ends(5n);
    hangs.open();
    const untold = () => contracts.filter((contract) => contract !== 5n && !host.consumption.has(contract));
    await expect.poll(untold).toEqual([]);
  });

  it('W6: one slow step delays no other, and what is to go or to stand still overtakes it', async () => {
    await start();
    await deployed(1n, ...fullDeployment());
    await deployed(2n, volumeWorkload('vol1', GIB));
    const slow = gate(({ method, args }) => method === 'VolumeCreate' && args.name === '7-3-big');
    await stand.deploy(tenant.contracted(host, 3n, [volumeWorkload('big', GIB)]));
    await slow.reached;
    grace(1n, true);
    await settles(['net1 0 paused', 'disk1 0 paused', 'vm1 0 paused'], 1n);
    await ends(2n);
    expect(await standing(3n)).toEqual(['big 0 init']);
    slow.open();
    await stand.running(3n);
  });
});

describe('what was accepted', () => {
  const comeBack: Readonly<Record<string, () => Promise<void>>> = { 'kill -9': die, 'loss of power': losePower };

  it.each(Object.keys(comeBack))('W2: runs after a %s that came before its first step', async (how) => {
    await start();
    const before = gate(named('VolumeCreate', 'DiskCreate', 'CreateNR'));
    await stand.deploy(tenant.contracted(host, 1n, fullDeployment()));
    await before.reached;
    expect(await standing()).toEqual(['net1 0 init', 'disk1 0 init', 'vm1 0 init']);
    await comeBack[how]?.();
    before.cut();
    await start();
    await settles(ALL_OK);
    const oks = (await changes()).filter((one) => one.endsWith('ok'));
    expect(oks.sort()).toEqual([...ALL_OK].sort());
  });

  it.each(Object.keys(comeBack))(
    'W2: an update, a pause and an end that were waiting happen after a %s',
    async (how) => {
      const daemon = await start();
      await deployed(1n, volumeWorkload('vol1', GIB));
      await deployed(2n, networkWorkload('net1'), machineWorkload('vm1'));
      await deployed(3n, diskWorkload('disk1', GIB));
      const waiting = gate(named('VolumeUpdate', 'Lock', 'DiskDelete'));
      await stand.update(next(1n, 1, at(1, volumeWorkload('vol1', 2 * GIB))));
      grace(2n, true);
      host.cancelContract(3n);
      await expect
        .poll(() =>
          daemon.journal
            .pending()
            .map(({ kind }) => kind)
            .sort(),
        )
        .toEqual(['cancel', 'pause', 'update']);
      await comeBack[how]?.();
      waiting.cut();
      await start();
      await settles(['vol1 1 ok'], 1n);
      await settles(['net1 0 paused', 'vm1 0 paused'], 2n);
      await expect.poll(() => isGone(3n)).toBe(true);
      expect(host.volumes.get('7-1-vol1')).toBe(2 * GIB);
      expect([...host.disks]).toEqual([]);
    },
  );
});

it.each(['SetupPrivTap', 'Mount', 'Run'])(
  'W2: a death in the midst of coming back, at %s, is one more start and no more',
  async (method) => {
    await start();
    await deployed(1n, ...fullDeployment());
    await deployed(2n, machineWorkload('vm2', { ip: '10.1.2.9' }));
    const before = [await changes(1n), await changes(2n)];
    await losePower();
    const back = gate(named(method));
    await start();
    await back.reached;
    // From now on it is no first start of the host any more.
    await die();
    back.cut();
    await start();
    await expect.poll(() => [...host.machines.keys()].sort()).toEqual(['7-1-vm1', '7-2-vm2']);
    await expect.poll(() => operations(0n).then((all) => all.every(({ State }) => State === 'done'))).toBe(true);
    expect([await changes(1n), await changes(2n)]).toEqual(before);
  },
);

describe('W3: a bad update leaves running machines alone', () => {
  const bad: Readonly<Record<string, () => void>> = {
    'whose hash the contract does not carry': () => undefined,
    'while the chain can not be read': () => {
      host.hook = ({ method }) => {
        if (method === 'Contract' || method === 'ContractBatch') throw new Error('connection refused');
      };
    },
    'whose contract is of another node': () => {
      changeContract({ NodeID: 99 });
    },
    'whose contract is in its grace period': () => {
      changeContract({ State: 'grace' });
    },
  };

  it.each(Object.keys(bad))('W3: %s', async (which) => {
    await start();
    await deployed(1n, ...fullDeployment());
    const facts = host.contracts.get(1n);
    const wanted = tenant.deployment(1n, [...fullDeployment(), at(1, volumeWorkload('vol1', GIB))], 1);
    bad[which]?.();
    const { code, message } = await stand.refused(wanted, 7, true);
    expect(code).toMatch(/^contract_(hash|unreadable|node|state)$/);
    expect(message).not.toBe('');
    expect(await standing()).toEqual(ALL_OK);
    expect((await changes()).some((one) => one.includes('error'))).toBe(false);
    // Here vmd asks whether a machine is to run.
    expect(await bus.of(provision).GetWorkloadStatus({ id: '7-1-vm1' })).toEqual(['ok', true]);
    host.hook = () => {};
    if (facts !== undefined) host.contracts.set(1n, facts);
    await die();
    await start();
    await expect.poll(() => operations().then((all) => all.every(({ State }) => State === 'done'))).toBe(true);
    expect(await standing()).toEqual(ALL_OK);
    expect(host.changes.filter((method) => method === 'Run' || method === 'Delete')).toEqual(['Run']);
    // The very same version is taken once it is right.
    host.rehash(wanted);
    await stand.update(wanted);
    await settles([...ALL_OK, 'vol1 1 ok']);
  });

  it('W3: one that fails while it is carried out', async () => {
    await start();
    await deployed(1n, ...fullDeployment(), volumeWorkload('vol1', GIB));
    host.hook = ({ method, args }, when) => {
      if (method === 'VolumeUpdate' && args.size === 2 * GIB && when === 'before')
        throw new Error('quota: no such device');
      if (method === 'DiskCreate' && when === 'before') throw new Error('fallocate: input/output error');
    };
    const added = at(1, diskWorkload('disk2', GIB));
    await stand.update(next(1n, 1, ...fullDeployment(), at(1, volumeWorkload('vol1', 2 * GIB)), added));
    await expect.poll(() => operations().then((all) => all.at(-1))).toMatchObject({ Version: 1, State: 'failed' });
    expect(await standing()).toEqual([...ALL_OK, 'vol1 0 ok', 'disk2 1 error']);
    expect(await changes()).toContainEqual(expect.stringMatching(/^vol1 1 unchanged .*'resize' of workload 'vol1'/));
    expect(host.changes.filter((method) => method === 'Run' || method === 'Delete')).toEqual(['Run']);
    expect(await bus.of(provision).GetWorkloadStatus({ id: '7-1-vm1' })).toEqual(['ok', true]);
  });
});

it('W4: a node without chain and hub serves what it has, fails nothing, and has its machines back when they are', async () => {
  await start();
  await deployed(1n, ...fullDeployment());
  const before = await changes();
  await losePower();
  let tries = 0;
  host.hook = ({ method }, when) => {
    if (when === 'after') return;
    if (['Contract', 'ContractBatch', 'ActiveContracts', 'Node', 'Twin'].includes(method)) throw new Error('no route');
    if (method !== 'Mount') return;
    tries += 1;
    throw new Error('the hub does not answer');
  };
  await start();
  expect(await standing()).toEqual(ALL_OK);
  expect((await bus.of(statistics).GetCounters({})).Users.Workloads).toBe(3);
  // Longer than any budget of tries, and over another start.
  await expect.poll(() => tries).toBeGreaterThan(3);
  await die();
  await start();
  const seen = tries;
  await expect.poll(() => tries).toBeGreaterThan(seen + 2);
  expect(await standing()).toEqual(ALL_OK);
  host.hook = () => {};
  await expect.poll(() => host.machines.has('7-1-vm1')).toBe(true);
  await expect.poll(() => operations().then((all) => all.at(-1)?.State)).toBe('done');
  expect(await standing()).toEqual(ALL_OK);
  expect(await changes()).toEqual(before);
});

it.each(['DiskCreate', 'CreateNR', 'SetupPrivTap', 'Mount', 'Run'])(
  'W5: a daemon that panics in %s fails what it was asked for',
  async (method) => {
    await start();
    await deployed(2n, volumeWorkload('vol1', GIB));
    host.hook = (call, when) => {
      if (call.method === method && when === 'before') (undefined as unknown as { panic: () => void }).panic();
    };
    await stand.deploy(tenant.contracted(host, 1n, fullDeployment()));
    await expect.poll(() => operations(1n).then(([one]) => one?.State)).toBe('failed');
    expect((await operations(1n))[0]).toMatchObject({ LastError: expect.stringContaining('workload'), Crashes: 0 });
    expect(await standing(2n)).toEqual(['vol1 0 ok']);
    await ends(1n);
    expect(host.resources).toEqual(['volume 7-2-vol1']);
  },
);

describe('W7: slow third parties', () => {
  let service: Server | undefined;
  let asked: string[] = [];
  const hanging = new Set<() => void>();

  afterEach(() => {
    for (const end of hanging) end();
    hanging.clear();
    service?.close();
    service = undefined;
  });

  /** Twin 7 waits for ever, 8 is known, others are not. */
  async function kyc(): Promise<string> {
    asked = [];
    service = createServer((request, response) => {
      const twin = new URL(request.url ?? '/', 'http://kyc').searchParams.get('twin_id') ?? '';
      asked.push(twin);
      if (twin === '7') hanging.add(() => response.destroy());
      else response.end(JSON.stringify({ result: { status: twin === '8' ? 'VERIFIED' : 'PENDING' } }));
    });
    await new Promise<void>((resolve) => service?.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
  }

  it('W7: a slow answer about one twin delays no other twin, no reader and no machine; a no is asked for once', async () => {
    await start({ kycUrl: await kyc() });
    const waiting = stand.deploy(tenant.contracted(host, 1n, fullDeployment())).catch((error: unknown) => error);
    await expect.poll(() => asked).toEqual(['7']);
    // vmd asks while it starts a machine, and holds its own lock meanwhile.
    const answers: unknown[] = [];
    host.hook = async ({ method }, when) => {
      if (method !== 'Run' || when !== 'before') return;
      answers.push(await bus.of(provision).GetWorkloadStatus({ id: '8-2-vm1' }, { deadlineMs: 10_000 }));
    };
    await deployedBy(other, 2n, networkWorkload('net1'), machineWorkload('vm1'));
    expect(answers).toEqual([['init', true]]);
    const unknown = new Tenant(9);
    const refused = unknown.contracted(host, 3n, [networkWorkload('net1')]);
    expect(await stand.refused(refused, 9)).toMatchObject({ code: 'twin_unverified' });
    expect(asked).toEqual(['7', '8', '9']);
    expect((await bus.of(statistics).GetCounters({})).Users.Deployments).toBe(1);
    for (const end of hanging) end();
    expect(await waiting).toMatchObject({ remote: { code: 'twin_verification_failed' } });
    expect(await isGone(1n)).toBe(true);
  });

  it('W7: a chain that says nothing of one twin delays nobody else', async () => {
    await start();
    const hangs = gate(({ method, args }) => method === 'Twin' && args.id === 7);
    const waiting = stand.deploy(tenant.contracted(host, 1n, fullDeployment()));
    await hangs.reached;
    await deployedBy(other, 2n, networkWorkload('net1'), machineWorkload('vm1'));
    hangs.open();
    await waiting;
    await stand.running(1n);
  });

  it('W7: reads and numbers are served while storaged does not answer', async () => {
    await start();
    await deployed(1n, ...fullDeployment());
    await bus.of(statistics).GetCounters({});
    const hangs = gate(named('Metrics', 'VolumeList', 'DiskList', 'Cache', 'DiskCreate'));
    const waiting = stand.deploy(tenant.contracted(host, 2n, [diskWorkload('disk2', GIB)]));
    await hangs.reached;
    expect(await standing()).toEqual(ALL_OK);
    expect(await bus.of(provision).GetWorkloadStatus({ id: '7-1-vm1' })).toEqual(['ok', true]);
    expect(await bus.of(statistics).Workloads({})).toBe(3);
    expect((await bus.of(statistics).GetCounters({})).Users.Workloads).toBe(3);
    hangs.open();
    await waiting;
    await stand.running(2n);
  });
});

it('W8: an operation tells its attempts, what it works on, and the deaths it survived', async () => {
  await start();
  const paused = gate(named('Mount'));
  await stand.deploy(tenant.contracted(host, 1n, fullDeployment()));
  await paused.reached;
  const [running] = await operations();
  expect(running).toMatchObject({ Kind: 'create', State: 'running', Attempts: 1, Crashes: 0, QueuePosition: 0 });
  expect(running?.Steps).toMatchObject([{ Workload: 'vm1', Step: 'image', State: 'started' }]);
  await die();
  paused.cut();
  await start();
  await settles(ALL_OK);
  await expect.poll(() => operations().then(([one]) => one?.State)).toBe('done');
  const [done] = await operations();
  expect(done).toMatchObject({ ID: running?.ID, Crashes: 1, Attempts: 2, LastError: '' });
  expect(done?.EndedAt).toBeGreaterThanOrEqual(done?.StartedAt ?? Number.NaN);
  const { Settled, OK } = await bus.of(planner).Wait({ twin: 7, contractID: 1n, version: 0, timeoutMs: 1_000 });
  expect([Settled, OK]).toEqual([true, true]);
});

it('W8: what is done after a death of the process is told under the trace of the request that asked for it', async () => {
  const lines: { trace: string; step: string; state: string; life: number }[] = [];
  const log = (life: number): BusLog =>
    pino(
      { base: { life } },
      {
        write: (line) => {
          const { msg, ...facts } = JSON.parse(line) as (typeof lines)[number] & { msg: string };
          if (msg === 'step') lines.push(facts);
        },
      },
    );
  const trace = 'c0ffee00c0ffee00c0ffee00c0ffee00';
  await start({ log: log(1) });
  const slow = gate(named('Run'));
  await withTrace(trace, () => stand.deploy(tenant.contracted(host, 1n, fullDeployment())));
  await slow.reached;
  await die();
  slow.cut();
  await start({ log: log(2) });
  await settles(ALL_OK);
  await expect.poll(() => operations().then(([one]) => one?.State)).toBe('done');
  for (const life of [1, 2]) {
    const own = lines.filter((one) => one.life === life);
    expect(own.length).toBeGreaterThan(2);
    expect(new Set(own.map((one) => one.trace))).toEqual(new Set([trace]));
  }
  expect(lines).toContainEqual(expect.objectContaining({ step: 'machine', state: 'done', life: 2 }));
  const told = await bus.of(planner).Steps({ twin: 7, contractID: 1n });
  expect(new Set(told.map(({ Trace }) => Trace))).toEqual(new Set([trace]));
  expect(await operations()).toMatchObject([{ Kind: 'create', Trace: trace, Crashes: 1 }]);
});
