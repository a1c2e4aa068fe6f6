import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ReservedWorkload } from './capacity.ts';
import { Ledger, type LedgerEntry, type LedgerLine } from './ledger.ts';

const pools = ['a', 'b', 'c'];
const names = ['n1', 'n2', 'n3'];
const addresses = ['10.1.2.5', '10.1.2.6'];
const ports = [0, 4100, 4200];
const gpus = ['0000:28:00.0/1002/731f', '0000:29:00.0/10de/1db6'];
const twins = [7, 8];

/** A line of the workload of that name in the deployment of that contract. */
function anyLine(contract: bigint, workload: string): fc.Arbitrary<LedgerLine> {
  const allocation = fc.record({
    resource: fc.constantFrom(`${contract}-${workload}`, `rootfs:${contract}-${workload}`),
    kind: fc.constant('disk' as const),
    media: fc.constant('ssd' as const),
    bytes: fc.integer({ min: 1, max: 1000 }),
    pool: fc.constantFrom(...pools),
  });
  const holds = fc.record(
    {
      name: fc.constant(workload),
      type: fc.constant('any'),
      state: fc.constantFrom('pending' as const, 'committed' as const),
      vcpus: fc.nat(9),
      memoryBytes: fc.nat(99),
      publicIps: fc.nat(2),
      allocations: fc.array(allocation, { maxLength: 2 }),
      network: fc.record({
        name: fc.constantFrom(...names),
        subnet: fc.constant('10.1.2.0/24'),
        range: fc.constant('10.1.0.0/16'),
        wireguardPort: fc.constantFrom(...ports),
      }),
      address: fc.record({ network: fc.constantFrom(...names), ip: fc.constantFrom(...addresses) }),
      gpus: fc.subarray(gpus),
    },
    { requiredKeys: ['name', 'type', 'state', 'vcpus', 'memoryBytes', 'publicIps', 'allocations'] },
  );
  return fc.record({ holds, stands: fc.boolean(), isLeaving: fc.boolean() });
}

interface Change {
  readonly id: string;
  readonly entry: LedgerEntry | undefined;
}

/** Deployments that come, become others and go; a workload may be listed twice, as one that is changed is. */
const anyChange: fc.Arbitrary<Change> = fc
  .tuple(fc.constantFrom(...twins), fc.bigInt({ min: 1n, max: 3n }))
  .chain(([twin, contract]) => {
    const line = fc.constantFrom('w1', 'w2').chain((workload) => anyLine(contract, workload));
    const lines = fc.option(fc.array(line, { maxLength: 4 }), { nil: undefined });
    return lines.map((all) => ({
      id: `${twin}-${contract}`,
      entry: all === undefined ? undefined : { twin, contract, lines: all.map((one) => ofTwin(one, twin)) },
    }));
  });

/** Names on the host are of one deployment. */
function ofTwin(line: LedgerLine, twin: number): LedgerLine {
  const allocations = line.holds.allocations.map((one) => ({ ...one, resource: `${twin}-${one.resource}` }));
  return { ...line, holds: { ...line.holds, allocations } };
}

/** Everything counted anew; a thing counts in the pool of its first line, or where it was placed. */
function recount(entries: readonly LedgerEntry[], placeOf: (resource: string) => string | undefined) {
  const sums = { committed: [0, 0, 0], pending: [0, 0, 0] };
  const space = Object.fromEntries(pools.map((pool) => [pool, { committed: 0, pending: 0 }]));
  const found: { networks: string[]; machines: string[]; ports: string[]; gpus: string[] } = {
    ...{ networks: [], machines: [], ports: [], gpus: [] },
  };
  for (const { twin, contract, lines } of entries) {
    for (const { holds, isLeaving } of lines) {
      const { state, vcpus, memoryBytes, publicIps, network, address } = holds;
      sums[state] = [vcpus, memoryBytes, publicIps].map((more, index) => (sums[state][index] ?? 0) + more);
      for (const { resource, bytes } of holds.allocations) {
        const book = space[placeOf(resource) ?? ''];
        if (book === undefined) throw new Error(`'${resource}' is nowhere`);
        book[state] += bytes;
      }
      const holder = `${twin}-${contract}-${holds.name}`;
      if (network !== undefined) found.networks.push(`${twin} ${network.name} ${holder} ${isLeaving}`);
      if (network !== undefined && network.wireguardPort > 0) found.ports.push(`${network.wireguardPort} ${holder}`);
      if (address !== undefined) found.machines.push(`${twin} ${address.network} ${address.ip} ${holder}`);
      for (const gpu of holds.gpus ?? []) found.gpus.push(`${gpu} ${holder}`);
    }
  }
  return { sums, space, ...Object.fromEntries(Object.entries(found).map(([key, list]) => [key, list.sort()])) };
}

type Asked = Pick<Ledger, 'committed' | 'pending' | 'pool' | 'networks' | 'machines' | 'ports' | 'gpus'>;

/** The same of the books, by their questions. */
function asked(books: Asked) {
  const of = ({ vcpus, memoryBytes, publicIps }: Asked['pending']): number[] => [vcpus, memoryBytes, publicIps];
  const holder = (one: { twin: number; contract: bigint; workload: string }): string =>
    `${one.twin}-${one.contract}-${one.workload}`;
  const each = twins.flatMap((twin) => names.map((name) => ({ twin, name })));
  const portsHeld = ports.flatMap((port) => books.ports(port).map((one) => `${port} ${holder(one)}`));
  return {
    sums: { committed: of(books.committed), pending: of(books.pending) },
    space: Object.fromEntries(
      pools.map((pool) => {
        const { committed, pending } = books.pool(pool);
        return [pool, { committed, pending }];
      }),
    ),
    networks: each
      .flatMap(({ twin, name }) =>
        books.networks(twin, name).map((one) => `${twin} ${one.network.name} ${holder(one)} ${one.isLeaving}`),
      )
      .sort(),
    ports: portsHeld.sort(),
    machines: each
      .flatMap(({ twin, name }) =>
        books.machines(twin, name).map((one) => `${twin} ${name} ${one.address.ip} ${holder(one)}`),
      )
      .sort(),
    gpus: gpus.flatMap((gpu) => books.gpus(gpu).map((one) => `${gpu} ${holder(one)}`)).sort(),
  };
}

