/** Who is told yes gets all of it: weaknesses W20 to W23 of docs/weaknesses.md. */
import { describe, expect, it } from 'vitest';
import { machineConfig } from '../../modules/vmd/config.ts';
import { VM } from '../../modules/vmd/interface.ts';
import { zero } from '../../modules/zbus/codec.ts';
import { planner, provision } from '../../provision/interface.ts';
import { fullDeployment } from '../../provision/testing/provisiond.ts';
import { bus, host, stand, tenant } from '../../provision/testing/stand.ts';
import { at, diskWorkload, machineWorkload, networkWorkload, volumeWorkload } from '../../provision/testing/tenant.ts';
import { deploymentToStruct } from '../../provision/wire.ts';
import { deploymentHash } from '../../schemas/challenge.ts';
import type { Deployment, Workload } from '../../schemas/deployment.ts';
import {
  changeContract,
  deployed,
  die,
  ends,
  gate,
  named,
  next,
  nodeForEachTest,
  settles,
  standing,
  start,
} from './node.ts';

const GIB = 1024 ** 3;

nodeForEachTest();

const dry = (deployment: Deployment) => bus.of(planner).Plan({ twin: 7, deployment: deploymentToStruct(deployment) });

describe('W20: a deployment is decided on as a whole', () => {
  it('W20: where one part does not fit nothing is made, nothing is kept, and the dry run says so before', async () => {
    await start();
    const before = await bus.of(planner).Capacity({});
    const wanted = tenant.contracted(host, 1n, [
      ...fullDeployment(),
      machineWorkload('vm2', { ip: '10.1.2.6', memory: 15 * GIB }),
    ]);
    const planned = await dry(wanted);
    expect([planned.Fits, planned.Refusals.map(({ Code }) => Code)]).toEqual([false, ['capacity_memory']]);
    expect(await stand.refused(wanted)).toMatchObject({
      code: 'capacity_memory',
      message: expect.stringMatching(/cannot fulfil required memory size \d+ bytes out of usable \d+ bytes/),
    });
    expect(await bus.of(provision).List({ twin: 7 })).toEqual([]);
    expect(await bus.of(planner).Capacity({})).toEqual(before);
    expect(host.changes).toEqual([]);
  });

  it('W20: what was promised is held until it is made, by a node that dies as well, and given back with it', async () => {
    await start();
    const slow = gate(named('CreateNR'));
    const large = machineWorkload('vm1', { memory: 9 * GIB });
    await stand.deploy(tenant.contracted(host, 1n, [networkWorkload('net1'), large]));
    await slow.reached;
    const second = tenant.contracted(host, 2n, [
      networkWorkload('net2'),
      { ...machineWorkload('vm2', { network: 'net2', memory: 9 * GIB }) },
    ]);
    for (const round of ['while it waits', 'after a death']) {
      const refused = expect(stand.deploy(second), round).rejects;
      const details = { pending: 9 * GIB, committed: 0 };
      await refused.toMatchObject({ remote: { code: 'capacity_memory', details } });
      expect((await dry(second)).Fits).toBe(false);
      if (round === 'after a death') continue;
      await die();
      await start();
    }
    slow.open();
    await stand.running(1n);
    expect((await stand.refused(second)).details).toMatchObject({ pending: 0, committed: 9 * GIB });
    await ends(1n);
    expect((await dry(second)).Fits).toBe(true);
    await stand.deploy(second);
    await stand.running(2n);
  });
});

describe('W21: the contract is read before the answer', () => {
  const wrong = {
    contract_hash: [
      { DeploymentHash: 'f'.repeat(32) },
      { actual: 'f'.repeat(32), expected: expect.stringMatching(/^[0-9a-f]{32}$/) },
    ],
    contract_node: [{ NodeID: 12 }, { expected: 11, actual: 12 }],
    contract_twin: [{ TwinID: 9 }, { expected: 7, actual: 9 }],
    contract_state: [{ State: 'grace' }, { state: 'grace' }],
    contract_kind: [{ Kind: 'name' }, { kind: 'name' }],
    contract_rented: [{ RentedBy: 5 }, { rentedBy: 5, twin: 7 }],
  } as const;

  it.each(Object.keys(wrong) as (keyof typeof wrong)[])(
    'W21: %s is the answer, and names what differs',
    async (code) => {
      await start();
      const wanted = tenant.contracted(host, 1n, fullDeployment());
      const [change, details] = wrong[code];
      changeContract(change);
      expect(await stand.refused(wanted)).toMatchObject({ code, details });
      expect(await bus.of(provision).List({ twin: 7 })).toEqual([]);
    },
  );

  it('W21: one that the chain shows a moment later is waited for, one that never comes is an error at once', async () => {
    await start({ contractWaitMs: 3_000 });
    const wanted = tenant.contracted(host, 1n, fullDeployment());
    const facts = host.contracts.get(1n);
    host.contracts.delete(1n);
    const reads = (): number => host.calls.filter(({ method }) => method === 'Contract').length;
    const asked = stand.deploy(wanted);
    await expect.poll(reads).toBeGreaterThan(0);
    if (facts !== undefined) host.contracts.set(1n, facts);
    await asked;
    await stand.running();
    const missing = tenant.deployment(2n, [volumeWorkload('vol1', GIB)]);
    expect(await stand.refused(missing)).toMatchObject({
      code: 'contract_unknown',
      details: { contract: '2', block: expect.any(Number) },
    });
  });
});

