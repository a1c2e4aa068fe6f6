import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { acceptance, clock, revision } from '../testing/journal.ts';
import { failingJournal } from './failing.ts';
import { deploymentId, HISTORY_LIMIT, type Journal, STEP_LIMIT, VERSIONS_KEPT } from './journal.ts';
import { MemoryJournal } from './memory.ts';
import { signedWorkload } from './signed.ts';
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

afterEach(() => {
  for (const journal of open.splice(0)) journal.close();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

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

  it('keeps what runs until a change is settled, and counts both', () => {
    const journal = make();
    const { id } = journal.accept(acceptance(1n));
    journal.finish(id, 'net1', { state: 'ok', data: 'old' });
    journal.finish(id, 'vm1', { state: 'ok', data: '' });
    expect(() => journal.revise(revision(1n, 2, ['net1']))).toThrow(/has version 0/);
    expect(() => journal.revise(revision(2n, 1, ['net1']))).toThrow(/is not there/);
    const record = journal.revise(revision(1n, 1, ['net1', 'new'], ['vm1']));
    expect(record).toEqual(journal.deployment(id));
    expect(record).toMatchObject({ version: 1, document: '{"contract_id":1} 1' });
    expect(record.workloads.map((one) => [one.name, one.version, one.state, one.removal, one.next?.version])).toEqual([
      ['net1', 0, 'ok', undefined, 1],
      ['vm1', 0, 'ok', 'deleted by an update', undefined],
      ['new', 1, 'init', undefined, undefined],
    ]);
    const memory = (): number[] =>
      journal.reservations().flatMap((one) => one.workloads.map((workload) => workload.memoryBytes));
    expect(memory()).toEqual([2 ** 40, 2 ** 40, 2 ** 40, 2 ** 41]);
    expect(() => journal.revise(revision(1n, 2, ['net1']))).toThrow(/'net1' is not done/);
    expect(journal.settle(id, 'new', { state: 'ok', data: '' })).toBe(false);
    expect(journal.settle(id, 'net1', { state: 'unchanged', message: 'no' })).toBe(true);
    expect(journal.settle(id, 'net1', { state: 'ok', data: '' })).toBe(false);
    journal.release(id, 'vm1');
    journal.finish(id, 'new', { state: 'ok', data: '' });
    expect(memory()).toEqual([2 ** 40, 2 ** 41]);
    journal.revise(revision(1n, 2, ['net1']));
    expect(journal.settle(id, 'net1', { state: 'ok', data: 'new' })).toBe(true);
    expect(memory()).toEqual([2 ** 41, 2 ** 41]);
    expect(journal.deployment(id)?.workloads.map((one) => [one.name, one.version, one.signed, one.data])).toEqual([
      ['net1', 2, 'net1 2', 'new'],
      ['new', 1, 'new 1', ''],
    ]);
    const log = journal.changes(id).filter((one) => one.version > 0 || one.state === 'deleted');
    expect(log.map((one) => `${one.signed} ${one.state} ${one.message} ${one.data}`)).toEqual([
      'new 1 init  ',
      'net1 1 unchanged no old',
      'vm 0 deleted deleted by an update ',
      'new 1 ok  ',
      'net1 2 ok  new',
    ]);
  });

  it('gives up a change with its workload, and holds all that it may have come to', () => {
    const journal = make();
    const { id } = journal.accept(acceptance(1n));
    for (const name of ['net1', 'vm1']) journal.finish(id, name, { state: 'ok', data: '' });
    journal.revise(revision(1n, 1, ['net1', 'vm1']));
    journal.decommission(id, 'vm1', 'too many crashes');
    journal.cancel(id, 'x');
    expect(journal.deployment(id)?.workloads.map((one) => [one.next, one.held?.memoryBytes])).toEqual([
      [undefined, 2 ** 41],
      [undefined, 2 ** 41],
    ]);
    expect(journal.settle(id, 'net1', { state: 'ok', data: '' })).toBe(false);
    expect(() => journal.revise(revision(1n, 2, []))).toThrow(/is to go away/);
  });

  it('removes what is still to change, and adds beside it', () => {
    const journal = make();
    const { id } = journal.accept(acceptance(1n));
    for (const name of ['net1', 'vm1']) journal.finish(id, name, { state: 'ok', data: '' });
    journal.revise(revision(1n, 1, ['net1', 'vm1']));
    const record = journal.revise(revision(1n, 2, ['new'], ['vm1']));
    expect(record.workloads.map((one) => [one.name, one.next?.version, one.removal, one.held?.memoryBytes])).toEqual([
      ['net1', 1, undefined, 2 ** 40],
      ['vm1', undefined, 'deleted by an update', 2 ** 41],
      ['new', undefined, undefined, 2 ** 41],
    ]);
    for (let version = 3; version < VERSIONS_KEPT + 5; version++) journal.revise(revision(1n, version, []));
    journal.settle(id, 'net1', { state: 'ok', data: '' });
    expect(journal.deployment(id)?.workloads[0]).toMatchObject({ version: 1, signed: 'net1 1' });
    expect(journal.changes(id).at(-1)).toMatchObject({ workload: 'net1', version: 1, signed: 'net1 1', state: 'ok' });
  });

  it('remembers the newest versions, and those that run', () => {
    const journal = make();
    const { id } = journal.accept(acceptance(1n));
    for (const name of ['net1', 'vm1']) journal.finish(id, name, { state: 'ok', data: '' });
    for (let version = 1; version <= VERSIONS_KEPT + 3; version++) {
      journal.revise(revision(1n, version, ['net1']));
      journal.settle(id, 'net1', { state: 'ok', data: '' });
    }
    const versions = journal.changes(id).map((one) => `${one.workload} ${one.version} ${one.state}`);
    expect(versions.slice(0, 3)).toEqual(['vm1 0 init', 'vm1 0 ok', 'net1 3 ok']);
    expect(versions).toHaveLength(2 + VERSIONS_KEPT + 1);
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

  it('takes over a journal that knew no updates', () => {
    const { journal, path } = sqlite();
    const disk = { version: 0, name: 'd', type: 'zmount', data: '{"size":1}', metadata: 'm' };
    const document = `{"version":0,"twin_id":7,"contract_id":4,"workloads":[${JSON.stringify(disk).replace('"{\\"size\\":1}"', '{"size":1}')}]}`;
    const before = acceptance(4n, ['d']);
    journal.accept({ ...before, document });
    journal.finish('7-4', 'd', { state: 'ok', data: 'r' });
    journal.close();
    open.splice(open.indexOf(journal), 1);
    const old = new DatabaseSync(path);
    old.exec(`DROP TABLE signed; ALTER TABLE workloads DROP COLUMN next_version; ALTER TABLE workloads DROP COLUMN next;
      PRAGMA user_version = 1`);
    old.close();
    const again = new SqliteJournal(path);
    open.push(again);
    const [workload] = again.deployment('7-4')?.workloads ?? [];
    expect(workload).toMatchObject({ name: 'd', state: 'ok', next: undefined });
    expect(signedWorkload(workload ?? { signed: '' })).toMatchObject({ name: 'd', data: '{"size":1}', metadata: 'm' });
    expect(again.changes('7-4').map((one) => one.state)).toEqual(['init', 'ok']);
  });

  it('agrees with the model after any sequence of writes', () => {
    const contract = fc.constantFrom(1n, 2n);
    const name = fc.constantFrom('net1', 'vm1', 'new');
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
      fc.tuple(contract, name).map(
        ([one, workload]) =>
          (journal: Journal) =>
            journal.settle(`7-${one}`, workload, { state: 'ok', data: '2' }),
      ),
      fc.tuple(contract, name).map(
        ([one, workload]) =>
          (journal: Journal) =>
            journal.settle(`7-${one}`, workload, { state: 'unchanged', message: 'u' }),
      ),
      fc.tuple(contract, fc.subarray(['net1', 'vm1', 'new']), fc.subarray(['net1', 'vm1', 'new'])).map(
        ([one, changed, removed]) =>
          (journal: Journal) =>
            journal.revise(
              revision(
                one,
                (journal.deployment(`7-${one}`)?.version ?? 0) + 1,
                changed,
                removed.filter((other) => !changed.includes(other)),
              ),
            ),
      ),
      contract.map((one) => (journal: Journal) => journal.cancel(`7-${one}`, 'c')),
      contract.map((one) => (journal: Journal) => journal.tombstone(`7-${one}`)),
    );
    fc.assert(
      fc.property(fc.array(write, { maxLength: 40 }), (writes) => {
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
            // Times differ: each journal asks its clock as often as it likes.
            workloads: workloads.map(({ created: _c, next, ...workload }) => ({
              ...workload,
              next: next && { ...next, askedAt: 0 },
            })),
          })),
          changes: ['7-1', '7-2'].map((id) => one.changes(id).map(({ created: _c, ...change }) => change)),
          reservations: one.reservations(),
          history: one.history().map(({ goneAt: _g, acceptedAt: _a, ...rest }) => rest),
        });
        expect(state(journal)).toEqual(state(model));
      }),
      { numRuns: 100 },
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
