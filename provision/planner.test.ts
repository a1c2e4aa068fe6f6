import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ZbusError } from '../modules/zbus/errors.ts';
import type { Deployment } from '../schemas/deployment.ts';
import { planner } from './interface.ts';
import type { Provisiond } from './provisiond.ts';
import { fullDeployment } from './testing/provisiond.ts';
import { bus, closed, host, stand, standForEachTest, tenant } from './testing/stand.ts';
import { at, diskWorkload, machineWorkload, networkWorkload, volumeWorkload } from './testing/tenant.ts';
import { deploymentToStruct } from './wire.ts';

const GIB = 1024 ** 3;
const WAIT_MS = 20_000;

let daemon: Provisiond;

standForEachTest();

const plan = (deployment: Deployment, twin = 7) =>
  bus.of(planner).Plan({ twin, deployment: deploymentToStruct(deployment) });
const wait = (version = 0, timeoutMs = WAIT_MS, contractID = 1n) =>
  bus.of(planner).Wait({ twin: 7, contractID, version, timeoutMs }, { deadlineMs: timeoutMs + 5_000 });
const codeOf = (error: unknown): unknown => (error instanceof ZbusError ? (error.remote?.code ?? error.kind) : error);

describe('the dry run', () => {
  it('says what each workload takes and where it would lie, needs neither contract nor signature, and changes nothing', async () => {
    daemon = await stand.startHere();
    const unsigned = tenant.deployment(0n, [...fullDeployment(), volumeWorkload('vol1', GIB)]);
    const signatures = { ...unsigned.signature_requirement, signatures: [] };
    const before = await bus.of(planner).Capacity({});
    const dry = await plan({ ...unsigned, signature_requirement: signatures });
    expect(dry).toMatchObject({ Fits: true, Version: 0, Refusals: [], Capacity: before });
    expect(dry.Workloads.map(({ Name, Action }) => `${Action} ${Name}`)).toEqual([
      'add net1',
      'add disk1',
      'add vol1',
      'add vm1',
    ]);
    const machine = dry.Workloads.find((one) => one.Name === 'vm1');
    expect(machine).toMatchObject({ Type: 'zmachine', Needs: { CRU: 1, MRU: GIB / 2, SRU: 500 * 1024 ** 2 } });
    expect(machine?.Pool).not.toBe('');
    expect(dry.Workloads[0]).toMatchObject({ Pool: '', Needs: { CRU: 0, MRU: 0, SRU: 0, HRU: 0, IPV4U: 0 } });
    expect(dry.Needs).toEqual({ CRU: 1, MRU: GIB / 2, SRU: 2 * GIB + 500 * 1024 ** 2, HRU: 0, IPV4U: 0 });
    expect(host.resources).toEqual([]);
    expect(await bus.of(planner).Capacity({})).toEqual(before);
  });

  it('has every reason, with what it is about and what to do', async () => {
    daemon = await stand.startHere();
    const dry = await plan(
      tenant.deployment(0n, [
        diskWorkload('big', 200 * GIB),
        machineWorkload('vm1', { network: 'nowhere', memory: 400 * GIB, planetary: true }),
      ]),
    );
    expect(dry.Fits).toBe(false);
    expect(dry.Refusals.map(({ Code, Workload }) => `${Code} ${Workload}`.trim())).toEqual([
      'feature_unsupported vm1',
      'capacity_memory',
      'capacity_disk',
      'capacity_single_disk big',
      'network_missing vm1',
    ]);
    const [, memory] = dry.Refusals;
    expect(memory?.Remedy).toBe('ask for less memory or choose another node');
    expect(memory?.Message).not.toContain('ask for less');
    expect(memory?.Retryable).toBe(true);
    expect(JSON.parse(Buffer.from(memory?.Details ?? []).toString())).toMatchObject({ requested: 400 * GIB });
  });

  it('refuses as deploying does what is no deployment, of another twin, or there already', async () => {
    daemon = await stand.startHere();
    const refused = async (deployment: Deployment, twin = 7) => codeOf(await plan(deployment, twin).catch((e) => e));
    const disk = tenant.deployment(0n, [diskWorkload('disk1', GIB)]);
    expect(await refused(disk, 8)).toBe('deployment_twin');
    expect(await refused(tenant.deployment(0n, [diskWorkload('disk1', 0)]))).toBeTypeOf('string');
    expect(await refused({ ...disk, version: 3, contract_id: 9n })).toBe('deployment_to_update_missing');
    await stand.deploy(tenant.contracted(host, 1n, [diskWorkload('disk1', GIB)]));
    expect(await refused({ ...disk, contract_id: 1n })).toBe('deployment_exists');
    expect(await refused({ ...disk, contract_id: 1n, version: 5 })).toBe('upgrade_invalid');
  });

  it('plans an update of what is there', async () => {
    daemon = await stand.startHere();
    await stand.deploy(
      tenant.contracted(host, 1n, [
        networkWorkload('net1', 4127),
        diskWorkload('disk1', GIB),
        diskWorkload('old', GIB),
      ]),
    );
    await stand.running();
    const next = (bytes: number) =>
      tenant.deployment(
        1n,
        [
          networkWorkload('net1', 4127),
          at(1, diskWorkload('disk1', bytes)),
          at(1, machineWorkload('vm1', { mounts: [] })),
        ],
        1,
      );
    const dry = await plan(next(3 * GIB));
    expect(dry).toMatchObject({ Fits: true, Version: 1 });
    expect(dry.Workloads.map(({ Name, Action }) => `${Action} ${Name}`)).toEqual([
      'remove old',
      'update disk1',
      'add vm1',
      'keep net1',
    ]);
    expect(dry.Workloads[0]?.Needs.SRU).toBe(0);
    expect(dry.Needs.SRU).toBe(3 * GIB + 500 * 1024 ** 2);
    const large = await plan(next(500 * GIB));
    expect(large.Fits).toBe(false);
    expect(large.Refusals.map((one) => one.Code)).toContain('capacity_single_disk');
    expect(daemon.journal.deployment('7-1')?.version).toBe(0);
  });

  it('W20: comes to what deploying comes to, with the same reasons', async () => {
    daemon = await stand.startHere({ host: { cpus: 2, memoryBytes: 6 * GIB } });
    let contract = 0n;
    const anyWorkloads = fc
      .tuple(
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 5 }),
        fc.constantFrom('net1', 'net2', 'lost'),
        fc.constantFrom(0, 4127, 4128),
        fc.boolean(),
      )
      .map(([disk, volume, cpu, memory, network, port, planetary]) => [
        ...(network === 'lost' ? [] : [networkWorkload(network, port)]),
        diskWorkload('disk1', disk * GIB),
        volumeWorkload('vol1', volume * GIB),
        machineWorkload('vm1', { network, cpu, memory: (memory * GIB) / 2, planetary, mounts: ['disk1'] }),
      ]);
    let accepted = 0;
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(anyWorkloads, fc.boolean(), async (workloads, keeps) => {
        contract += 1n;
        const deployment = tenant.contracted(host, contract, workloads);
        const dry = await plan(deployment);
        const error = await stand.deploy(deployment).then(
          () => undefined,
          (thrown: unknown) => thrown as ZbusError,
        );
        expect(dry.Fits).toBe(error === undefined);
        if (error === undefined) {
          accepted += 1;
          await daemon.engine.idle();
          if (keeps) return;
          daemon.engine.cancel(`7-${contract}`, 'not kept');
          await daemon.engine.idle();
          return;
        }
        refused += 1;
        const told = dry.Refusals.map(({ Message, Remedy }) => (Remedy === '' ? Message : `${Message}; ${Remedy}`));
        expect(told.join('; ')).toBe(error.message);
      }),
      { numRuns: 60, seed: 11 },
    );
    expect(Math.min(accepted, refused)).toBeGreaterThan(3);
  }, 60_000);
});

