import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MINIMUM_FORMATTED_BYTES } from '../../schemas/capacity.ts';
import { codes, disk, ledgerOf, network, refusals, request, workload } from '../testing/plan.ts';
import type { NodeAbilities } from './abilities.ts';
import { type Account, countCapacity, type Reservation, reservedMemoryBytes, type Snapshot } from './capacity.ts';
import { Ledger } from './ledger.ts';
import { type Plan, planDeployment } from './plan.ts';
import type { WorkloadRequest } from './request.ts';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

function machine(name: string, given: Partial<WorkloadRequest> = {}, ip = '10.1.2.5'): WorkloadRequest {
  return workload(name, 'zmachine', {
    vcpus: 1,
    memoryBytes: GIB,
    allocations: [{ resource: `rootfs:7-1-${name}`, kind: 'volume', media: 'ssd', bytes: 500 * MIB }],
    address: { network: 'net1', ip },
    ...given,
  });
}

const abilities: NodeAbilities = {
  types: new Set(['network', 'zmount', 'volume', 'zmachine']),
  features: new Set(['wireguard']),
  wireguardPorts: new Set([4000]),
  contractPublicIps: 0,
};

function snapshot({
  reservations = [],
  ...given
}: Partial<Snapshot> & { reservations?: Reservation[] } = {}): Snapshot {
  return {
    cpus: 4,
    memoryBytes: 32 * GIB,
    pools: [
      { name: 'a', media: 'ssd', sizeBytes: 100 * GIB, foreignBytes: 5 * GIB },
      { name: 'b', media: 'ssd', sizeBytes: 60 * GIB, foreignBytes: 0 },
    ],
    holdings: ledgerOf(reservations),
    policy: { cpuOvercommit: 2 },
    ...given,
  };
}

