import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codes, disk, ledgerOf, network, refusals, request, workload } from '../testing/plan.ts';
import type { NodeAbilities } from './abilities.ts';
import { countCapacity, growthOf, type Reservation, type ReservedWorkload, type Snapshot } from './capacity.ts';
import type { Ledger } from './ledger.ts';
import { type Plan, planDeployment } from './plan.ts';
import type { WorkloadRequest } from './request.ts';
import { planUpdate } from './update.ts';

const GIB = 1024 ** 3;

function machine(name: string, ip: string, given: Partial<WorkloadRequest> = {}): WorkloadRequest {
  return workload(name, 'zmachine', {
    vcpus: 1,
    memoryBytes: GIB,
    allocations: [{ resource: `rootfs:7-1-${name}`, kind: 'volume', media: 'ssd', bytes: GIB }],
    address: { network: 'net1', ip },
    ...given,
  });
}

const abilities: NodeAbilities = {
  types: new Set(['network', 'zmount', 'volume', 'zmachine']),
  features: new Set(),
  wireguardPorts: new Set(),
  contractPublicIps: 0,
};

/** Two pools with nothing of the node's own. */
function snapshot(
  reservations: readonly Reservation[],
  memoryBytes = 32 * GIB,
): Snapshot & { readonly holdings: Ledger } {
  const pools = [
    ['a', 40 * GIB],
    ['b', 20 * GIB],
  ] as const;
  return {
    cpus: 4,
    memoryBytes,
    policy: { cpuOvercommit: 2 },
    holdings: ledgerOf(reservations),
    pools: pools.map(([name, sizeBytes]) => ({ name, media: 'ssd' as const, sizeBytes, foreignBytes: 0 })),
  };
}

function fitting(plan: Plan): Extract<Plan, { fits: true }> {
  if (!plan.fits) throw new Error(JSON.stringify(plan.refusals));
  return plan;
}

const set = (...names: string[]): ReadonlySet<string> => new Set(names);

/** The deployment as it runs. */
const running = (workloads: readonly WorkloadRequest[], contract = 1n): Reservation => {
  const { reservation } = fitting(planDeployment(request(workloads, contract), snapshot([]), abilities));
  return { ...reservation, workloads: reservation.workloads.map((one) => ({ ...one, state: 'committed' as const })) };
};

const site = [network('net1', 4100), disk('d1', 8 * GIB), machine('vm1', '10.1.2.5', { mounts: ['d1'] })];

