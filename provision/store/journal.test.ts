import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { failingJournal } from './failing.ts';
import { type Acceptance, deploymentId, HISTORY_LIMIT, type Journal, STEP_LIMIT } from './journal.ts';
import { MemoryJournal } from './memory.ts';
import { SqliteJournal } from './sqlite.ts';

const folders: string[] = [];
const open: Journal[] = [];

function sqlite(): { journal: SqliteJournal; path: string } {
  const folder = mkdtempSync(join(tmpdir(), 'journal-'));
  folders.push(folder);
  const path = join(folder, 'provisiond', 'journal.sqlite');
  const journal = new SqliteJournal(path, clock());
  open.push(journal);
  return { journal, path };
}

function clock(): () => number {
  let now = 1_000;
  return () => now++;
}

afterEach(() => {
  for (const journal of open.splice(0)) journal.close();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function acceptance(contract: bigint, names: readonly string[] = ['net1', 'vm1']): Acceptance {
  return {
    twin: 7,
    contract,
    version: 0,
    document: `{"contract_id":${contract}}`,
    hash: 'abc',
    trace: 'trace-1',
    workloads: names.map((name) =>
      name === 'vm1'
        ? { name, type: 'zmachine', version: 0, signed: 'vm 0', after: ['net1'], awaitsNetwork: 'far' }
        : { name, type: 'network', version: 0, signed: 'net 0', after: [] },
    ),
    reservation: {
      twin: 7,
      contract,
      workloads: names.map((name) => ({
        name,
        type: 'network',
        state: 'pending',
        vcpus: 1,
        memoryBytes: 2 ** 40,
        publicIps: 0,
        allocations: [],
      })),
    },
  };
}

describe.each([
  ['memory', (): Journal => new MemoryJournal(clock())],
  ['sqlite', (): Journal => sqlite().journal],
])('journal in %s', (_, make) => {
  it('accepts once and keeps what it accepted', () => {
    const journal = make();
    const contract = 2n ** 64n - 1n;
    const record = journal.accept(acceptance(contract));
    expect(record).toEqual(journal.deployment(deploymentId(7, contract)));
    expect(record).toMatchObject({ twin: 7, contract, document: `{"contract_id":${contract}}`, cancelled: undefined });
    expect(record.workloads.map((one) => [one.name, one.state, one.awaitsNetwork])).toEqual([
      ['net1', 'init', undefined],
      ['vm1', 'init', 'far'],
    ]);
    expect(journal.reservations()).toEqual([acceptance(contract).reservation]);
    expect(() => journal.accept(acceptance(contract))).toThrow(/^exists$/);
    expect(journal.deployments()).toHaveLength(1);
    expect(journal.changes(record.id).map((one) => one.state)).toEqual(['init', 'init']);
  });

  it('commits what runs, and logs one ok for each name and version', () => {
    const journal = make();
    const { id } = journal.accept(acceptance(1n));
    expect(journal.finish(id, 'net1', { state: 'ok', data: '{"a":1}' })).toBe(true);
    expect(journal.finish(id, 'net1', { state: 'ok', data: '{"a":2}' })).toBe(false);
    expect(journal.finish(id, 'net1', { state: 'paused' })).toBe(true);
    expect(journal.finish(id, 'net1', { state: 'ok', data: '{"a":3}' })).toBe(true);
    expect(journal.reservations()[0]?.workloads.map((one) => one.state)).toEqual(['committed', 'pending']);
    expect(journal.changes(id).map((one) => `${one.workload} ${one.state}`)).toEqual([
      'net1 init',
      'vm1 init',
      'net1 ok',
      'net1 paused',
    ]);
    expect(journal.deployment(id)?.workloads[0]).toMatchObject({ state: 'ok', data: '{"a":3}', message: '' });
  });

  it('holds a failed workload until it is released', () => {
    const journal = make();
    const { id } = journal.accept(acceptance(1n));
    journal.finish(id, 'vm1', { state: 'error', message: 'no image' });
    expect(journal.reservations()[0]?.workloads).toHaveLength(2);
    journal.release(id, 'vm1');
    expect(journal.reservations()[0]?.workloads).toHaveLength(1);
    expect(journal.deployment(id)?.workloads[1]).toMatchObject({ state: 'error', message: 'no image' });
    expect(journal.decommission(id, 'vm1', 'crashes')).toBe(false);
  });

  it('takes a deployment through its removal into history', () => {
    const journal = make();
    const { id } = journal.accept(acceptance(1n));
    journal.finish(id, 'net1', { state: 'ok', data: '' });
    expect(journal.cancel(id, 'contract canceled event received')).toBe(true);
    expect(journal.cancel(id, 'again')).toBe(false);
    expect(() => journal.tombstone(id)).toThrow(/not released/);
    journal.release(id, 'vm1');
    journal.release(id, 'net1');
    journal.release(id, 'net1');
    expect(journal.changes(id).map((one) => `${one.workload} ${one.state} ${one.message}`)).toEqual([
      'net1 init ',
      'vm1 init ',
      'net1 ok ',
      'vm1 deleted contract canceled event received',
      'net1 deleted contract canceled event received',
    ]);
    journal.tombstone(id);
    expect(journal.deployment(id)).toBeUndefined();
    expect(journal.changes(id)).toEqual([]);
    expect(journal.reservations()).toEqual([]);
    expect(journal.history()).toMatchObject([{ twin: 7, contract: 1n, reason: 'contract canceled event received' }]);
    journal.accept(acceptance(1n));
    expect(journal.deployments()).toHaveLength(1);
  });

  it('removes one workload and leaves the others', () => {
    const journal = make();
    const { id } = journal.accept(acceptance(1n));
    expect(journal.decommission(id, 'vm1', 'too many crashes')).toBe(true);
    expect(journal.decommission(id, 'vm1', 'again')).toBe(false);
    expect(journal.decommission(id, 'none', 'why')).toBe(false);
    journal.release(id, 'vm1');
    expect(journal.finish(id, 'vm1', { state: 'ok', data: '' })).toBe(false);
    expect(journal.deployment(id)?.workloads.map((one) => one.state)).toEqual(['init', 'deleted']);
  });

  it('keeps its logs bounded', () => {
    const journal = make();
    const { id } = journal.accept(acceptance(1n));
    const entry = { workload: 'vm1', step: 'image', state: 'started', message: '', trace: 't' } as const;
    for (let at = 0; at < STEP_LIMIT + 5; at++) journal.recordStep(id, { ...entry, at });
    journal.recordStep('7-99', { ...entry, at: 0 });
    expect(journal.steps(id)).toHaveLength(STEP_LIMIT);
    expect(journal.steps(id)[0]).toEqual({ ...entry, at: 5 });
    for (let contract = 10n; contract < BigInt(HISTORY_LIMIT) + 15n; contract++) {
      const gone = journal.accept(acceptance(contract, []));
      journal.cancel(gone.id, 'x');
      journal.tombstone(gone.id);
    }
    expect(journal.history()).toHaveLength(HISTORY_LIMIT);
    expect(journal.history(1)[0]?.contract).toBe(BigInt(HISTORY_LIMIT) + 14n);
  }, 60_000);
});

describe('sqlite journal', () => {
  it('is the node owner’s alone and is whole after it was opened again', () => {
    const { journal, path } = sqlite();
    journal.accept(acceptance(3n));
    for (const name of [path, `${path}-wal`]) expect(statSync(name).mode & 0o077).toBe(0);
    expect(statSync(join(path, '..')).mode & 0o077).toBe(0);
    // Not closed, as after a kill: the second handle reads what the first committed.
    const again = new SqliteJournal(path);
    open.push(again);
    expect(again.deployments()).toEqual(journal.deployments());
  });

  it('agrees with the model after any sequence of writes', () => {
    const contract = fc.constantFrom(1n, 2n);
    const name = fc.constantFrom('net1', 'vm1');
    const write = fc.oneof(
      contract.map((one) => (journal: Journal) => journal.accept(acceptance(one))),
      fc.tuple(contract, name).map(
        ([one, workload]) =>
          (journal: Journal) =>
            journal.finish(`7-${one}`, workload, { state: 'ok', data: '1' }),
      ),
      fc.tuple(contract, name).map(
        ([one, workload]) =>
          (journal: Journal) =>
            journal.finish(`7-${one}`, workload, { state: 'error', message: 'm' }),
      ),
      fc.tuple(contract, name).map(
        ([one, workload]) =>
          (journal: Journal) =>
            journal.finish(`7-${one}`, workload, { state: 'paused' }),
      ),
      fc.tuple(contract, name).map(
        ([one, workload]) =>
          (journal: Journal) =>
            journal.decommission(`7-${one}`, workload, 'd'),
      ),
      fc.tuple(contract, name).map(
        ([one, workload]) =>
          (journal: Journal) =>
            journal.release(`7-${one}`, workload),
      ),
      contract.map((one) => (journal: Journal) => journal.cancel(`7-${one}`, 'c')),
      contract.map((one) => (journal: Journal) => journal.tombstone(`7-${one}`)),
    );
    fc.assert(
      fc.property(fc.array(write, { maxLength: 30 }), (writes) => {
        const model = new MemoryJournal(clock());
        const { journal } = sqlite();
        for (const act of writes) {
          const outcomes = [model, journal].map((one) => {
            try {
              return { returned: act(one) };
            } catch (error) {
              return { thrown: (error as Error).message };
            }
          });
          const plain = outcomes.map((one) =>
            'thrown' in one ? one : typeof one.returned === 'boolean' ? one : 'done',
          );
          expect(plain[1]).toEqual(plain[0]);
        }
        const state = (one: Journal): unknown => ({
          records: one.deployments().map(({ sequence: _s, acceptedAt: _a, workloads, ...rest }) => ({
            ...rest,
            workloads: workloads.map(({ created: _c, ...workload }) => workload),
          })),
          changes: ['7-1', '7-2'].map((id) => one.changes(id).map(({ created: _c, ...change }) => change)),
          reservations: one.reservations(),
          history: one.history().map(({ goneAt: _g, acceptedAt: _a, ...rest }) => rest),
        });
        expect(state(journal)).toEqual(state(model));
      }),
      { numRuns: 40 },
    );
  }, 60_000);
});

describe('failing journal', () => {
  it('fails the named writes and changes nothing', () => {
    const journal = failingJournal(new MemoryJournal());
    journal.failing.add('accept');
    expect(() => journal.accept(acceptance(1n))).toThrow('disk I/O error');
    journal.failing.clear();
    expect(journal.accept(acceptance(1n)).id).toBe('7-1');
  });
});

it('every deployment has one id for twin and contract', () => {
  expect(deploymentId(7, 2n ** 64n - 1n)).toBe('7-18446744073709551615');
});
