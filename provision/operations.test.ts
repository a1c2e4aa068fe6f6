import { beforeEach, expect, it } from 'vitest';
import { ZbusError } from '../modules/zbus/errors.ts';
import { operationsOf } from './operations.ts';
import type { Journal } from './store/journal.ts';
import { MemoryJournal } from './store/memory.ts';
import { full, IMPATIENT, LIMITS, tenant } from './testing/engine.ts';
import { engineWorld } from './testing/engine-world.ts';
import type { TestHost } from './testing/host.ts';
import { networkWorkload, Tenant } from './testing/tenant.ts';

const world = engineWorld();
const { startEngine, accept } = world;
let host: TestHost;
let journal: Journal;

beforeEach(() => {
  ({ host } = world);
  journal = new MemoryJournal();
});

it('W8: what was asked is told from its acceptance to its end', async () => {
  const engine = startEngine(journal);
  const told = () => operationsOf(journal, engine, { twin: 7, contract: 1n });
  const gate = Promise.withResolvers<void>();
  let failures = 2;
  host.hook = async ({ method }, when) => {
    if (method !== 'Mount' || when !== 'before') return;
    if (failures-- > 0) throw new ZbusError('no_such_module', 'nothing serves flist');
    await gate.promise;
  };
  await accept(journal, full());
  expect(told()).toMatchObject([{ Kind: 'create', State: 'queued', StartedAt: 0, EndedAt: 0, Attempts: 0, Steps: [] }]);
  engine.submit('7-1');
  await expect.poll(() => failures).toBeLessThan(0);
  const [running] = told();
  expect(running).toMatchObject({ ID: 'op-1', State: 'running', Attempts: 1, QueuePosition: 0, Trace: 'trace-1' });
  expect(running?.StartedAt).toBeGreaterThanOrEqual(running?.AskedAt ?? Number.NaN);
  expect(running?.Steps).toMatchObject([{ Workload: 'vm1', Step: 'image', State: 'failed' }]);
  gate.resolve();
  await engine.idle();
  engine.pause('7-1', true, 'grace period');
  await engine.idle();
  engine.cancel('7-1', 'contract canceled event received');
  await engine.idle();
  expect(told()).toMatchObject([
    { Kind: 'create', State: 'done', LastError: '', TwinID: 7, ContractID: 1n },
    { Kind: 'pause', State: 'done', Reason: 'grace period' },
    { Kind: 'cancel', State: 'done', Reason: 'contract canceled event received' },
  ]);
  for (const { StartedAt, EndedAt } of told()) expect(EndedAt).toBeGreaterThanOrEqual(StartedAt);
});

it('W11: an operation that failed keeps why', async () => {
  const engine = startEngine(journal, host.daemons, IMPATIENT);
  host.hook = ({ method }) => {
    if (method === 'DiskCreate') throw new ZbusError('no_such_module', 'nothing serves storage');
  };
  engine.submit((await accept(journal, full())).id);
  await engine.idle();
  const [created] = operationsOf(journal, engine, { twin: 7, contract: 1n });
  expect(created).toMatchObject({ Kind: 'create', State: 'failed' });
  expect(created?.LastError).toMatch(/^workload '(disk1|vm1)': .*nothing serves storage/);
});

it('W8: who waits for a place is told how many come before', async () => {
  const engine = startEngine(journal, host.daemons, { ...LIMITS, lanes: [1, 1] });
  const gate = Promise.withResolvers<void>();
  host.hook = ({ method }, when) => (method === 'CreateNR' && when === 'before' ? gate.promise : undefined);
  const other = new Tenant(8);
  for (let contract = 1n; contract <= 5n; contract++) {
    const of = contract === 5n ? other : tenant;
    engine.submit((await accept(journal, of.deployment(contract, [networkWorkload(`n${contract}`)]))).id);
  }
  const positions = (asked: { twin: number; contract: bigint }) =>
    operationsOf(journal, engine, asked).map((one) => `${one.ContractID} ${one.State} ${one.QueuePosition}`);
  await expect.poll(() => positions({ twin: 7, contract: 1n })).toEqual(['1 running 0']);
  const all = positions({ twin: 0, contract: 0n });
  expect(all[0]).toBe('1 running 0');
  expect(all.slice(1).map((one) => one.slice(1))).toEqual(expect.arrayContaining([' queued 0', ' queued 3']));
  // The other twin's one does not wait behind all of this one's.
  expect(positions({ twin: 8, contract: 0n })[0]).toMatch(/^5 queued [01]$/);
  expect(positions({ twin: 7, contract: 0n })).toHaveLength(4);
  gate.resolve();
  await engine.idle();
  expect(positions({ twin: 0, contract: 0n }).every((one) => one.endsWith('done 0'))).toBe(true);
});

it("W8: one twin's operations are found without those of all others", async () => {
  const other = new Tenant(8);
  for (let contract = 1n; contract <= 3n; contract++) {
    await accept(journal, tenant.deployment(contract, [networkWorkload(`n${contract}`)]));
  }
  await accept(journal, other.deployment(9n, [networkWorkload('n9')]));
  const all = journal.operations.bind(journal);
  journal.operations = (id) => {
    if (id === undefined) throw new Error('all of them are read');
    return all(id);
  };
  const told = operationsOf(journal, { positions: () => new Map() }, { twin: 7, contract: 0n });
  expect(told.map(({ ContractID }) => ContractID)).toEqual([1n, 2n, 3n]);
});
