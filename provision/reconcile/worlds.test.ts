/** Random worlds: what is desired, what the journal once knew, what is on the host, and which daemons are there. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { silentLog } from '../../modules/zbus/broker.ts';
import { ZbusError } from '../../modules/zbus/errors.ts';
import { networkId, uniqueName, workloadId } from '../../schemas/ids.ts';
import { MemoryJournal } from '../store/memory.ts';
import { acceptOn, tenant } from '../testing/engine.ts';
import { TestHost } from '../testing/host.ts';
import { diskWorkload, machineWorkload, networkWorkload, volumeWorkload } from '../testing/tenant.ts';
import { type Inventories, MODULES, type Module } from './host.ts';
import { RECONCILE_LIMITS, Reconciler } from './reconciler.ts';

const MIB = 1024 ** 2;
/** A disk that a machine takes. */
const SIZE = 128 * MIB;
const TWIN = 7;
const RUNS = 120;

/** What a contract is to the journal. */
type Past = 'runs' | 'gone' | 'damaged' | 'never';

interface World {
  readonly pasts: readonly Past[];
  /** Things on the host, each of a contract, of a kind, with a name that may be one the contract holds. */
  readonly things: readonly { readonly contract: number; readonly kind: number; readonly isHeldName: boolean }[];
  /** Things that run by the journal and are taken from the host. */
  readonly lost: readonly number[];
  /** Daemons that do not answer, run by run. */
  readonly away: readonly (readonly Module[])[];
  readonly cap: number;
}

const worlds = fc.record<World>({
  pasts: fc.array(fc.constantFrom<Past>('runs', 'gone', 'damaged', 'never'), { minLength: 1, maxLength: 5 }),
  things: fc.array(fc.record({ contract: fc.nat({ max: 4 }), kind: fc.nat({ max: 5 }), isHeldName: fc.boolean() }), {
    maxLength: 14,
  }),
  lost: fc.array(fc.nat({ max: 30 }), { maxLength: 3 }),
  away: fc.array(fc.subarray<Module>([...MODULES]), { maxLength: 4 }),
  cap: fc.integer({ min: 1, max: 20 }),
});

const workloadsOf = (index: number) => [
  networkWorkload(`net${index}`, 0),
  diskWorkload('disk', SIZE),
  volumeWorkload('vol', SIZE),
  machineWorkload('vm', { network: `net${index}`, mounts: ['disk', 'vol'] }),
];

/** Puts everything on the host that one contract's workloads have when they run. */
function run(host: TestHost, contract: number): void {
  const id = (name: string): string => workloadId(TWIN, BigInt(contract), name);
  host.networks.set(id(`net${contract}`), networkId(TWIN, `net${contract}`));
  host.disks.set(id('disk'), { size: SIZE, formatted: true });
  host.volumes.set(id('vol'), SIZE).set(`rootfs:${id('vm')}`, SIZE);
  const tap = uniqueName(id('vm'), `net${contract}`);
  host.taps.add(tap);
  host.tapOwners.set(tap, id('vm'));
  host.mounts.set(id('vm'), 'x');
  host.machines.set(id('vm'), {});
}

function put(host: TestHost, { contract, kind, isHeldName }: World['things'][number]): void {
  const id = (held: string): string => workloadId(TWIN, BigInt(contract), isHeldName ? held : 'stray');
  if (kind === 0) host.disks.set(id('disk'), { size: SIZE, formatted: false });
  else if (kind === 1) host.volumes.set(id('vol'), SIZE);
  else if (kind === 2) host.networks.set(id(`net${contract}`), networkId(TWIN, `net${contract}`));
  else if (kind === 3) host.mounts.set(id('vm'), 'x');
  else if (kind === 4) host.machines.set(id('vm'), {});
  else {
    const tap = uniqueName(id('vm'), `net${contract}`);
    host.taps.add(tap);
    host.tapOwners.set(tap, id('vm'));
  }
}

/** Owners of everything on the host, by what it is. */
function owners(host: TestHost): Map<string, string> {
  const found = new Map<string, string>();
  for (const name of host.volumes.keys()) found.set(`volume ${name}`, name.replace('rootfs:', ''));
  for (const name of host.disks.keys()) found.set(`disk ${name}`, name);
  for (const name of host.networks.keys()) found.set(`network ${name}`, name);
  for (const name of host.mounts.keys()) found.set(`mount ${name}`, name);
  for (const name of host.machines.keys()) found.set(`machine ${name}`, name);
  for (const name of host.taps) found.set(`tap ${name}`, host.tapOwners.get(name) ?? '');
  return found;
}

