/** A journal of which something can not be read: that is set aside by name, and the rest works on. */
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fillJournal } from '../testing/fill.ts';
import { acceptance, revision } from '../testing/journal.ts';
import { isDamage } from './database.ts';
import type { Journal } from './journal.ts';
import { SqliteJournal } from './sqlite.ts';

let folder: string;
let path: string;
let told: { facts: object; message: string }[];
const open: SqliteJournal[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'journal-'));
  path = join(folder, 'journal.sqlite');
  told = [];
});

afterEach(() => {
  for (const journal of open.splice(0)) journal.close();
  rmSync(folder, { recursive: true, force: true });
});

function opened(): SqliteJournal {
  const journal = new SqliteJournal(path, { log: { error: (facts, message) => told.push({ facts, message }) } });
  open.push(journal);
  return journal;
}

function closed(): void {
  for (const journal of open.splice(0)) journal.close();
}

/** Changes the file behind the journal's back. */
function change(sql: string): void {
  const disk = new DatabaseSync(path);
  disk.exec(sql);
  disk.close();
}

/** Where the pages of a table or an index are in the file. */
function pagesOf(name: string): number[] {
  const disk = new DatabaseSync(path);
  const rows = disk.prepare('SELECT pageno FROM dbstat WHERE name = ? ORDER BY pageno').all(name);
  disk.close();
  return rows.map((row) => Number(row.pageno));
}

const PAGE_BYTES = 4096;
/** The first byte of a page that holds rows. */
const TABLE_LEAF = 0x0d;

function overwrite(file: string, at: number, bytes: Uint8Array): void {
  const handle = openSync(file, 'r+');
  writeSync(handle, bytes, 0, bytes.length, at);
  closeSync(handle);
}

/** Two deployments that run. */
function two(): SqliteJournal {
  const journal = opened();
  for (const contract of [1n, 2n]) {
    const { id } = journal.accept(acceptance(contract));
    journal.begin(id);
    for (const name of ['net1', 'vm1']) journal.finish(id, name, { state: 'ok', data: '{}' });
    journal.end(id, 'done', '');
  }
  return journal;
}

/** The whole life of one more deployment. */
function works(journal: Journal): void {
  const { id } = twice(() => journal.accept(acceptance(77n)));
  for (const name of ['net1', 'vm1']) twice(() => journal.finish(id, name, { state: 'ok', data: '{}' }));
  twice(() => journal.revise(revision(77n, 1, ['net1'])));
  expect(twice(() => journal.settle(id, 'net1', { state: 'ok', data: '{}' }))).toBe(true);
  expect(twice(() => journal.changes(id)).filter((one) => one.state === 'ok')).toHaveLength(3);
  twice(() => journal.cancel(id, 'c'));
  for (const name of ['net1', 'vm1']) twice(() => journal.release(id, name));
  twice(() => journal.tombstone(id));
  expect(twice(() => journal.knows(7, 77n))).toBe(true);
}

/** As whoever asks does: what comes upon damage that the start did not see fails, and is asked again. */
function twice<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    // Who asked for something hears that it may be asked for again.
    if (!isDamage(error) && !isDamage((error as Error).cause)) throw error;
    return act();
  }
}