describe('plan', () => {
  it('places a whole deployment and says what comes after what', () => {
    const plan = planDeployment(
      request([network('net1', 4127), disk('disk1', 10 * GIB), machine('vm1', { mounts: ['disk1'] })]),
      snapshot(),
      abilities,
    );
    expect(plan.fits).toBe(true);
    if (!plan.fits) return;
    expect(plan.steps).toEqual([
      { name: 'net1', type: 'network', after: [] },
      { name: 'disk1', type: 'zmount', after: [] },
      { name: 'vm1', type: 'zmachine', after: ['net1', 'disk1'] },
    ]);
    expect(plan.reservation.workloads.map((one) => one.state)).toEqual(['pending', 'pending', 'pending']);
    expect(plan.reservation.workloads[1]?.allocations[0]?.pool).toBe('a');
  });

  it('refuses a mounted disk that takes no file system, and no other', () => {
    const mounting = (bytes: number): Plan =>
      planDeployment(
        request([network('net1'), disk('d', bytes), machine('vm', { mounts: ['d'] })]),
        snapshot(),
        abilities,
      );
    expect(refusals(mounting(MINIMUM_FORMATTED_BYTES - 1))).toEqual([
      {
        code: 'mount_too_small',
        details: {
          workload: 'vm',
          mount: 'd',
          requested: MINIMUM_FORMATTED_BYTES - 1,
          minimum: MINIMUM_FORMATTED_BYTES,
        },
      },
    ]);
    expect(mounting(MINIMUM_FORMATTED_BYTES).fits).toBe(true);
    expect(planDeployment(request([disk('d', MIB)]), snapshot(), abilities).fits).toBe(true);
  });

  it('refuses memory with the numbers and ignores nothing that was accepted before', () => {
    const first = planDeployment(
      request([network('net1'), machine('vm1', { memoryBytes: 20 * GIB })]),
      snapshot(),
      abilities,
    );
    if (!first.fits) throw new Error('the first deployment fits');
    const second = planDeployment(
      request(
        [network('net2'), machine('vm2', { memoryBytes: 10 * GIB, address: { network: 'net2', ip: '10.1.2.6' } })],
        2n,
      ),
      snapshot({ reservations: [first.reservation] }),
      abilities,
    );
    const reserved = reservedMemoryBytes(32 * GIB);
    expect(refusals(second)).toEqual([
      {
        code: 'capacity_memory',
        details: {
          requested: 10 * GIB,
          available: 12 * GIB - reserved,
          total: 32 * GIB,
          system: reserved,
          committed: 0,
          pending: 20 * GIB,
        },
      },
    ]);
  });

  it('refuses a disk that no single pool holds although the sum would', () => {
    const plan = planDeployment(request([disk('big', 120 * GIB)]), snapshot(), abilities);
    expect(codes(plan)).toEqual(['capacity_single_disk']);
    const free = countCapacity(snapshot()).pools[0]?.free;
    expect(refusals(plan)[0]?.details).toMatchObject({ requested: 120 * GIB, largest: free, pool: 'a' });
  });

  it.each([
    ['workload_unsupported', [workload('z', 'zdb')]],
    ['feature_unsupported', [network('net1'), machine('vm', { features: ['mycelium'] })]],
    ['capacity_machine_cpu', [network('net1'), machine('vm', { vcpus: 5 })]],
    [
      'capacity_cpu',
      [
        network('net1'),
        machine('a', { vcpus: 4 }),
        machine('b', { vcpus: 4 }, '10.1.2.6'),
        machine('c', {}, '10.1.2.7'),
      ],
    ],
    ['capacity_public_ip', [workload('net1', 'network', { publicIps: 1 })]],
    ['network_missing', [machine('vm')]],
    ['address_outside_subnet', [network('net1'), machine('vm', {}, '10.1.3.5')]],
    ['address_outside_subnet', [network('net1'), machine('vm', {}, 'not an address')]],
    ['address_reserved', [network('net1'), machine('vm', {}, '10.1.2.1')]],
    ['address_reserved', [network('net1'), machine('vm', {}, '10.1.2.255')]],
    ['address_taken', [network('net1'), machine('a'), machine('b')]],
    ['wireguard_port_taken', [network('net1', 4000)]],
    ['wireguard_port_taken', [network('net1', 4001), network('net2', 4001)]],
    ['mount_too_small', [network('net1'), disk('d', 100 * MIB), machine('vm', { mounts: ['d'] })]],
    ['mount_missing', [network('net1'), machine('vm', { mounts: ['none'] })]],
    ['mount_kind', [network('net1'), machine('vm', { mounts: ['net1'] })]],
    [
      'mount_twice',
      [network('net1'), disk('d', GIB), machine('a', { mounts: ['d'] }), machine('b', { mounts: ['d'] }, '10.1.2.6')],
    ],
  ] as const)('refuses %s alone', (code, workloads) => {
    expect(codes(planDeployment(request([...workloads]), snapshot(), abilities))).toEqual([code]);
  });

  it('W22: counts with signs: memory that was taken out leaves no room, and says how much is missing', () => {
    const first = planDeployment(
      request([network('net1'), machine('vm1', { memoryBytes: 20 * GIB })]),
      snapshot(),
      abilities,
    );
    if (!first.fits) throw new Error('it fits 32 GiB');
    const smaller = snapshot({ memoryBytes: 16 * GIB, reservations: [first.reservation] });
    const { memory } = countCapacity(smaller);
    expect([memory.free, memory.deficit]).toEqual([0, 20 * GIB + reservedMemoryBytes(16 * GIB) - 16 * GIB]);
    const more = [network('net2'), machine('vm2', { memoryBytes: 1, address: { network: 'net2', ip: '10.1.2.5' } })];
    expect(codes(planDeployment(request(more, 2n), smaller, abilities))).toEqual(['capacity_memory']);
    expect(planDeployment(request([network('net2')], 2n), smaller, abilities).fits).toBe(true);
  });

  it.each([256, 512])('W23: gives a machine no more than the host has, also of %i processors', (cpus) => {
    const asked = (vcpus: number): string[] =>
      codes(planDeployment(request([network('net1'), machine('vm1', { vcpus })]), snapshot({ cpus }), abilities));
    expect(asked(cpus)).toEqual([]);
    expect(asked(cpus + 1)).toEqual(['capacity_machine_cpu']);
  });

  it('W20: tells every reason at once', () => {
    const asked = [
      machine('vm1', { vcpus: 9, memoryBytes: 64 * GIB, mounts: ['none'], features: ['mycelium'], gpus: ['g'] }),
      disk('d', 200 * GIB),
      workload('z', 'zdb'),
      network('net2', 4000),
    ];
    expect(codes(planDeployment(request(asked), snapshot(), abilities)).sort()).toEqual([
      'capacity_cpu',
      'capacity_disk',
      'capacity_machine_cpu',
      'capacity_memory',
      'capacity_single_disk',
      'feature_unsupported',
      'gpu_not_rented',
      'gpu_unknown',
      'mount_missing',
      'network_missing',
      'wireguard_port_taken',
      'workload_unsupported',
    ]);
  });

  it('gives a GPU that is there and free to whom the node is rented', () => {
    const [card, other] = ['0000:28:00.0/1002/731f', '0000:29:00.0/10de/1db6'];
    const rented = { ...abilities, gpus: new Set([card, other]), rentedBy: 7 };
    const asked = (gpus: string[], contract = 1n, name = 'vm1', ip = '10.1.2.5') =>
      request([network(`n${contract}`), machine(name, { gpus, address: { network: `n${contract}`, ip } })], contract);
    const first = planDeployment(asked([card]), snapshot(), rented);
    if (!first.fits) throw new Error(JSON.stringify(first.refusals));
    expect(first.reservation.workloads[1]?.gpus).toEqual([card]);
    const node = snapshot({ reservations: [first.reservation] });
    expect(refusals(planDeployment(asked([card], 2n), node, rented))).toEqual([
      { code: 'gpu_taken', details: { workload: 'vm1', gpu: card, holder: '1/vm1' } },
    ]);
    expect(planDeployment(asked([other], 2n), node, rented).fits).toBe(true);
    expect(refusals(planDeployment(asked([card]), snapshot(), { ...rented, rentedBy: 8 }))).toEqual([
      { code: 'gpu_not_rented', details: { workload: 'vm1', twin: 7, rentedBy: 8 } },
    ]);
    expect(refusals(planDeployment(asked(['x']), snapshot(), rented))).toEqual([
      { code: 'gpu_unknown', details: { workload: 'vm1', gpu: 'x', present: [card, other] } },
    ]);
    expect(codes(planDeployment(asked([other, other]), snapshot(), rented))).toEqual(['gpu_taken']);
  });

  it('puts no machine on a network that is to go away', () => {
    const site = planDeployment(request([network('net1')]), snapshot(), abilities);
    if (!site.fits) throw new Error('it fits');
    const books = new Ledger();
    const lines = site.reservation.workloads.map((holds) => ({ holds, stands: false, isLeaving: true }));
    books.replace('7-1', { twin: 7, contract: 1n, lines });
    const plan = planDeployment(request([machine('vm1')], 2n), snapshot({ holdings: books }), abilities);
    expect(refusals(plan)).toEqual([
      { code: 'network_leaving', details: { workload: 'vm1', network: 'net1', contract: '1' } },
    ]);
  });

  it("knows the twin's networks, ports and addresses of other deployments, not another twin's", () => {
    const first = planDeployment(request([network('net1', 4127), machine('vm1')]), snapshot(), abilities);
    if (!first.fits) throw new Error('the first deployment fits');
    const held = snapshot({ reservations: [first.reservation] });
    expect(codes(planDeployment(request([network('net1')], 2n), held, abilities))).toEqual(['network_name_taken']);
    expect(codes(planDeployment(request([network('n', 4127)], 2n), held, abilities))).toEqual(['wireguard_port_taken']);
    expect(codes(planDeployment(request([machine('vm2')], 2n), held, abilities))).toEqual(['address_taken']);
    const joined = planDeployment(request([machine('vm2', {}, '10.1.2.9')], 2n), held, abilities);
    expect(joined.fits && joined.steps).toEqual([{ name: 'vm2', type: 'zmachine', after: [], awaitsNetwork: 'net1' }]);
    expect(planDeployment(request([network('net1')], 2n, 8), held, abilities).fits).toBe(true);
    expect(codes(planDeployment(request([machine('vm2')], 2n, 8), held, abilities))).toEqual(['network_missing']);
  });

  it('lists every reason at once', () => {
    const plan = planDeployment(
      request([disk('d', 1000 * GIB), machine('vm', { vcpus: 99, memoryBytes: 99 * GIB })]),
      snapshot(),
      abilities,
    );
    expect(codes(plan)).toEqual([
      'capacity_machine_cpu',
      'capacity_cpu',
      'capacity_memory',
      'capacity_disk',
      'capacity_single_disk',
      'network_missing',
    ]);
  });
});

