import { describe, expect, it } from 'vitest';
import { planner, provision, statistics } from './interface.ts';
import { fullDeployment } from './testing/provisiond.ts';
import { bus, host, stand, standForEachTest, tenant } from './testing/stand.ts';
import { diskWorkload, machineWorkload, networkWorkload, Tenant } from './testing/tenant.ts';
import { deploymentToStruct } from './wire.ts';

const GIB = 1024 ** 3;

standForEachTest();

describe('capacity on the bus', () => {
  it('counts the same numbers for statistics, for the plan and for a refusal', async () => {
    await stand.startHere();
    const before = await bus.of(planner).Capacity({});
    expect(before).toMatchObject({
      LogicalCPUs: 4,
      CPUOvercommit: 4,
      Total: { CRU: 16, MRU: 16 * GIB, SRU: 100 * GIB },
    });
    expect(before.System).toMatchObject({ MRU: 2 * GIB, SRU: 5 * GIB });
    expect(before.LargestDisk).toBe(95 * GIB);
    await stand.deploy(tenant.contracted(host, 1n, fullDeployment()));
    await stand.running();
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
    const answer = await stand.refused(tooMuch);
    expect(answer).toMatchObject({
      code: 'capacity_memory',
      details: { requested: 15 * GIB, available: after.Free.MRU, total: 16 * GIB },
    });
    expect(dry.Refusals.map(({ Message, Remedy }) => `${Message}; ${Remedy}`)).toEqual([answer.message]);
    expect(await bus.of(planner).Capacity({})).toEqual(after);
  });

  it('refuses a disk, several reasons, a type and a feature, and changes nothing', async () => {
    await stand.startHere();
    const disk = await stand.refused(tenant.contracted(host, 1n, [diskWorkload('d', 200 * GIB)]));
    expect(disk).toMatchObject({ code: 'capacity_refused' });
    expect(disk.message).toContain(`requested ${200 * GIB} bytes, available ${95 * GIB} bytes`);
    const lost = await stand.refused(tenant.contracted(host, 2n, [machineWorkload('vm1')]));
    expect(lost.code).toBe('network_missing');
    const overlay = await stand.refused(
      tenant.contracted(host, 3n, [networkWorkload('n'), machineWorkload('v', { network: 'n', planetary: true })]),
    );
    expect(overlay).toMatchObject({ code: 'feature_unsupported', details: { workload: 'v', feature: 'yggdrasil' } });
    host.wireguardPorts = [4127];
    expect((await stand.refused(tenant.contracted(host, 4n, fullDeployment()))).code).toBe('wireguard_port_taken');
    expect(await bus.of(provision).ListTwins({})).toEqual([]);
  });

  it('gives the last space to exactly one of two deployments', async () => {
    await stand.startHere();
    const other = new Tenant(8);
    const first = tenant.contracted(host, 1n, [diskWorkload('d', 60 * GIB)]);
    const second = other.contracted(host, 2n, [diskWorkload('d', 60 * GIB)]);
    const answers = await Promise.allSettled([stand.deploy(first), stand.deploy(second, 8)]);
    expect(answers.map((one) => one.status).sort()).toEqual(['fulfilled', 'rejected']);
    await expect.poll(() => host.disks.size).toBe(1);
  });

  it('does not refuse for space that is freed while it reads the node', async () => {
    await stand.startHere();
    await stand.deploy(tenant.contracted(host, 1n, [diskWorkload('old', 90 * GIB)]));
    await stand.running();
    // The pools were read already when the old disk goes.
    let reads = 0;
    host.hook = async ({ method }, when) => {
      if (method !== 'Metrics' || when !== 'after' || reads++ > 0) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
      host.cancelContract(1n);
      await expect.poll(() => bus.of(provision).ListTwins({})).toEqual([]);
    };
    await stand.deploy(tenant.contracted(host, 2n, [diskWorkload('new', 80 * GIB)]));
    await stand.running(2n);
    expect(reads).toBeGreaterThan(1);
  });

  it('keeps its sums while deployments come, fail and go, and gives everything back', async () => {
    const daemon = await stand.startHere({ host: { cpus: 16, memoryBytes: 64 * GIB } });
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
        await stand.deploy(owner.contracted(host, contract, wanted), owner.twin);
        if (index % 2 === 0) setTimeout(() => host.cancelContract(contract), Math.random() * 200);
      }),
    );
    const refusals = answers.flatMap((one) => (one.status === 'rejected' ? [String(one.reason)] : []));
    expect(refusals.length).toBeGreaterThan(0);
    for (const text of refusals) expect(text).toMatch(/usable \d+ bytes|not enough space left/);
    await expect.poll(() => daemon.journal.deployments().length).toBeLessThan(answers.length);
    await daemon.engine.idle();
    const records = daemon.journal.deployments();
    for (const one of records.flatMap((record) => record.workloads)) {
      expect(one.held?.state, `${one.name} ${one.state}`).toBe(one.state === 'ok' ? 'committed' : undefined);
    }
    for (const record of records) host.cancelContract(record.contract);
    await expect.poll(() => daemon.journal.deployments()).toEqual([]);
    isOver = true;
    expect(await sums).toBeGreaterThan(5);
    expect(host.resources).toEqual([]);
    expect(await bus.of(planner).Capacity({})).toEqual(before);
  }, 120_000);
});