describe('a damaged record', () => {
  it.each([
    ['JSON that is none', "UPDATE workloads SET held = '{\"na' WHERE deployment = '7-1' AND name = 'vm1'", 'workloads'],
    [
      'a number that is none',
      `UPDATE workloads SET held = json_set(held, '$.memoryBytes', NULL) WHERE deployment = '7-1'`,
      'workloads',
    ],
    [
      'less than nothing',
      `UPDATE workloads SET held = json_set(held, '$.memoryBytes', -5) WHERE deployment = '7-1'`,
      'workloads',
    ],
    [
      'a state that is unknown',
      "UPDATE workloads SET state = 'great' WHERE deployment = '7-1' AND name = 'net1'",
      'workloads',
    ],
    ['nothing signed', "DELETE FROM signed WHERE deployment = '7-1' AND workload = 'vm1'", 'signed'],
    ['a contract that is no number', "UPDATE deployments SET contract = 'x' WHERE id = '7-1'", 'deployments'],
    [
      'a number that JavaScript has none for',
      "UPDATE workloads SET created = 1152921504606846976 WHERE deployment = '7-1'",
      'workloads',
    ],
    ['a version that is none', "UPDATE deployments SET version = 1152921504606846976 WHERE id = '7-1'", 'deployments'],
    [
      'what runs holding nothing',
      "UPDATE workloads SET held = NULL WHERE deployment = '7-1' AND name = 'vm1'",
      'workloads',
    ],
    ['the id of another', "UPDATE deployments SET contract = '5' WHERE id = '7-1'", 'deployments'],
    [
      'a change that is no JSON',
      "UPDATE workloads SET next = '[', next_version = 0 WHERE deployment = '7-1'",
      'workloads',
    ],
  ])('with %s is set aside at the start; what it holds stays held, the other works on', (_, sql, table) => {
    two();
    const before = opened().reservations();
    closed();
    change(sql);
    const journal = opened();
    expect(journal.deployments().map((one) => one.id)).toEqual(['7-2']);
    expect(journal.quarantined()[0]).toMatchObject({ table, deployment: '7-1' });
    expect(journal.quarantined()[0]?.key).toMatch(/^7-1/);
    expect(JSON.stringify(told)).toContain('7-1');
    // What is on the host of it is nobody's to remove, and its space and memory are nobody's to have.
    expect(journal.knows(7, 1n)).toBe(false);
    expect(journal.holder(1n)).toBeUndefined();
    expect(() => journal.accept(acceptance(1n))).toThrow(/is damaged and was set aside/);
    const held = journal.reservations().find((one) => one.contract === 1n)?.workloads ?? [];
    for (const one of held) expect(before[0]?.workloads).toContainEqual(one);
    if (!sql.includes('SET held')) expect(held).toHaveLength(2);
    works(journal);
    const list = journal.quarantined();
    closed();
    // Once: the next start finds nothing wrong.
    told = [];
    const again = opened();
    expect(told).toEqual([]);
    expect(again.quarantined()).toEqual(list);
    expect(again.reservations().find((one) => one.contract === 1n)?.workloads ?? []).toEqual(held);
    // Its contract ends: what it left may go, and counts until it has.
    expect(again.vacating()).toEqual([]);
    again.vacated('7-1');
    expect(again.quarantined()).toEqual(list);
    expect(again.cancel('7-1', 'contract canceled event received')).toBe(true);
    expect(again.cancel('7-1', 'again')).toBe(false);
    const pending = [again.ledger.pending, again.ledger.committed];
    closed();
    const last = opened();
    expect(last.knows(7, 1n)).toBe(true);
    expect(last.quarantined().filter(({ deployment }) => deployment === '7-1')).toEqual([]);
    expect(last.vacating()).toEqual(['7-1']);
    expect(last.cancel('7-1', 'again')).toBe(false);
    expect(last.reservations().find((one) => one.contract === 1n)?.workloads ?? []).toEqual(held);
    expect([last.ledger.pending, last.ledger.committed]).toEqual(pending);
    expect(() => last.accept(acceptance(1n))).toThrow(/is damaged and was set aside/);
    last.vacated('7-1');
    expect(last.vacating()).toEqual([]);
    expect(last.reservations().map((one) => one.contract)).toEqual([2n]);
    closed();
    const free = opened();
    expect([free.vacating(), free.reservations().map((one) => one.contract)]).toEqual([[], [2n]]);
    free.accept(acceptance(1n));
  });

  it('of which a workload went astray is set aside with it', () => {
    fillJournal(path, 3);
    change(
      "PRAGMA foreign_keys = OFF; UPDATE workloads SET deployment = 'x' WHERE deployment = '101-2' AND name = 'disk1'",
    );
    const journal = opened();
    expect(journal.deployments().map((one) => one.id)).toEqual(['100-1', '102-3']);
    expect(new Set(journal.quarantined().map((one) => one.deployment))).toEqual(new Set(['x', '101-2']));
    expect(journal.knows(101, 2n)).toBe(false);
    works(journal);
  });

  it('counts with all that it was signed for where it does not say what it holds', () => {
    fillJournal(path, 2);
    change("UPDATE workloads SET held = 'x' WHERE deployment = '100-1'");
    const journal = opened();
    expect(journal.deployments()).toHaveLength(1);
    const held = journal.reservations().find((one) => one.contract === 1n)?.workloads ?? [];
    expect(held.find(({ name }) => name === 'vm1')).toMatchObject({ vcpus: 1, memoryBytes: 512 * 1024 ** 2 });
    const names = held.flatMap(({ allocations }) => allocations.map(({ resource }) => resource)).sort();
    expect(names).toEqual(['100-1-disk1', 'rootfs:100-1-vm1']);
    // It comes to the pool in which storaged has it.
    const { space } = journal.ledger;
    expect(space.isPlaced).toBe(false);
    for (const name of names) space.place(name, 'pool-b');
    expect(space.pool('pool-b').committed).toBe(space.bytesOf('100-1-disk1') + space.bytesOf('rootfs:100-1-vm1'));
  });

  it('does not lose what it has for a removal that nobody asked for', () => {
    const journal = two();
    journal.decommission('7-2', 'vm1', 'asked for');
    closed();
    change("UPDATE workloads SET removal = 'x' WHERE deployment = '7-1' AND name = 'vm1'");
    const again = opened();
    expect(again.deployments().map((one) => one.id)).toEqual(['7-2']);
    expect(again.deployment('7-2')?.workloads.find((one) => one.name === 'vm1')?.removal).toBe('asked for');
    expect(again.quarantined()).toMatchObject([{ table: 'workloads', key: '7-1 vm1', deployment: '7-1' }]);
    expect(again.knows(7, 1n)).toBe(false);
    works(again);
  });

  it.each([
    ['document', "UPDATE deployments SET document = '{' WHERE id = '7-1'"],
    ['signed workload', "UPDATE signed SET text = 'x' WHERE deployment = '7-1'"],
  ])('is set aside when its %s is asked for', (_, sql) => {
    const journal = two();
    change(sql);
    const record = journal.deployment('7-1');
    expect(() => [record?.document, record?.workloads[0]?.signed]).toThrow(/it is no JSON/);
    expect(journal.deployment('7-1')).toBeUndefined();
    expect(journal.quarantined()).toMatchObject([{ deployment: '7-1', reason: 'it is no JSON' }]);
    expect(journal.reservations()).toHaveLength(2);
    expect(journal.ledger.committed.memoryBytes).toBe(4 * 2 ** 40);
    works(journal);
  });

  it('is set aside when a write finds it, and that write is not', () => {
    const journal = two();
    change("UPDATE workloads SET state = 'great' WHERE deployment = '7-1' AND name = 'net1'");
    expect(() => journal.pause('7-1', true, 'p')).toThrow(/no state that is known/);
    expect(journal.deployment('7-1')).toBeUndefined();
    expect(journal.deployments()).toHaveLength(1);
    expect(journal.quarantined()).toMatchObject([{ deployment: '7-1' }]);
    works(journal);
  });

  it.each([
    ['changes', "UPDATE changes SET state = 'great' WHERE sequence = 2", (one: Journal) => one.changes('7-1')],
    ['steps', "UPDATE steps SET state = 'great' WHERE sequence = 1", (one: Journal) => one.steps('7-1')],
    ['history', "UPDATE history SET contract = '?'", (one: Journal) => one.history()],
    ['operations', "UPDATE operations SET kind = 'great' WHERE sequence = 1", (one: Journal) => one.operations()],
  ])('of %s is a line less, set aside by itself', (table, sql, read) => {
    const journal = two();
    journal.recordStep('7-1', { workload: 'vm1', step: 's', state: 'done', message: '', at: 1, trace: '' });
    works(journal);
    const before = (read(journal) as readonly unknown[]).length;
    change(sql);
    expect(read(journal)).toHaveLength(before - 1);
    expect(journal.quarantined()).toMatchObject([{ table }]);
    expect(read(journal)).toHaveLength(before - 1);
    expect(journal.quarantined()).toHaveLength(1);
    expect(journal.deployments()).toHaveLength(2);
  });
});