const size = fc.integer({ min: 1, max: 80 * GIB });
const anyWorkload = fc.oneof(
  fc.record({ kind: fc.constant('disk' as const), bytes: size }),
  fc.record({ kind: fc.constant('machine' as const), vcpus: fc.integer({ min: 1, max: 5 }), memory: size, root: size }),
);
const anyRequest = fc.array(anyWorkload, { minLength: 1, maxLength: 6 }).map((workloads) =>
  workloads.map((one, index) => {
    if (one.kind === 'disk') return disk(`d${index}`, one.bytes);
    const allocations = [{ resource: `rootfs:${index}`, kind: 'volume', media: 'ssd', bytes: one.root } as const];
    const { address: _, ...plain } = machine(`m${index}`, { vcpus: one.vcpus, memoryBytes: one.memory, allocations });
    return plain;
  }),
);
const anyPools = fc
  .array(fc.record({ media: fc.constantFrom('ssd' as const, 'hdd' as const), size, used: size }), { maxLength: 4 })
  .map((pools) =>
    pools.map((pool, index) => ({
      name: `p${index}`,
      media: pool.media,
      sizeBytes: pool.size,
      foreignBytes: Math.min(pool.used, pool.size),
    })),
  );
const anyNode = fc.record({
  cpus: fc.integer({ min: 1, max: 64 }),
  memoryBytes: fc.integer({ min: GIB, max: 256 * GIB }),
  pools: anyPools,
  policy: fc.record({ cpuOvercommit: fc.constantFrom(1, 1.5, 4) }),
});