const placing = fc.record({ id: fc.nat(20), pool: fc.constantFrom(...pools) });

describe('ledger', () => {
  it('says after any changes what counting anew says', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(anyChange, fc.option(placing)), { maxLength: 30 }), (changes) => {
        const ledger = new Ledger();
        const entries = new Map<string, LedgerEntry>();
        for (const [{ id, entry }, place] of changes) {
          ledger.replace(id, entry);
          if (entry === undefined) entries.delete(id);
          else entries.set(id, entry);
          const things = [...entries.values()].flatMap(resourcesOf);
          const thing = place === null ? undefined : things[place.id % Math.max(1, things.length)];
          if (thing !== undefined && place !== null) {
            ledger.space.place(thing, place.pool);
            expect(ledger.space.placeOf(thing)).toBe(place.pool);
          }
          expect(asked(ledger)).toEqual(recount([...entries.values()], (name) => ledger.space.placeOf(name)));
        }
        for (const id of entries.keys()) ledger.replace(id, undefined);
        expect(asked(ledger)).toEqual(recount([], () => undefined));
        expect(ledger.space.isPlaced).toBe(true);
      }),
      { numRuns: 500, endOnFailure: true },
    );
  });

  it('seen without some workloads of a deployment is the ledger that never had them', () => {
    const some = fc.subarray(['w1', 'w2']);
    fc.assert(
      fc.property(fc.array(anyChange, { minLength: 1, maxLength: 12 }), some, fc.nat(), (changes, left, which) => {
        const ledger = new Ledger();
        const entries = new Map<string, LedgerEntry>();
        for (const { id, entry } of changes) {
          ledger.replace(id, entry);
          if (entry === undefined) entries.delete(id);
          else entries.set(id, entry);
        }
        const all = [...entries.values()];
        const one = all[which % Math.max(1, all.length)] ?? { twin: 7, contract: 1n, lines: [] };
        const remaining = all.map((entry) =>
          entry === one ? { ...one, lines: one.lines.filter(({ holds }) => !left.includes(holds.name)) } : entry,
        );
        const books = ledger.without({ twin: one.twin, contract: one.contract, workloads: new Set(left) });
        expect(asked(books)).toEqual(recount(remaining, (name) => ledger.space.placeOf(name)));
        for (const twin of twins) {
          for (const network of names) {
            for (const ip of addresses) {
              const last = books.machines(twin, network).findLast((machine) => machine.address.ip === ip);
              expect(books.address(twin, network, ip)).toEqual(last);
            }
          }
        }
      }),
      { numRuns: 500, endOnFailure: true },
    );
  });

  it('knows what stood all the time, however often it was written anew', () => {
    const ledger = new Ledger();
    const line = (bytes: number, stands: boolean): LedgerLine => ({ holds: disk(bytes), stands, isLeaving: false });
    const put = (...lines: LedgerLine[]): void => ledger.replace('7-1', { twin: 7, contract: 1n, lines });
    put(line(10, true));
    const mark = ledger.space.mark();
    const stood = (): number => ledger.space.stoodSince(mark, 'a');
    put(line(10, true));
    expect([stood(), ledger.space.isSettled(mark, 'a')]).toEqual([10, true]);
    put(line(10, true), { holds: { ...disk(5), state: 'pending' }, stands: false, isLeaving: false });
    expect([stood(), ledger.space.isSettled(mark, 'a')]).toEqual([10, false]);
    put(line(15, true));
    expect([stood(), ledger.space.isSettled(mark, 'a')]).toEqual([10, false]);
    put(line(15, false));
    put(line(15, true));
    expect(stood()).toBe(0);
    expect(ledger.space.stoodSince(ledger.space.mark(), 'a')).toBe(15);
    ledger.space.place('d', 'b');
    expect([stood(), ledger.space.stoodSince(ledger.space.mark(), 'b')]).toEqual([0, 15]);
  });

  it('remembers the most that a name was held for while it is watched', () => {
    const ledger = new Ledger();
    const put = (bytes: number | undefined): void =>
      ledger.replace('7-1', {
        twin: 7,
        contract: 1n,
        lines: bytes === undefined ? [] : [{ holds: disk(bytes), stands: true, isLeaving: false }],
      });
    put(10);
    const watch = ledger.space.watch();
    put(4);
    expect(watch.bytesOf('d')).toBe(10);
    put(undefined);
    expect([watch.bytesOf('d'), watch.bytesOf('other')]).toEqual([10, 0]);
    watch.stop();
    expect(ledger.space.watch().bytesOf('d')).toBe(0);
  });
});

function disk(bytes: number): ReservedWorkload {
  const allocations = [{ resource: 'd', kind: 'disk', media: 'ssd', bytes, pool: 'a' }] as const;
  return { name: 'd', type: 'zmount', state: 'committed', vcpus: 0, memoryBytes: 0, publicIps: 0, allocations };
}

function resourcesOf({ lines }: LedgerEntry): string[] {
  return lines.flatMap(({ holds }) => holds.allocations.map((one) => one.resource));
}