/** Whether each deployment runs on, or is named as set aside; never neither, and nothing runs with a part of it missing. */
function expectNoneForgotten(journal: Journal, count: number): { kept: number; aside: number } {
  const aside = new Set(journal.quarantined().map((one) => one.deployment));
  let kept = 0;
  for (let contract = 1; contract <= count; contract++) {
    const id = `${99 + contract}-${contract}`;
    const record = journal.deployment(id);
    if (record === undefined) {
      expect(aside, id).toContain(id);
      expect(journal.knows(99 + contract, BigInt(contract))).toBe(false);
      continue;
    }
    kept += 1;
    expect(record.workloads.map((one) => [one.name, one.state])).toEqual([
      ['net1', 'ok'],
      ['disk1', 'ok'],
      ['vm1', 'ok'],
    ]);
    expect(JSON.parse(record.document)).toMatchObject({ contract_id: contract });
    for (const one of record.workloads) expect(JSON.parse(one.signed)).toMatchObject({ name: one.name });
    const oks = journal.changes(id).filter((one) => one.state === 'ok');
    expect(oks.map((one) => one.workload).sort()).toEqual(['disk1', 'net1', 'vm1']);
  }
  return { kept, aside: aside.size };
}

/** Whoever reads the log learns whose records are damaged without a look into the table. */
function expectAllTold(journal: Journal): void {
  const text = JSON.stringify(told);
  for (const { deployment } of journal.quarantined()) {
    if (deployment !== '') expect(text).toContain(`"${deployment}"`);
  }
}