function conserved(account: Account): boolean {
  const { total, system, committed, pending, free, deficit } = account;
  return total + deficit === system + committed + pending + free && (free === 0 || deficit === 0);
}

describe('plan, for any node and any deployments', () => {
  it('never promises more than there is and conserves every unit', () => {
    fc.assert(
      fc.property(anyNode, fc.array(fc.tuple(anyRequest, fc.boolean()), { maxLength: 12 }), (node, requests) => {
        const reservations: Reservation[] = [];
        requests.forEach(([workloads, runs], index) => {
          const now = { ...node, holdings: ledgerOf(reservations) };
          // What a deployment holds carries its contract in its name.
          const own = workloads.map((one) => ({
            ...one,
            allocations: one.allocations.map((it) => ({ ...it, resource: `${index}/${it.resource}` })),
          }));
          const plan = planDeployment(request(own, BigInt(index)), now, abilities);
          if (plan.fits) {
            const state = runs ? ('committed' as const) : ('pending' as const);
            reservations.push({
              ...plan.reservation,
              workloads: plan.reservation.workloads.map((one) => ({ ...one, state })),
            });
          }
          const capacity = countCapacity({ ...node, holdings: ledgerOf(reservations) });
          const accounts = [capacity.vcpus, capacity.memory, capacity.ssd, capacity.hdd, ...capacity.pools];
          for (const account of accounts) {
            expect(conserved(account)).toBe(true);
            if (account.system <= account.total) expect(account.deficit).toBe(0);
          }
        });
      }),
      // Large examples take longer to make smaller than they are worth.
      { numRuns: 200, endOnFailure: true },
    );
  });

  it('does not depend on the order of the workloads', () => {
    fc.assert(
      fc.property(anyNode, anyRequest, fc.infiniteStream(fc.nat()), (node, workloads, keys) => {
        const shuffled = workloads
          .map((one) => ({ one, key: keys.next().value as number }))
          .sort((a, b) => a.key - b.key)
          .map(({ one }) => one);
        const now = { ...node, holdings: ledgerOf([]) };
        const left = planDeployment(request(workloads), now, abilities);
        const right = planDeployment(request(shuffled), now, abilities);
        expect(right.fits).toBe(left.fits);
        if (!left.fits || !right.fits) {
          expect(new Set(codes(right))).toEqual(new Set(codes(left)));
          return;
        }
        const pools = (plan: typeof left): Map<string, string | undefined> =>
          new Map(plan.reservation.workloads.map((one) => [one.name, one.allocations[0]?.pool]));
        expect(pools(right)).toEqual(pools(left));
      }),
      { numRuns: 200, endOnFailure: true },
    );
  });
});
