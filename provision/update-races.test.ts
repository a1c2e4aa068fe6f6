/** Updates that meet something else: what they do not tell the truth about, another update, a daemon, another deployment. */
import { describe, expect, it } from 'vitest';
import type { Deployment, Workload } from '../schemas/deployment.ts';
import { planner, provision } from './interface.ts';
import type { Provisiond } from './provisiond.ts';
import { LIMITS } from './testing/engine.ts';
import { bus, closed, host, stand, standForEachTest, tenant } from './testing/stand.ts';
import { at, diskWorkload, machineWorkload, networkWorkload, volumeWorkload } from './testing/tenant.ts';
import { deploymentToStruct } from './wire.ts';

const GIB = 1024 ** 3;

let daemon: Provisiond;

standForEachTest();

const net1 = networkWorkload('net1');
const disk1 = diskWorkload('disk1', GIB);
const vm1 = machineWorkload('vm1', { mounts: ['disk1'] });

async function deployed(...workloads: Workload[]): Promise<void> {
  daemon = await stand.startHere({ busyWaitMs: 300, engineLimits: LIMITS });
  await stand.deploy(tenant.contracted(host, 1n, workloads));
  await stand.running();
  await daemon.engine.idle();
}

function next(workloads: Workload[], version = 1): Deployment {
  const deployment = tenant.deployment(1n, workloads, version);
  host.rehash(deployment);
  return deployment;
}

const logOf = async (name: string): Promise<string[]> => {
  const changes = await bus.of(provision).Changes({ twin: 7, contractID: 1n });
  return changes
    .filter((one) => one.Name === name)
    .map(({ Version, Result }) => `${Version} ${Result.State} ${Result.Error}`.trim());
};