/** The file becomes one of an older schema. */
const OLDER: ReadonlyMap<number, string> = new Map([
  [
    2,
    `DROP INDEX operations_of; DROP TABLE operations; DROP TABLE quarantine;
     ALTER TABLE deployments DROP COLUMN paused; PRAGMA user_version = 2;`,
  ],
  [
    1,
    `DROP INDEX operations_of; DROP TABLE operations; DROP TABLE quarantine; DROP TABLE signed;
     ALTER TABLE deployments DROP COLUMN paused; ALTER TABLE workloads DROP COLUMN next_version;
     ALTER TABLE workloads DROP COLUMN next; PRAGMA user_version = 1;`,
  ],
]);

describe.each([...OLDER])('a damaged file of schema %d', { timeout: 120_000 }, (_, backwards) => {
  const COUNT = 60;

  it.each(['deployments', 'workloads', 'changes'])(
    'with any page of %s overwritten is taken over as a whole one is, but for what was on that page',
    (name) => {
      fillJournal(path, COUNT);
      const before = opened();
      // A pause, a removal and a cancel are under way.
      for (const one of before.deployment('100-1')?.workloads ?? [])
        before.finish('100-1', one.name, { state: 'paused' });
      before.decommission('101-2', 'vm1', 'too many crashes');
      before.cancel('102-3', 'contract not active on chain');
      closed();
      change(`${backwards} VACUUM`);
      const whole = readFileSync(path);
      const pages = pagesOf(name);
      expect(pages.length).toBeGreaterThan(2);
      let seen = 0;
      for (const page of pages) {
        writeFileSync(path, whole);
        overwrite(path, (page - 1) * PAGE_BYTES, new Uint8Array(PAGE_BYTES).fill(0xa5));
        told = [];
        const journal = opened();
        const aside = new Set(journal.quarantined().map((one) => one.deployment));
        expectAllTold(journal);
        for (let contract = 1; contract <= COUNT; contract++) {
          const id = `${99 + contract}-${contract}`;
          if (journal.deployment(id) === undefined) expect(aside, id).toContain(id);
        }
        // Nothing is said to be lost that such a file never had.
        const lost = journal.quarantined().filter(({ deployment }) => deployment === '');
        expect(lost.filter(({ table }) => table !== 'journal' && table !== name)).toEqual([]);
        const asked = (id: string): string[] => journal.pending(id).map(({ kind, reason }) => `${kind} ${reason}`);
        const [paused, removed, cancelled] = ['100-1', '101-2', '102-3'].map((id) => journal.deployment(id));
        if (paused !== undefined) expect(paused.paused).toBe(true);
        if (removed !== undefined) expect(asked('101-2')).toEqual(['decommission too many crashes']);
        if (cancelled !== undefined) expect(asked('102-3')).toEqual(['cancel contract not active on chain']);
        seen += [paused, removed, cancelled].filter((one) => one !== undefined).length;
        works(journal);
        closed();
        told = [];
        opened();
        expect(told).toEqual([]);
        closed();
        for (const file of readdirSync(folder)) rmSync(join(folder, file));
      }
      expect(seen).toBeGreaterThan(pages.length);
    },
    120_000,
  );
});