describe('W22: sums that can not wrap, and the same gate for growth', () => {
  it('W22: a node that lost memory keeps what runs, and takes nothing that needs more', async () => {
    await start();
    await deployed(1n, networkWorkload('net1'), machineWorkload('vm1', { memory: 10 * GIB }));
    await die();
    await start({ host: { cpus: 4, memoryBytes: 4 * GIB } });
    await settles(['net1 0 ok', 'vm1 0 ok']);
    const small = tenant.contracted(host, 2n, [machineWorkload('vm2', { ip: '10.1.2.6' })]);
    expect(await stand.refused(small)).toMatchObject({ code: 'capacity_memory', details: { available: 0 } });
    expect((await bus.of(planner).Capacity({})).Free.MRU).toBe(0);
    await deployed(3n, diskWorkload('disk1', GIB));
    // Its own memory is nothing it has to find again.
    const grown = next(
      1n,
      1,
      networkWorkload('net1'),
      machineWorkload('vm1', { memory: 10 * GIB }),
      at(1, volumeWorkload('vol1', GIB)),
    );
    await stand.update(grown);
    await settles(['net1 0 ok', 'vm1 0 ok', 'vol1 1 ok']);
  });

  it.each([
    ['zmount', diskWorkload],
    ['volume', volumeWorkload],
  ] as const)(
    'W22: a %s grows into free room alone, and what was promised to others is not free',
    async (_type, workload) => {
      await start();
      await deployed(1n, workload('it', 10 * GIB));
      const slow = gate(({ args }) => args.name === '7-2-other');
      await stand.deploy(tenant.contracted(host, 2n, [diskWorkload('other', 80 * GIB)]));
      await slow.reached;
      const { code, details } = await stand.refused(next(1n, 1, at(1, workload('it', 30 * GIB))), 7, true);
      expect(code).toMatch(/^capacity_/);
      expect(JSON.stringify(details)).toContain(String(20 * GIB));
      expect(await standing(1n)).toEqual(['it 0 ok']);
      await stand.update(next(1n, 1, at(1, workload('it', 12 * GIB))));
      await settles(['it 1 ok'], 1n);
      slow.open();
      await stand.running(2n);
    },
  );
});

describe('W23: processors', () => {
  const machines = (...cpus: number[]): Workload[] => [
    networkWorkload('net1'),
    ...cpus.map((cpu, index) => machineWorkload(`vm${index}`, { cpu, ip: `10.1.2.${index + 10}`, memory: GIB / 2 })),
  ];

  it('W23: are sold as often as the operator says, and no more', async () => {
    await start({ cpuOvercommit: 2 });
    await deployed(1n, ...machines(4, 3));
    const third = tenant.contracted(host, 2n, [machineWorkload('more', { cpu: 2 })]);
    expect(await stand.refused(third)).toMatchObject({ code: 'capacity_cpu', details: { requested: 2, available: 1 } });
    expect((await bus.of(planner).Capacity({})).Free.CRU).toBe(1);
    const fits = [machineWorkload('more', { cpu: 1 })];
    await deployed(3n, ...fits);
  });

  it('W23: of a host with 256 are counted as 256, by the plan and by vmd', async () => {
    await start({ host: { cpus: 256, memoryBytes: 512 * GIB } });
    await deployed(1n, ...machines(1, 255));
    expect((await bus.of(planner).Capacity({})).LogicalCPUs).toBe(256);
    const run = host.machines.get('7-1-vm1') as { readonly CPU: number };
    expect(run.CPU).toBe(255);
    const vm = { ...zero(VM), ...(run as object) };
    for (const cpus of [256, 512]) expect(machineConfig(vm as never, cpus).cpus).toBe(255);
  });
});

it('W21: the hash in an answer is the one to put into the contract', async () => {
  await start();
  const wanted = tenant.contracted(host, 1n, fullDeployment());
  changeContract({ DeploymentHash: 'f'.repeat(32) });
  const { details } = await stand.refused(wanted);
  const { expected } = details as { readonly expected: string };
  expect(expected).toBe(deploymentHash(wanted));
  changeContract({ DeploymentHash: expected });
  await stand.deploy(wanted);
  await stand.running();
});
