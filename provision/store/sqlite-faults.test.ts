/** The disk fails in the middle of a transaction: nothing of it is there, in the file or in memory. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { acceptance, clock, revision } from '../testing/journal.ts';
import type { Journal } from './journal.ts';
import { SqliteJournal } from './sqlite.ts';

let folder: string;
let path: string;
let journal: SqliteJournal;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'journal-'));
  path = join(folder, 'journal.sqlite');
  journal = new SqliteJournal(path, { now: clock() });
});

afterEach(() => {
  journal.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Each write with the statements that it is made of. */
const writes = {
  accept: {
    act: (one: Journal) => one.accept(acceptance(2n)),
    of: [
      ...['INSERT ON deployments', 'INSERT ON workloads', 'INSERT ON signed', 'INSERT ON changes'],
      'INSERT ON operations',
    ],
  },
  revise: {
    act: (one: Journal) => one.revise(revision(1n, 2, ['vm1', 'new'], ['net1'])),
    of: [
      ...['UPDATE ON deployments', 'UPDATE ON workloads', 'INSERT ON workloads'],
      ...['INSERT ON signed', 'INSERT ON changes', 'UPDATE ON operations', 'INSERT ON operations'],
    ],
  },
  finish: {
    act: (one: Journal) => one.finish('7-1', 'vm1', { state: 'paused' }),
    of: ['UPDATE ON workloads', 'INSERT ON changes'],
  },
  settle: {
    act: (one: Journal) => one.settle('7-1', 'net1', { state: 'ok', data: '2' }),
    of: ['UPDATE ON workloads', 'INSERT ON changes'],
  },
  decommission: {
    act: (one: Journal) => one.decommission('7-1', 'net1', 'd'),
    of: ['UPDATE ON workloads', 'INSERT ON changes', 'INSERT ON operations'],
  },
  cancel: {
    act: (one: Journal) => one.cancel('7-1', 'c'),
    of: [
      ...['UPDATE ON deployments', 'UPDATE ON workloads', 'INSERT ON changes', 'UPDATE ON operations'],
      'INSERT ON operations',
    ],
  },
  pause: {
    act: (one: Journal) => one.pause('7-1', true, 'p'),
    of: ['UPDATE ON deployments', 'INSERT ON operations'],
  },
  restoring: { act: (one: Journal) => one.restoring('7-1', 't'), of: ['INSERT ON operations'] },
  begin: { act: (one: Journal) => one.begin('7-1'), of: ['UPDATE ON operations'] },
  end: { act: (one: Journal) => one.end('7-4', 'parked', 'e'), of: ['UPDATE ON operations'] },
  release: {
    act: (one: Journal) => one.release('7-3', 'vm1'),
    of: ['UPDATE ON workloads', 'INSERT ON changes'],
  },
  tombstone: {
    act: (one: Journal) => one.tombstone('7-3'),
    of: ['INSERT ON history', 'DELETE ON deployments', 'UPDATE ON operations'],
  },
};

/** A deployment with a change under way, one that is on its way out, one that is parked and tried again. */
function fill(): void {
  for (const contract of [1n, 3n]) {
    journal.accept(acceptance(contract));
    for (const name of ['net1', 'vm1']) journal.finish(`7-${contract}`, name, { state: 'ok', data: '1' });
  }
  journal.revise(revision(1n, 1, ['net1']));
  journal.cancel('7-3', 'c');
  journal.accept(acceptance(4n));
}

function seen(one: Journal): unknown {
  const ids = ['7-1', '7-2', '7-3'];
  const operations = one.operations().map(({ crashes: _, state, ...rest }) => ({
    ...rest,
    state: state === 'running' ? 'queued' : state,
  }));
  const unfinished = one.unfinished().map(({ id }) => id);
  return [
    one.deployments(),
    one.reservations(),
    one.history(),
    ids.map((id) => one.changes(id)),
    operations,
    unfinished,
  ];
}

describe.each(['ABORT', 'ROLLBACK'])('a disk that fails with %s', (how) => {
  it.each(Object.keys(writes) as (keyof typeof writes)[])('leaves nothing of %s, at whatever statement', (name) => {
    fill();
    if (name === 'end') journal.begin('7-4');
    if (name === 'tombstone') for (const workload of ['vm1', 'net1']) journal.release('7-3', workload);
    const before = seen(journal);
    const { act, of } = writes[name];
    const disk = new DatabaseSync(path);
    for (const statement of of) {
      for (const when of ['BEFORE', 'AFTER']) {
        disk.exec(
          `CREATE TRIGGER fault ${when} ${statement} BEGIN SELECT RAISE(${how}, 'database or disk is full'); END`,
        );
        expect(() => act(journal), `${when} ${statement}`).toThrow('database or disk is full');
        disk.exec('DROP TRIGGER fault');
        expect(seen(journal)).toEqual(before);
        const again = new SqliteJournal(path, { now: clock() });
        expect(seen(again)).toEqual(before);
        again.close();
        // To the next process it was cut short; this one still runs it.
        if (name === 'end') disk.exec("UPDATE operations SET state = 'running' WHERE deployment = '7-4'");
      }
    }
    disk.close();
    act(journal);
    expect(seen(journal)).not.toEqual(before);
  });
});