function withAway(inventories: Inventories, isAway: (module: Module) => boolean): Inventories {
  const entries = MODULES.map((module) => {
    const client = inventories[module];
    const Owned: typeof client.Owned = (...args) =>
      isAway(module) ? Promise.reject(new ZbusError('no_such_module', 'away')) : client.Owned(...args);
    return [module, { Owned, Remove: (...args: Parameters<typeof client.Remove>) => client.Remove(...args) }];
  });
  return Object.fromEntries(entries) as Inventories;
}

describe('any world', () => {
  it('keeps what is owned or unknown, loses what is neither, asks for what is lost, and then stays as it is', async () => {
    const property = fc.asyncProperty(worlds, async ({ pasts, things, lost, away, cap }) => {
      const folder = mkdtempSync(join(tmpdir(), 'world-'));
      try {
        const host = new TestHost(folder);
        const journal = new MemoryJournal();
        for (const [contract, past] of pasts.entries()) {
          if (past === 'never') continue;
          const { id } = await acceptOn(host, journal, tenant.deployment(BigInt(contract), workloadsOf(contract)));
          const names = workloadsOf(contract).map(({ name }) => name);
          if (past === 'runs') {
            for (const name of names) journal.finish(id, name, { state: 'ok', data: '' });
            run(host, contract);
          } else {
            journal.cancel(id, 'x');
            for (const name of names) journal.release(id, name);
            journal.tombstone(id);
          }
        }
        const pastOf = (owner: string): Past => pasts[Number(owner.split('-')[1])] ?? 'never';
        const promised = new Set(owners(host).keys());
        for (const thing of things) put(host, thing);
        const taken = lost.map((index) => [...promised][index]).filter((key) => key !== undefined);
        for (const key of taken) {
          const [kind = '', name = ''] = key.split(' ');
          const held = { volume: host.volumes, disk: host.disks, network: host.networks, mount: host.mounts };
          if (kind === 'tap') host.taps.delete(name);
          else if (kind === 'machine') host.machines.delete(name);
          else held[kind as keyof typeof held].delete(name);
        }
        const begin = owners(host);
        const stays = [...begin].filter(([key, owner]) => {
          return promised.has(key) || pastOf(owner) === 'never' || pastOf(owner) === 'damaged';
        });

        let clock = 0;
        let turn = 0;
        const rechecked = new Set<string>();
        const comparison = new Reconciler({
          journal: {
            deployment: (id) => journal.deployment(id),
            deployments: () => journal.deployments(),
            knows: (twin, contract) => journal.knows(twin, contract),
            quarantined: () =>
              pasts.flatMap((past, contract) =>
                past === 'damaged'
                  ? [{ table: 'deployments', key: '', deployment: `${TWIN}-${contract}`, reason: 'x', at: 0 }]
                  : [],
              ),
            vacating: () => [],
            vacated: () => {},
          },
          inventories: withAway(host.inventories, (module) => away[turn]?.includes(module) === true),
          lanes: {
            recheck: (id) => void rechecked.add(id),
            aside: async (_, work) => {
              await work();
              return true;
            },
          },
          log: silentLog,
          limits: { ...RECONCILE_LIMITS, removalsPerRun: cap },
          now: () => clock,
        });
        for (; turn < away.length + 2 + Math.ceil(begin.size / cap); turn++) {
          const before = owners(host);
          await comparison.run();
          const after = owners(host);
          // Nothing comes, and no step on the way touches what is to stay.
          for (const key of after.keys()) expect(before.has(key)).toBe(true);
          for (const [key] of stays) expect(after.has(key)).toBe(true);
          clock += RECONCILE_LIMITS.graceMs;
        }
        expect([...owners(host).keys()].sort()).toEqual(stays.map(([key]) => key).sort());
        const missing = taken.filter((key) => !owners(host).has(key));
        const ids = missing
          .map((key) => pasts.findIndex((_, contract) => isOf(key, contract)))
          .map((n) => `${TWIN}-${n}`);
        expect([...rechecked].sort()).toEqual([...new Set(ids)].sort());
        const { length } = host.calls.filter(({ method }) => method === 'Remove');
        const last = await comparison.run();
        expect(host.calls.filter(({ method }) => method === 'Remove')).toHaveLength(length);
        expect(last.kinds.reduce((sum, { found }) => sum + found, 0)).toBe(0);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
    await fc.assert(property, { numRuns: RUNS });
  }, 120_000);
});

function isOf(key: string, contract: number): boolean {
  const tap = `tap ${uniqueName(workloadId(TWIN, BigInt(contract), 'vm'), `net${contract}`)}`;
  return key === tap || key.includes(` ${TWIN}-${contract}-`) || key.includes(`:${TWIN}-${contract}-`);
}