describe('a damaged file', { timeout: 120_000 }, () => {
  const COUNT = 60;
  const garbage = new Uint8Array(PAGE_BYTES).fill(0xa5);

  const asideOf = (): string[] => readdirSync(folder).filter((name) => /\.damaged-[^-]+-[^-]+-.*Z(-\d+)?$/.test(name));

  it.each([
    'deployments',
    'workloads',
    'signed',
    'changes',
    'steps',
    'operations',
    'sqlite_autoindex_deployments_1',
    'sqlite_autoindex_workloads_1',
    'changes_of',
    'one_ok',
  ])(
    'with any page of %s overwritten loses what was on that page, and says so',
    (name) => {
      fillJournal(path, COUNT);
      const whole = readFileSync(path);
      const pages = pagesOf(name);
      for (const page of [pages[0], pages.at(-1), pages[Math.floor(pages.length / 2)]]) {
        if (page === undefined) throw new Error('no page');
        writeFileSync(path, whole);
        overwrite(path, (page - 1) * PAGE_BYTES, garbage);
        const journal = opened();
        const { kept } = expectNoneForgotten(journal, COUNT);
        expectAllTold(journal);
        // The first page of a table is its root: of an index or a log nothing is needed.
        if (!['deployments', 'workloads', 'signed'].includes(name)) expect(kept).toBe(COUNT);
        else if (page !== pages[0]) expect(kept).toBeGreaterThan(COUNT / 4);
        expect(journal.quarantined()[0]).toMatchObject({ table: 'journal', deployment: '' });
        works(journal);
        const [aside] = asideOf();
        expect(journal.quarantined()[0]?.key).toBe(aside);
        const damaged = readFileSync(join(folder, aside ?? ''));
        expect(damaged.subarray((page - 1) * PAGE_BYTES, page * PAGE_BYTES).equals(garbage)).toBe(true);
        expect(statSync(path).mode & 0o077).toBe(0);
        closed();
        told = [];
        expect(opened().deployments()).toHaveLength(kept);
        expect(told).toEqual([]);
        closed();
        rmSync(join(folder, aside ?? ''));
      }
    },
    120_000,
  );

  it('of which rows stand in no order is read to its end, and not for ever', () => {
    fillJournal(path, 20);
    const bytes = readFileSync(path);
    const at = pagesOf('operations')
      .map((page) => (page - 1) * PAGE_BYTES)
      .find((offset) => bytes[offset] === TABLE_LEAF && bytes.readUInt16BE(offset + 3) > 4);
    if (at === undefined) throw new Error('no page holds operations');
    const cell = (index: number): number => at + 8 + 2 * index;
    // The number of the third row, behind the length of its record, is less than that of the first.
    let number = at + bytes.readUInt16BE(cell(2));
    while ((bytes[number] ?? 0) >= 0x80) number += 1;
    overwrite(path, number + 1, Uint8Array.of(0));
    // And the one behind it can not be read.
    overwrite(path, cell(3), Uint8Array.of(0xff, 0xff));
    const journal = opened();
    expectNoneForgotten(journal, 20);
    expect(journal.quarantined().filter(({ table }) => table === 'operations').length).toBeGreaterThan(0);
    works(journal);
  });

  it.each([
    ['a column has a name that cannot be asked for', 'accepted_at', 0xd4],
    ['a table refers to one that is not there', 'deployments(id) ON DELETE', 0x7a],
  ])('of which %s loses nothing', (_, text, byte) => {
    fillJournal(path, 20);
    const at = readFileSync(path).indexOf(text);
    expect(at).toBeGreaterThan(0);
    overwrite(path, at, Uint8Array.of(byte));
    const journal = opened();
    expect(expectNoneForgotten(journal, 20).kept).toBe(20);
    expect(journal.quarantined()).toMatchObject([{ table: 'journal' }]);
    works(journal);
  });

  it.each([
    ['read only', 18, [175]],
    ['of another encoding', 56, [0, 0, 0, 2]],
    ['of a far future', 60, [1, 0, 0, 3]],
    ['of another form', 44, [0, 0, 0, 1]],
  ])('whose header says that it is %s loses nothing', (_, at, bytes) => {
    fillJournal(path, 20);
    overwrite(path, at, Uint8Array.from(bytes));
    const journal = opened();
    expect(expectNoneForgotten(journal, 20).kept).toBe(20);
    expect(journal.quarantined()).toMatchObject([{ table: 'journal', reason: expect.stringContaining('header') }]);
    works(journal);
  });

  /** What the property below once met, and rarely meets. */
  const FOUND: [[number, Uint8Array][]][] = [
    [[[170_471, Uint8Array.of(0)]]],
    [[[35_849, Uint8Array.of(7)]]],
    [
      [
        [47_777, Uint8Array.of(15, 226, 32)],
        [217_278, Uint8Array.of(41, 42, 229, 239, 164, 21, 50, 19, 222, 172)],
        [31_487, Uint8Array.of(103, 27, 89, 150, 14, 30, 20, 4, 100, 237)],
      ],
    ],
  ];

  it('is never a reason not to start, whatever is overwritten where', () => {
    fillJournal(path, 20);
    const whole = readFileSync(path);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.uint8Array({ minLength: 1, maxLength: 600 })), {
          minLength: 1,
          maxLength: 4,
        }),
        (damages) => {
          writeFileSync(path, whole);
          for (const [at, bytes] of damages) overwrite(path, at, bytes.subarray(0, whole.length - at));
          const journal = opened();
          works(journal);
          closed();
          for (const name of readdirSync(folder)) rmSync(join(folder, name));
        },
      ),
      { numRuns: 60, endOnFailure: true, examples: FOUND },
    );
  }, 120_000);

  it.each([
    ['is no database', () => writeFileSync(path, 'these are no records at all\n'.repeat(1000))],
    ['is empty', () => truncateSync(path, 0)],
    ['is one page', () => truncateSync(path, PAGE_BYTES)],
    ['is cut in a page', () => truncateSync(path, 1000)],
  ])('that %s is kept beside an empty one, and that is told', (_, damage) => {
    fillJournal(path, 5);
    damage();
    const journal = opened();
    expect(journal.quarantined()[0]).toMatchObject({ table: 'journal', deployment: '' });
    expect(asideOf()).toHaveLength(1);
    expect(told).toHaveLength(1);
    expect(journal.knows(100, 1n)).toBe(false);
    works(journal);
  });

  it.each([
    ['zeros', 0],
    ['noise', 0xa5],
  ])('that begins with %s keeps all behind its first page', (_, filling) => {
    fillJournal(path, 5);
    overwrite(path, 0, Buffer.alloc(PAGE_BYTES, filling));
    const journal = opened();
    expect(journal.quarantined()).toMatchObject([{ table: 'journal', deployment: '' }]);
    expect(journal.deployments()).toHaveLength(5);
    expect(asideOf()).toHaveLength(1);
    works(journal);
  });

  it('that was cut in half keeps the half', () => {
    fillJournal(path, COUNT);
    truncateSync(path, Math.floor(statSync(path).size / 2 / PAGE_BYTES) * PAGE_BYTES);
    const journal = opened();
    expect(journal.quarantined()[0]).toMatchObject({ table: 'journal' });
    works(journal);
  });

  it('is noticed while the process runs: one call fails, then it goes on with what can be read', () => {
    fillJournal(path, 1000);
    const journal = opened();
    const before = journal.deployments();
    const pages = pagesOf('deployments');
    for (const page of pages.slice(400, 410)) overwrite(path, (page - 1) * PAGE_BYTES, garbage);
    const failed = before.filter((record) => {
      try {
        return record.document === '';
      } catch {
        return true;
      }
    });
    // The first one that met the damage, and then each that is lost.
    expect(failed.length).toBeGreaterThan(0);
    expect(failed.length).toBeLessThan(40);
    expect(journal.deployments().length).toBeGreaterThan(900);
    expect(journal.deployments().length).toBeLessThan(1000);
    expect(asideOf()).toHaveLength(1);
    works(journal);
    for (const { id, document } of journal.deployments()) expect(document, id).toContain('contract_id');
  });
});

