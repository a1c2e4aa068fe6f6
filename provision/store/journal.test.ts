import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { acceptance, clock, revision } from '../testing/journal.ts';
import { failingJournal } from './failing.ts';
import { deploymentId, HISTORY_LIMIT, type Journal, reservationOf, STEP_LIMIT, VERSIONS_KEPT } from './journal.ts';
import { MemoryJournal } from './memory.ts';
import { isEnded, OPERATION_LIMIT, type OperationEnd, type OperationRecord } from './operations.ts';
import { signedWorkload } from './signed.ts';
import { SqliteJournal } from './sqlite.ts';
import { OPERATIONS_OF } from './sqlite-operations.ts';
import { isPauseDue, isUnfinished } from './unfinished.ts';

/** The schema that knew neither operations nor pauses. */
const BACK_TO_2 =
  'DROP TABLE operations; DROP TABLE quarantine; ALTER TABLE deployments DROP COLUMN paused; PRAGMA user_version = 2;';
const folders: string[] = [];
const open: Journal[] = [];

function sqlite(): { journal: SqliteJournal; path: string } {
  const folder = mkdtempSync(join(tmpdir(), 'journal-'));
  folders.push(folder);
  const path = join(folder, 'provisiond', 'journal.sqlite');
  const journal = new SqliteJournal(path, { now: clock() });
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
    expect(record).toMatchObject({ version: 1, document: '{"contract_id":1,"version":1}' });
    expect(record.workloads.map((one) => [one.name, one.version, one.state, one.removal, one.next?.version])).toEqual([
      ['net1', 0, 'ok', undefined, 1],
      ['vm1', 0, 'ok', 'deleted by an update', undefined],
      ['new', 1, 'init', undefined, undefined],
    ]);
    const memory = (): number[] =>
      journal.reservations().flatMap((one) => one.workloads.map((workload) => workload.memoryBytes));
    expect(memory()).toEqual([2 ** 40, 2 ** 40, 2 ** 40, 2 ** 41]);
    expect(() => journal.revise(revision(1n, 2, ['new']))).toThrow(/'new' is not done/);
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
      ['net1', 2, '"net1 2"', 'new'],
      ['new', 1, '"new 1"', ''],
    ]);
    const log = journal.changes(id).filter((one) => one.version > 0 || one.state === 'deleted');
    expect(log.map((one) => `${one.signed} ${one.state} ${one.message} ${one.data}`)).toEqual([
      '"new 1" init  ',
      '"net1 1" unchanged no old',
      '"vm 0" deleted deleted by an update ',
      '"new 1" ok  ',
      '"net1 2" ok  new',
    ]);
  });

  it('takes a change in the place of another, which is settled first', () => {
    const journal = make();
    const { id } = journal.accept(acceptance(1n));
    for (const name of ['net1', 'vm1']) journal.finish(id, name, { state: 'ok', data: 'old' });
    journal.revise(revision(1n, 1, ['net1']));
    journal.revise(revision(1n, 2, ['net1']));
    const record = journal.revise(revision(1n, 3, ['net1']));
    const net1 = (): unknown => {
      const found = journal.deployment(id)?.workloads[0];
      return [found?.version, found?.signed, found?.next?.signed, found?.next?.over?.signed, found?.data];
    };
    expect(record).toEqual(journal.deployment(id));
    expect(net1()).toEqual([0, '"net 0"', '"net1 3"', '"net1 1"', 'old']);
    // Only one of them is ever in force.
    const held = journal.reservations().flatMap((one) => one.workloads.filter(({ name }) => name === 'net1'));
    expect(held.map((one) => one.memoryBytes)).toEqual([2 ** 40, 2 ** 40, 0]);
    expect(journal.ledger.pending.memoryBytes).toBe(2 ** 40);
    for (let version = 4; version < VERSIONS_KEPT + 6; version++) journal.revise(revision(1n, version, []));
    expect(journal.settle(id, 'net1', { state: 'ok', data: 'new' })).toBe(true);
    expect(net1()).toEqual([1, '"net1 1"', '"net1 3"', undefined, 'new']);
    expect(journal.settle(id, 'net1', { state: 'unchanged', message: 'no' })).toBe(true);
    expect(net1()).toEqual([1, '"net1 1"', undefined, undefined, 'new']);
    expect(journal.settle(id, 'net1', { state: 'ok', data: '' })).toBe(false);
    const log = journal.changes(id).filter((one) => one.workload === 'net1' && one.version > 0);
    expect(log.map((one) => `${one.signed} ${one.state} ${one.message} ${one.data}`)).toEqual([
      '"net1 1" ok  new',
      '"net1 3" unchanged no new',
    ]);
    expect(journal.ledger.pending.memoryBytes).toBe(0);
  });

  it('tells of every change that is given up, and holds as much as any of them', () => {
    const journal = make();
    const { id } = journal.accept(acceptance(1n));
    journal.finish(id, 'net1', { state: 'ok', data: '' });
    for (const version of [1, 2, 3]) journal.revise(revision(1n, version, ['net1']));
    journal.cancel(id, 'x');
    expect(journal.deployment(id)?.workloads[0]).toMatchObject({ next: undefined, held: { memoryBytes: 2 ** 41 } });
    const log = journal.changes(id).filter((one) => one.state === 'unchanged');
    expect(log.map((one) => `${one.signed} ${one.message}`)).toEqual([
      '"net1 2" superseded by version 3',
      '"net1 1" x',
      '"net1 3" x',
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
    expect(journal.deployment(id)?.workloads[0]).toMatchObject({ version: 1, signed: '"net1 1"' });
    expect(journal.changes(id).at(-1)).toMatchObject({ workload: 'net1', version: 1, signed: '"net1 1"', state: 'ok' });
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

  it('makes one operation of everything asked, in the order asked', () => {
    const journal = make();
    const told = (): string[] => journal.operations().map((one) => `${one.id} ${one.kind}${one.workload} ${one.state}`);
    const { id } = journal.accept(acceptance(1n));
    expect(journal.operations(id)).toMatchObject([
      {
        id: 'op-1',
        deployment: id,
        twin: 7,
        contract: 1n,
        kind: 'create',
        trace: 'trace-1',
        state: 'queued',
        attempts: 0,
      },
    ]);
    expect(journal.end(id, 'done', '')).toBe(false);
    expect(journal.begin(id)).toMatchObject([{ state: 'running', attempts: 1, endedAt: 0 }]);
    expect(journal.begin(id)).toMatchObject([{ attempts: 1 }]);
    expect(journal.end(id, 'parked', 'no image', 'op-7')).toBe(false);
    expect(journal.operationsOf(7)).toEqual(journal.operations(id));
    expect(journal.operationsOf(8)).toEqual([]);
    expect(journal.end(id, 'parked', 'no image', 'op-1')).toBe(true);
    expect(journal.operations()).toMatchObject([{ state: 'parked', error: 'no image', endedAt: 0 }]);
    expect(journal.unfinished()).toHaveLength(1);
    expect(journal.begin(id)).toMatchObject([{ state: 'running', attempts: 2 }]);
    for (const name of ['net1', 'vm1']) journal.finish(id, name, { state: 'ok', data: '' });
    expect(journal.unfinished()).toHaveLength(1);
    expect(journal.end(id, 'done', '')).toBe(true);
    expect(journal.operations()[0]).toMatchObject({ state: 'done', error: '' });
    expect(journal.unfinished()).toEqual([]);

    expect(journal.restoring(id, 'trace-2')).toBe(true);
    expect(journal.restoring(id, 'trace-3')).toBe(false);
    expect(journal.pause(id, false, 'no')).toBe(false);
    expect(journal.pause(id, true, 'unpaid')).toBe(true);
    expect(journal.pause(id, true, 'unpaid')).toBe(false);
    expect(journal.deployment(id)?.paused).toBe(true);
    expect(journal.pause(id, false, 'paid')).toBe(true);
    journal.revise(revision(1n, 1, ['net1']));
    journal.decommission(id, 'vm1', 'crashes');
    expect(told()).toEqual([
      ...['op-1 create done', 'op-2 restore superseded', 'op-3 pause superseded', 'op-4 resume queued'],
      ...['op-5 update queued', 'op-6 decommissionvm1 queued'],
    ]);
    journal.cancel(id, 'gone');
    expect(journal.restoring(id, 't')).toBe(false);
    expect(journal.pause(id, true, 'p')).toBe(false);
    expect(journal.begin(id)).toMatchObject([{ id: 'op-7', kind: 'cancel', reason: 'gone' }]);
    for (const name of ['net1', 'vm1']) journal.release(id, name);
    journal.tombstone(id);
    expect(journal.end(id, 'done', '')).toBe(false);
    expect(told().slice(3)).toEqual([
      ...['op-4 resume superseded', 'op-5 update superseded', 'op-6 decommissionvm1 superseded', 'op-7 cancel done'],
    ]);
    expect(journal.operations('7-2')).toEqual([]);
  });

  it('finds deployments by their twin and their contract', () => {
    const journal = make();
    for (const contract of [3n, 1n, 2n]) journal.accept(acceptance(contract));
    journal.accept({ ...acceptance(9n), twin: 8 });
    expect(journal.deploymentsOf(7).map((one) => one.contract)).toEqual([3n, 1n, 2n]);
    expect(journal.deploymentsOf(8).map((one) => one.contract)).toEqual([9n]);
    expect(journal.deploymentsOf(9)).toEqual([]);
    expect(journal.holder(1n)?.id).toBe('7-1');
    journal.cancel('7-1', 'c');
    expect(journal.holder(1n)).toBeUndefined();
    for (const name of ['net1', 'vm1']) journal.release('7-1', name);
    journal.tombstone('7-1');
    expect(journal.deploymentsOf(7).map((one) => one.contract)).toEqual([3n, 2n]);
    journal.accept(acceptance(1n));
    expect(journal.deploymentsOf(7).map((one) => one.contract)).toEqual([3n, 2n, 1n]);
    expect(journal.deployments().map((one) => one.contract)).toEqual([3n, 2n, 9n, 1n]);
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
    const operations = journal.operations();
    expect(operations).toHaveLength(1 + OPERATION_LIMIT);
    expect(operations[0]).toMatchObject({ id: 'op-1', state: 'queued' });
    expect(operations.at(-1)).toMatchObject({ kind: 'cancel', state: 'done', contract: BigInt(HISTORY_LIMIT) + 14n });
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

  it('writes lines of the log of steps together, with the next write or a moment later', async () => {
    const { journal, path } = sqlite();
    const { id } = journal.accept(acceptance(1n));
    const again = new SqliteJournal(path);
    open.push(again);
    const line = { workload: 'vm1', step: 'image', state: 'started', message: '', at: 1, trace: 't' } as const;
    journal.recordStep(id, line);
    expect(again.steps(id)).toEqual([]);
    journal.recordStep(id, { ...line, at: 2 });
    journal.begin(id);
    expect(again.steps(id).map((one) => one.at)).toEqual([1, 2]);
    journal.recordStep(id, { ...line, at: 3 });
    await expect.poll(() => again.steps(id).map((one) => one.at)).toEqual([1, 2, 3]);
    journal.recordStep(id, { ...line, at: 4 });
    expect(journal.steps(id).map((one) => one.at)).toEqual([1, 2, 3, 4]);
    journal.recordStep(id, { ...line, at: 5 });
    journal.close();
    open.splice(open.indexOf(journal), 1);
    expect(again.steps(id).map((one) => one.at)).toEqual([1, 2, 3, 4, 5]);
  });

  it('is synced for all who wait, also while it is written and after it was closed', async () => {
    const { journal } = sqlite();
    const waits = [1n, 2n, 3n].map((contract) => {
      journal.accept(acceptance(contract));
      return journal.synced();
    });
    await Promise.all(waits);
    journal.accept(acceptance(4n));
    const last = journal.synced();
    journal.close();
    open.splice(open.indexOf(journal), 1);
    await last;
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
    old.exec(`${BACK_TO_2} DROP TABLE signed; ALTER TABLE workloads DROP COLUMN next_version;
      ALTER TABLE workloads DROP COLUMN next; PRAGMA user_version = 1`);
    old.close();
    const again = new SqliteJournal(path);
    open.push(again);
    const [workload] = again.deployment('7-4')?.workloads ?? [];
    expect(workload).toMatchObject({ name: 'd', state: 'ok', next: undefined });
    expect(signedWorkload(workload ?? { signed: '' })).toMatchObject({ name: 'd', data: '{"size":1}', metadata: 'm' });
    expect(again.changes('7-4').map((one) => one.state)).toEqual(['init', 'ok']);
  });

  it('takes over a journal that knew no operations', () => {
    const { journal, path } = sqlite();
    for (const contract of [1n, 2n, 3n, 4n]) journal.accept(acceptance(contract));
    for (const id of ['7-2', '7-3'])
      for (const name of ['net1', 'vm1']) journal.finish(id, name, { state: 'ok', data: '' });
    for (const name of ['net1', 'vm1']) journal.finish('7-2', name, { state: 'paused' });
    journal.cancel('7-4', 'c');
    const before = structuredClone(journal.deployments());
    journal.close();
    open.splice(open.indexOf(journal), 1);
    const old = new DatabaseSync(path);
    old.exec(BACK_TO_2);
    old.close();
    const again = new SqliteJournal(path);
    open.push(again);
    expect(again.deployments()).toEqual(before.map((one) => (one.id === '7-2' ? { ...one, paused: true } : one)));
    expect(again.operations().map((one) => [one.deployment, one.kind, one.state, one.reason])).toEqual([
      ['7-1', 'create', 'queued', ''],
      ['7-4', 'cancel', 'queued', 'c'],
    ]);
    expect(again.unfinished().map((one) => one.id)).toEqual(['7-1', '7-4']);
    expect(again.pause('7-3', true, 'p')).toBe(true);
  });

  it('finds operations of a twin and of a deployment by an index, in a file that had none, too', () => {
    const { journal, path } = sqlite();
    journal.accept(acceptance(1n));
    journal.close();
    open.splice(open.indexOf(journal), 1);
    const old = new DatabaseSync(path);
    old.exec('DROP INDEX operations_of');
    old.close();
    const again = new SqliteJournal(path);
    open.push(again);
    expect(again.quarantined()).toEqual([]);
    expect(again.operationsOf(7)).toMatchObject([{ deployment: '7-1' }]);
    const file = new DatabaseSync(path, { readOnly: true });
    for (const sql of Object.values(OPERATIONS_OF)) {
      const values = sql === OPERATIONS_OF.twin ? [7] : ['7-1', 7];
      const plan = file.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...values);
      expect(JSON.stringify(plan)).toContain('SEARCH operations USING INDEX operations_of');
    }
    file.close();
  });

  it('parks what never ran, and counts no attempt', () => {
    const { journal, path } = sqlite();
    journal.accept(acceptance(1n));
    for (let start = 0; start < 3; start++) {
      const again = new SqliteJournal(path, { now: clock() });
      open.push(again);
      expect(again.end('7-1', 'parked', 'it ended the process')).toBe(true);
      expect(again.operations()).toMatchObject([{ state: 'parked', attempts: 0, error: 'it ended the process' }]);
    }
  });

  it('counts a crash for what ran when the process ended, and no attempt', () => {
    const { journal, path } = sqlite();
    journal.accept(acceptance(1n));
    journal.accept(acceptance(2n));
    journal.begin('7-1');
    const again = new SqliteJournal(path, { now: clock() });
    open.push(again);
    expect(again.operations().map((one) => [one.state, one.attempts, one.crashes])).toEqual([
      ['queued', 1, 1],
      ['queued', 0, 0],
    ]);
    expect(again.begin('7-1')).toMatchObject([{ id: 'op-1', state: 'running', attempts: 2, crashes: 1 }]);
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
      fc.tuple(contract, fc.boolean()).map(
        ([one, paused]) =>
          (journal: Journal) =>
            journal.pause(`7-${one}`, paused, 'p'),
      ),
      contract.map((one) => (journal: Journal) => journal.restoring(`7-${one}`, 't')),
      contract.map((one) => (journal: Journal) => journal.begin(`7-${one}`).length > 0),
      fc.tuple(contract, fc.constantFrom<OperationEnd>('done', 'failed', 'parked', 'queued'), fc.option(fc.nat(9))).map(
        ([one, state, n]) =>
          (journal: Journal) =>
            journal.end(`7-${one}`, state, 'e', n === null ? undefined : `op-${n}`),
      ),
    );
    fc.assert(
      fc.property(fc.array(write, { maxLength: 40 }), (writes) => {
        const model = new MemoryJournal(clock());
        const { journal, path } = sqlite();
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
              next: next && { ...next, askedAt: 0, over: next.over && { ...next.over, askedAt: 0 } },
            })),
          })),
          changes: ['7-1', '7-2'].map((id) => one.changes(id).map(({ created: _c, ...change }) => change)),
          reservations: one.reservations(),
          history: one.history().map(({ goneAt: _g, acceptedAt: _a, ...rest }) => rest),
        });
        const asked = (one: Journal): unknown =>
          one.operations().map((operation) => ({
            ...operation,
            askedAt: 0,
            startedAt: operation.startedAt > 0,
            endedAt: operation.endedAt > 0,
          }));
        expect(asked(journal)).toEqual(asked(model));
        expect(state(journal)).toEqual(state(model));
        expect(found(journal)).toEqual(found(model));
        const again = new SqliteJournal(path, { now: clock() });
        try {
          expect(state(again)).toEqual(state(journal));
          expect(again.deployments()).toEqual(journal.deployments());
          expect(again.operations()).toEqual(journal.operations().map(cutShort));
          expect(found(again)).toEqual(found(journal));
        } finally {
          again.close();
          journal.close();
          open.splice(open.indexOf(journal), 1);
        }
      }),
      { numRuns: 100, endOnFailure: true },
    );
  }, 60_000);
});