describe('plan of an update', () => {
  it('asks nothing for what stays, on a node that is full or was made smaller', () => {
    const node = snapshot([running(site)], GIB / 2);
    expect(planUpdate({ request: request(site), asked: set(), leaving: set() }, node, abilities)).toEqual({
      fits: true,
      steps: [],
      reservation: { twin: 7, contract: 1n, workloads: [] },
    });
  });

  it('takes the difference out of the pool the disk is in', () => {
    const node = snapshot([running(site)]);
    const grown = (bytes: number): Plan =>
      planUpdate(
        {
          request: request([network('net1', 4100), disk('d1', bytes), machine('vm1', '10.1.2.5', { mounts: ['d1'] })]),
          asked: set('d1'),
          leaving: set(),
        },
        node,
        abilities,
      );
    const { free = 0 } = countCapacity(node).pools.find((one) => one.name === 'a') ?? {};
    const { reservation } = fitting(grown(8 * GIB + free));
    expect(reservation.workloads[0]?.allocations).toEqual([
      { resource: '7-1-d1', kind: 'disk', media: 'ssd', pool: 'a', bytes: 8 * GIB + free },
    ]);
    const refused = grown(8 * GIB + free + 1);
    expect(refusals(refused)).toEqual([
      {
        code: 'capacity_single_disk',
        details: { workload: 'd1', media: 'ssd', requested: free + 1, largest: free, pool: 'a' },
      },
    ]);
  });

  it('counts what goes away as gone, once', () => {
    const node = snapshot([running(site)]);
    const large = disk('d2', 38 * GIB);
    const stay = site.slice(0, 1);
    expect(
      codes(planUpdate({ request: request([...site, large]), asked: set('d2'), leaving: set() }, node, abilities)),
    ).toEqual(['capacity_single_disk']);
    const plan = planUpdate(
      { request: request([...stay, large]), asked: set('d2'), leaving: set('d1', 'vm1') },
      node,
      abilities,
    );
    expect(fitting(plan).reservation.workloads.map((one) => [one.name, one.allocations[0]?.pool])).toEqual([
      ['d2', 'a'],
    ]);
    const two = planUpdate(
      { request: request([...stay, large, disk('d3', 21 * GIB)]), asked: set('d2', 'd3'), leaving: set('d1', 'vm1') },
      node,
      abilities,
    );
    expect(codes(two)).toContain('capacity_single_disk');
  });

  it('keeps what stays in need of nothing that goes', () => {
    const node = snapshot([running(site)]);
    const [net1, d1, vm1] = site as [WorkloadRequest, WorkloadRequest, WorkloadRequest];
    const leaving = (workloads: WorkloadRequest[], name: string): string[] =>
      codes(planUpdate({ request: request(workloads), asked: set(), leaving: set(name) }, node, abilities));
    expect(leaving([d1, vm1], 'net1')).toEqual(['network_missing']);
    expect(leaving([net1, vm1], 'd1')).toEqual(['mount_missing']);
    expect(leaving([net1, d1], 'vm1')).toEqual([]);
  });

  it('keeps machines in the subnet of a network that changes, in whatever deployment', () => {
    const other = { ...running([network('net1'), machine('far', '10.1.2.9')], 2n) };
    const far = { ...other, workloads: other.workloads.filter((one) => one.name === 'far') };
    const node = snapshot([running(site), far]);
    const moved = (subnet: string): Plan =>
      planUpdate(
        { request: request([network('net1', 4100, subnet), ...site.slice(1)]), asked: set('net1'), leaving: set() },
        node,
        abilities,
      );
    expect(moved('10.1.2.0/28').fits).toBe(true);
    const refused = moved('10.1.2.0/29');
    expect(refusals(refused)).toEqual([
      { code: 'address_outside_subnet', details: { workload: '2/far', address: '10.1.2.9', subnet: '10.1.2.0/29' } },
    ]);
    expect(codes(moved('10.1.3.0/24'))).toEqual(['address_outside_subnet', 'address_outside_subnet']);
  });

  it('has a machine of another deployment fit a network as it is and as it is to become', () => {
    const site1 = running([network('net1', 4100)]);
    const moving = running([network('net1', 4200, '10.1.2.0/28')]);
    const [now, target] = [site1.workloads, moving.workloads].map(([one]) => one as ReservedWorkload);
    if (now === undefined || target === undefined) throw new Error('both have the network');
    const node = snapshot([{ ...site1, workloads: [now, growthOf(now, target)] }]);
    const at = (ip: string): Plan => planDeployment(request([machine('far', ip)], 2n), node, abilities);
    expect(codes(at('10.1.2.9'))).toEqual([]);
    expect(refusals(at('10.1.2.99'))).toMatchObject([
      { code: 'address_outside_subnet', details: { subnet: '10.1.2.0/28' } },
    ]);
    expect(codes(planDeployment(request([network('net2', 4200)], 3n), node, abilities))).toEqual([
      'wireguard_port_taken',
    ]);
  });

  it('lets a network keep its port, and have one that goes away, but none of another', () => {
    const nets = [network('net1', 4100), network('net2', 4200)];
    const node = snapshot([running(nets)]);
    const host = { ...abilities, wireguardPorts: new Set([4100, 4200, 4300]) };
    const plan = (workloads: WorkloadRequest[], asked: ReadonlySet<string>, leaving = set()): string[] =>
      codes(planUpdate({ request: request(workloads), asked, leaving }, node, host));
    expect(plan([network('net1', 4100), network('net2', 4200)], set('net1', 'net2'))).toEqual([]);
    expect(plan([network('net1', 4201), network('net2', 4200)], set('net1'))).toEqual([]);
    expect(plan([network('net1', 4200), network('net2', 4100)], set('net1', 'net2'))).toEqual([
      'wireguard_port_taken',
      'wireguard_port_taken',
    ]);
    expect(plan([network('net1', 4300), network('net2', 4200)], set('net1'))).toEqual(['wireguard_port_taken']);
    expect(plan([network('net1', 4200)], set('net1'), set('net2'))).toEqual([]);
    expect(plan([network('net1', 4100), network('net3', 4200)], set('net3'), set('net2'))).toEqual([]);
  });

  it('after any chain of updates the node is charged with what stands, and every unit adds up meanwhile', () => {
    const sizes = fc.dictionary(fc.constantFrom('d1', 'd2', 'd3', 'd4'), fc.integer({ min: 1, max: 16 }), {
      maxKeys: 4,
    });
    fc.assert(
      fc.property(fc.array(sizes, { minLength: 1, maxLength: 8 }), (versions) => {
        let held: ReservedWorkload[] = [];
        for (const wanted of versions) {
          const standing = new Map(held.map((one) => [one.name, one.allocations[0]?.bytes ?? 0]));
          const workloads = Object.entries(wanted).map(([name, gib]) =>
            disk(name, Math.max(gib * GIB, standing.get(name) ?? 0)),
          );
          const asked = new Set(
            workloads.filter((one) => standing.get(one.name) !== one.allocations[0]?.bytes).map((one) => one.name),
          );
          const leaving = new Set([...standing.keys()].filter((name) => wanted[name] === undefined));
          const before = { twin: 7, contract: 1n, workloads: held };
          const plan = planUpdate({ request: request(workloads), asked, leaving }, snapshot([before]), abilities);
          if (!plan.fits) continue;

          // Once what leaves is gone: both parts of what grows, and what is new.
          const left = held.filter((one) => !leaving.has(one.name));
          const pending = plan.reservation.workloads.map((target) => {
            const now = left.find((one) => one.name === target.name);
            return now === undefined ? target : growthOf(now, target);
          });
          const counted = countCapacity(snapshot([{ ...before, workloads: [...left, ...pending] }]));
          for (const { system, committed, pending: more, free, total, deficit } of counted.pools) {
            expect(system + committed + more + free).toBe(total);
            expect(deficit).toBe(0);
          }

          const changed = new Set(plan.reservation.workloads.map((one) => one.name));
          held = [...left.filter((one) => !changed.has(one.name)), ...plan.reservation.workloads].map((one) => ({
            ...one,
            state: 'committed' as const,
          }));
          const after = countCapacity(snapshot([{ ...before, workloads: held }]));
          const stands = workloads.reduce((sum, one) => sum + (one.allocations[0]?.bytes ?? 0), 0);
          expect(after.ssd).toMatchObject({ committed: stands, pending: 0, system: 0, deficit: 0 });
        }
      }),
      { numRuns: 200, endOnFailure: true },
    );
  });
});