describe('a damaged log of writes', () => {
  /** A journal with commits in its log alone, as a kill leaves it. */
  function killed(): void {
    const journal = two();
    for (const contract of [11n, 12n, 13n]) journal.accept(acceptance(contract));
    for (const part of ['', '-wal']) copyFileSync(`${path}${part}`, `${path}.copy${part}`);
    closed();
    for (const part of ['', '-wal']) {
      rmSync(`${path}${part}`, { force: true });
      copyFileSync(`${path}.copy${part}`, `${path}${part}`);
    }
  }

  it('that ends in the middle of a write is what a crash leaves: nothing is lost but that write', () => {
    killed();
    truncateSync(`${path}-wal`, statSync(`${path}-wal`).size - 2000);
    const journal = opened();
    expect(told).toEqual([]);
    expect(journal.deployments().map((one) => one.contract)).toEqual([1n, 2n, 11n, 12n]);
    works(journal);
  });

  it('with a wrong page before others lost commits: that is told, and what is left works on', () => {
    killed();
    const size = statSync(`${path}-wal`).size;
    overwrite(`${path}-wal`, size - 40 * 4120, new Uint8Array(16).fill(0xa5));
    const journal = opened();
    expect(told).toHaveLength(1);
    expect(journal.quarantined()[0]).toMatchObject({ table: 'journal' });
    expect(journal.quarantined()[0]?.reason).toMatch(/the log ends before \d+ transactions that were committed/);
    expect(journal.deployments().length).toBeLessThan(5);
    works(journal);
  });
});