/** What every index finds, by the ids; and what it should, by looking at all. */
function found(journal: Journal): unknown {
  const ids = (records: ReadonlyArray<{ readonly id: string }>): string[] => records.map((one) => one.id);
  const all = journal.deployments();
  const unended = new Set(journal.operations().flatMap((one) => (isEnded(one) ? [] : [one.deployment])));
  const indexes = {
    twin: ids(journal.deploymentsOf(7)),
    holders: [1n, 2n].map((contract) => journal.holder(contract)?.id),
    unfinished: ids(journal.unfinished()),
    pending: ids(journal.pending()).sort(),
    pendingOf: ['7-1', '7-2'].map((id) => ids(journal.pending(id))),
    reservations: journal.reservations(),
  };
  const pending = journal.operations().filter((one) => !isEnded(one));
  expect(indexes).toEqual({
    twin: ids(all.filter((one) => one.twin === 7)),
    holders: [1n, 2n].map((contract) => all.find((one) => one.contract === contract && !one.cancelled)?.id),
    unfinished: ids(all.filter((one) => isUnfinished(one) || isPauseDue(one) || unended.has(one.id))),
    pending: ids(pending).sort(),
    pendingOf: ['7-1', '7-2'].map((id) => ids(pending.filter((one) => one.deployment === id))),
    reservations: all.flatMap((one) => reservationOf(one) ?? []),
  });
  return indexes;
}

/** An operation as the next process finds it. */
function cutShort(operation: OperationRecord): OperationRecord {
  if (operation.state !== 'running') return operation;
  return { ...operation, state: 'queued', crashes: operation.crashes + 1 };
}

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