describe('an update', () => {
  it('is held against what runs, and refused where it says of what it leaves alone that it is something else', async () => {
    await deployed(net1, disk1, vm1);
    const elsewhere = { ...net1, data: net1.data.replace('10.1.2.0', '10.1.3.0') };
    const lies: readonly (readonly [string, string, Workload[]])[] = [
      // The running machine has the disk open: its room would be given away twice.
      ['vm1', 'data.mounts[0].name', [net1, machineWorkload('vm1')]],
      [
        'vm1',
        'data.network.interfaces[0].network',
        [disk1, machineWorkload('vm1', { network: 'other', mounts: ['disk1'] })],
      ],
      ['net1', 'data.subnet', [elsewhere, disk1, vm1, at(1, machineWorkload('vm2', { ip: '10.1.3.7' }))]],
      ['vm1', 'metadata', [net1, disk1, { ...vm1, metadata: 'other' }]],
      ['disk1', 'description', [net1, { ...disk1, description: 'other' }, vm1]],
    ];
    for (const [workload, field, workloads] of lies) {
      expect(await stand.refused(next(workloads), 7, true)).toMatchObject({
        code: 'upgrade_unversioned',
        details: { workload, version: 0, field },
      });
      const asked = { twin: 7, deployment: deploymentToStruct(tenant.deployment(1n, workloads, 1)) };
      await expect(bus.of(planner).Plan(asked)).rejects.toThrow(field);
    }
    // What a machine that stays needs can not be taken away.
    for (const workloads of [
      [net1, vm1],
      [disk1, vm1],
    ]) {
      expect((await stand.refused(next(workloads), 7, true)).code).toMatch(/^(mount|network)_missing$/);
    }
    expect(
      await stand.refused(next([net1, disk1, vm1, at(1, machineWorkload('vm2', { ip: '10.1.3.7' }))]), 7, true),
    ).toMatchObject({
      code: 'address_outside_subnet',
      details: { subnet: '10.1.2.0/24' },
    });
  });

  it('takes what could not be had before, as it was signed then and as it is', async () => {
    await deployed(net1, disk1, vm1);
    const larger = at(1, diskWorkload('disk1', 2 * GIB));
    await stand.update(next([net1, larger, vm1]));
    await daemon.engine.idle();
    expect(await logOf('disk1')).toContain('1 unchanged disk is mounted, please delete the VM first');
    const vol1 = at(2, volumeWorkload('vol1', GIB));
    await stand.update(next([net1, larger, vm1, vol1], 2));
    await stand.update(next([net1, disk1, vm1, vol1], 3));
    await daemon.engine.idle();
    expect(await stand.stateOf()).toEqual(['ok', 'ok', 'ok', 'ok']);
    expect(host.disks.get('7-1-disk1')).toMatchObject({ size: GIB });
    const other = at(1, diskWorkload('disk1', 3 * GIB));
    expect(await stand.refused(next([net1, other, vm1, vol1], 4), 7, true)).toMatchObject({
      code: 'upgrade_unversioned',
      details: { workload: 'disk1', field: 'data.size' },
    });
  });

  it('takes a network away when the last machine of another deployment is off it, and not before', async () => {
    await deployed(net1, disk1);
    await stand.deploy(tenant.contracted(host, 2n, [machineWorkload('far', { ip: '10.1.2.9' })]));
    await stand.running(2n);
    const update = next([disk1]);
    expect(await stand.refused(update, 7, true)).toMatchObject({
      code: 'deployment_busy',
      details: { phase: "still needed: workload 'far' of contract 2 is on network 'net1'" },
    });
    const answered = stand.update(update);
    host.cancelContract(2n);
    await answered;
    await daemon.engine.idle();
    expect(host.resources).toEqual(['disk 7-1-disk1']);
  });

  it('adds a name again that the one before takes away, once it is gone', async () => {
    await deployed(net1, disk1, vm1);
    const gate = closed('Unmount');
    await stand.update(next([net1, disk1]));
    await gate.reached;
    const again = next([net1, disk1, at(2, machineWorkload('vm1', { ip: '10.1.2.6' }))], 2);
    expect((await stand.refused(again, 7, true)).code).toBe('deployment_busy');
    const answered = stand.update(again);
    gate.open();
    await answered;
    await daemon.engine.idle();
    expect(await logOf('vm1')).toEqual(['0 init', '0 ok', '0 deleted deleted by an update', '2 init', '2 ok']);
    // Of another type, too.
    await stand.update(next([net1, disk1], 3));
    await stand.update(next([net1, disk1, at(4, volumeWorkload('vm1', GIB))], 4));
    await daemon.engine.idle();
    expect(await stand.stateOf()).toEqual(['ok', 'ok', 'ok']);
  });

  it('waits with what is to grow for a machine that is being made with it', async () => {
    const spare = diskWorkload('spare', GIB);
    await deployed(net1, spare);
    const gate = closed('Run');
    const machine = at(1, machineWorkload('vm1', { mounts: ['spare'] }));
    await stand.update(next([net1, spare, machine]));
    await gate.reached;
    const larger = next([net1, at(2, diskWorkload('spare', 2 * GIB)), machine], 2);
    expect(await stand.refused(larger, 7, true)).toMatchObject({
      details: { phase: "still making workload 'vm1', which mounts 'spare'" },
    });
    gate.open();
    await daemon.engine.idle();
    await stand.update(larger);
    await daemon.engine.idle();
    expect(await logOf('spare')).toContain('2 unchanged disk is mounted, please delete the VM first');
  });

  it('that a daemon or the next one ends is told of as ended, and waits for all the room it was planned with', async () => {
    const vol1 = volumeWorkload('vol1', GIB);
    await deployed(net1, vol1, disk1);
    const id = '7-1-vol1';
    let isAway = true;
    host.hook = ({ method }) => {
      if (isAway && /VolumeUpdate|VolumeDelete/.test(method)) throw new Error('storaged is away');
    };
    const before = Math.floor(Date.now() / 1000);
    await stand.update(next([net1, at(1, volumeWorkload('vol1', 2 * GIB)), disk1]));
    const { Waiting, Pending } = await bus.of(planner).Capacity({});
    expect(Waiting).toMatchObject({ Deployments: 1, Workloads: 1 });
    expect(Waiting.Oldest).toBeGreaterThanOrEqual(before);
    expect(Pending.SRU).toBe(GIB);
    const removed = bus.of(provision).DecommissionCached({ id, reason: 'gone' });
    await expect
      .poll(async () => (await logOf('vol1')).at(-1))
      .toBe('1 unchanged workload decommissioned by system, reason: gone');
    const { Free } = await bus.of(planner).Capacity({});
    host.calls.length = 0;
    // It has the room of what the daemon ended and of what it ends itself.
    await stand.update(next([net1, at(2, diskWorkload('large', Free.SRU + 2 * GIB))], 2));
    await expect.poll(() => host.changes.filter((one) => one === 'VolumeDelete').length).toBeGreaterThan(3);
    expect(host.changes).not.toContain('DiskCreate');
    isAway = false;
    await removed;
    await daemon.engine.idle();
    expect(await stand.stateOf()).toEqual(['ok', 'ok']);
    expect((await bus.of(planner).Capacity({})).Free.SRU).toBe(GIB);
  });
});