it('an exchange that was cut short is finished by the next start', () => {
  fillJournal(path, 5);
  closed();
  const good = readFileSync(path);
  const time = '2026-01-02T03-04-05.000Z';
  // As after each change of names: salvaged but not in place, the old one half away, all of it away.
  const moments: (() => void)[] = [
    () => {
      writeFileSync(path, 'damaged');
      writeFileSync(`${path}-wal`, 'its log');
    },
    () => {
      writeFileSync(path, 'damaged');
      writeFileSync(`${path}.damaged-${time}-wal`, 'its log');
    },
    () => {
      writeFileSync(`${path}.damaged-${time}`, 'damaged');
      writeFileSync(`${path}.damaged-${time}-wal`, 'its log');
    },
  ];
  for (const moment of moments) {
    for (const name of readdirSync(dirname(path))) rmSync(join(folder, name));
    moment();
    writeFileSync(`${path}.salvaged-${time}`, good);
    expect(opened().deployments()).toHaveLength(5);
    expect(readFileSync(`${path}.damaged-${time}`, 'utf8')).toBe('damaged');
    expect(readFileSync(`${path}.damaged-${time}-wal`, 'utf8')).toBe('its log');
    expect(existsSync(`${path}.salvaged-${time}`)).toBe(false);
    closed();
  }
  writeFileSync(`${path}.making`, 'half');
  expect(opened().deployments()).toHaveLength(5);
  expect(basename(path)).toBe('journal.sqlite');
});
