import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { Deployment } from '../schemas/deployment.ts';
import { planner, provision } from './interface.ts';
import { failingJournal } from './store/failing.ts';
import { MemoryJournal } from './store/memory.ts';
import { fullDeployment } from './testing/provisiond.ts';
import { bus, host, stand, standForEachTest, tenant } from './testing/stand.ts';
import { diskWorkload, machineWorkload, networkWorkload } from './testing/tenant.ts';
import { deploymentFromStruct, deploymentToStruct, workloadFromStruct } from './wire.ts';

const GIB = 1024 ** 3;

standForEachTest({ served: false });

describe('provisiond on the bus', () => {
  beforeEach(() => stand.serveHost());

  it('accepts, runs, reports and forgets a deployment', async () => {
    await stand.startHere();
    const deployment = tenant.contracted(host, 1n, fullDeployment());
    const forged = deployment.workloads[0];
    if (forged !== undefined) forged.result = { created: 1, state: 'ok', message: '', data: '{"ip":"1.2.3.4/24"}' };
    await stand.deploy(deployment);
    await stand.running();

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
    expect((await stand.refused(deployment)).message).toBe('exists');

    host.cancelContract(1n);
    await expect.poll(() => host.resources).toEqual([]);
    await vi.waitFor(
      () => expect(bus.of(provision).Get({ twin: 7, contractID: 1n })).rejects.toThrow(/^deployment not found$/),
      { timeout: 20_000 },
    );
    await expect(bus.of(provision).Changes({ twin: 7, contractID: 1n })).rejects.toThrow(/^deployment not found$/);
  });

  it('answers a machine without a network at once, and never holds up the twin that sends the network next', async () => {
    await stand.startHere();
    const machine = tenant.contracted(host, 1n, [machineWorkload('vm1')]);
    const network = tenant.contracted(host, 2n, [networkWorkload('net1')]);
    const began = performance.now();
    const [first, second] = await Promise.allSettled([stand.deploy(machine), stand.deploy(network)]);
    expect([first.status, second.status]).toEqual(['rejected', 'fulfilled']);
    expect(performance.now() - began).toBeLessThan(20_000);
    await stand.deploy(machine);
    await stand.running(1n);
  });

  it('leaves nothing of a disk that still was being made when its contract ended', async () => {
    const daemon = await stand.startHere();
    const made = Promise.withResolvers<void>();
    host.hook = async ({ method }, when) => {
      if (method !== 'DiskCreate') return;
      if (when === 'after') return made.resolve();
      host.cancelContract(1n);
      await new Promise((resolve) => setTimeout(resolve, 400));
    };
    await stand.deploy(tenant.contracted(host, 1n, [diskWorkload('d', GIB)]));
    await made.promise;
    await expect.poll(() => daemon.journal.history()).toHaveLength(1);
    await expect.poll(() => host.resources).toEqual([]);
  });

  it('answers updates in the words of the grid, to the owner only', async () => {
    await stand.startHere();
    const update = (deployment: Deployment, twin = 7): Promise<void> =>
      bus.of(provision).CreateOrUpdate({ twin, deployment: deploymentToStruct(deployment), update: true });
    const signed = tenant.contracted(host, 1n, [networkWorkload('net1')]);
    await expect(update(signed)).rejects.toThrow(/^twin not found: deployment does not exist$/);
    await stand.deploy(signed);
    await stand.running();
    await expect(update(signed, 9)).rejects.toThrow(/^twin id mismatch \(deployment: 7, message: 9\)$/);
    await expect(update(signed)).rejects.toThrow(/^expecting deployment version 1, got 0: upgrade validation error$/);
    const other = tenant.deployment(2n, [networkWorkload('net2')]);
    await expect(update(other)).rejects.toThrow(/^deployment not found: deployment does not exist$/);
    const taken = tenant.contracted(host, 3n, [networkWorkload('net1')]);
    expect((await stand.refused(taken)).message).toBe("global workload with the same name 'net1' exists: conflict");
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

  it('waits for a contract that is a moment late', async () => {
    await stand.startHere({ contractWaitMs: 5_000 });
    const deployment = tenant.contracted(host, 1n, fullDeployment());
    const facts = host.contracts.get(1n);
    host.contracts.delete(1n);
    const answer = stand.deploy(deployment);
    setTimeout(() => facts !== undefined && host.contracts.set(1n, facts), 700);
    await answer;
    await stand.running();
  });

  it('answers nothing but an error when its journal can not write', async () => {
    const journal = failingJournal(new MemoryJournal());
    await stand.startHere({ journal });
    journal.failing.add('accept');
    expect((await stand.refused(tenant.contracted(host, 1n, fullDeployment()))).message).toContain('disk I/O error');
    journal.failing.clear();
    await stand.deploy(tenant.contracted(host, 1n, fullDeployment()));
    await stand.running();
  });
});

describe('provisiond with a dead daemon', () => {
  it('names the daemon it can not plan without, and accepts nothing', async () => {
    await stand.serveHost(['network', 'flist', 'vmd', 'api-gateway']);
    await stand.startHere();
    const answer = await stand.refused(tenant.contracted(host, 1n, fullDeployment()));
    expect(answer).toMatchObject({ code: 'capacity_unknown', details: { daemon: 'storaged', kind: 'no_such_module' } });
  });

  it('names the chain', async () => {
    await stand.serveHost(['storage', 'network', 'flist', 'vmd']);
    await stand.startHere();
    expect((await stand.refused(tenant.contracted(host, 1n, fullDeployment()))).message).toMatch(
      /^failed to get public key for twin '7'/,
    );
  });

  it('fails the workload with its stage when vmd stays dead, and keeps the rest', async () => {
    await stand.serveHost(['storage', 'network', 'flist', 'api-gateway']);
    await stand.startHere();
    await stand.deploy(tenant.contracted(host, 1n, fullDeployment()));
    await expect.poll(() => stand.stateOf()).toEqual(['ok', 'ok', 'error']);
    const [, , machine] = (await bus.of(provision).Get({ twin: 7, contractID: 1n })).Workloads;
    expect(machine?.Result.Error).toMatch(/stage machine, step 'machine' of workload 'vm1'/);
  });
});