describe('waiting', () => {
  it('is over when the version has settled, and says how', async () => {
    daemon = await stand.startHere();
    const gate = closed('Mount');
    await stand.deploy(tenant.contracted(host, 1n, fullDeployment()));
    await gate.reached;
    const early = await wait(0, 50);
    expect(early).toMatchObject({ Settled: false, OK: false, Version: 0, Step: 'vm1: image' });
    expect(early.Workloads.find((one) => one.Name === 'vm1')?.State).toBe('init');
    expect((await bus.of(planner).Capacity({})).Waiting).toMatchObject({ Deployments: 1, Workloads: 1, Leaving: 0 });
    const waiting = [wait(), wait()];
    gate.open();
    for (const progress of await Promise.all(waiting)) {
      expect(progress).toMatchObject({ Settled: true, OK: true, Version: 0, Step: '' });
      expect(progress.Workloads.map(({ Name, State }) => `${Name} ${State}`)).toEqual([
        'net1 ok',
        'disk1 ok',
        'vm1 ok',
      ]);
    }
    expect(await wait()).toMatchObject({ Settled: true, OK: true });
    expect((await bus.of(planner).Capacity({})).Waiting).toEqual({
      Deployments: 0,
      Workloads: 0,
      Leaving: 0,
      Oldest: 0,
    });
  });

  it('tells of what failed', async () => {
    daemon = await stand.startHere();
    host.hook = async ({ method }) => {
      if (method === 'Mount') throw new Error('404 Not Found');
    };
    await stand.deploy(tenant.contracted(host, 1n, fullDeployment()));
    const progress = await wait();
    expect(progress).toMatchObject({ Settled: true, OK: false });
    const machine = progress.Workloads.find((one) => one.Name === 'vm1');
    expect(machine).toMatchObject({ State: 'error' });
    expect(machine?.Message).toContain('failed to mount flist');
  });

  it('ends when the deployment is cancelled, and not before it is gone', async () => {
    daemon = await stand.startHere();
    const gate = closed('DiskDelete');
    await stand.deploy(tenant.contracted(host, 1n, fullDeployment()));
    await stand.running();
    const waiting = wait(7);
    daemon.engine.cancel('7-1', 'contract canceled event received');
    await gate.reached;
    expect(await wait(0, 50)).toMatchObject({ Settled: false });
    expect((await bus.of(planner).Capacity({})).Waiting).toMatchObject({ Deployments: 0, Oldest: 0 });
    expect((await bus.of(planner).Capacity({})).Waiting.Leaving).toBeGreaterThan(0);
    gate.open();
    const progress = await waiting;
    expect(progress).toMatchObject({ Settled: true, OK: false });
    for (const { State, Message } of progress.Workloads) {
      expect([State, Message]).toEqual(['deleted', 'contract canceled event received']);
    }
    expect(codeOf(await wait().catch((error) => error))).toBe('deployment_not_found');
  });

  it('waits for a later version, and tells of a change that was refused', async () => {
    daemon = await stand.startHere();
    await stand.deploy(tenant.contracted(host, 1n, [diskWorkload('disk1', GIB), diskWorkload('old', GIB)]));
    await stand.running();
    const waiting = wait(1);
    const next = tenant.deployment(1n, [at(1, diskWorkload('disk1', 2 * GIB))], 1);
    host.rehash(next);
    await stand.update(next);
    expect(await waiting).toMatchObject({
      Settled: true,
      OK: true,
      Version: 1,
      Workloads: [
        { Name: 'disk1', Version: 1, State: 'ok' },
        { Name: 'old', State: 'deleted', Message: 'deleted by an update' },
      ],
    });
    const more = tenant.deployment(1n, [at(2, diskWorkload('disk1', GIB))], 2);
    host.rehash(more);
    await stand.update(more);
    const refused = await wait(2);
    expect(refused).toMatchObject({ Settled: true, OK: false, Version: 2 });
    expect(refused.Workloads[0]).toMatchObject({
      ...{ Name: 'disk1', Version: 2, State: 'unchanged' },
      Message: 'not safe to shrink a disk',
    });
  });

  it('is told at once when the process stops', async () => {
    const ending = new AbortController();
    daemon = await stand.startHere({ ending: ending.signal });
    const gate = closed('Mount');
    await stand.deploy(tenant.contracted(host, 1n, fullDeployment()));
    await gate.reached;
    const waiting = wait().catch((error: unknown) => error);
    // The call is under way when the process begins to stop.
    await expect
      .poll(async () => (await bus.status('provision')).Workers.some(({ Action }) => /Wait/.test(Action)))
      .toBe(true);
    ending.abort();
    expect(codeOf(await waiting)).toBe('wait_ended');
    gate.open();
  });
});
