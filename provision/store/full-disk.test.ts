/** The disk is full: nothing of a write is there, in the file or in memory; with room again all goes on. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { isGridError } from '../../schemas/errors/index.ts';
import { acceptance } from '../testing/journal.ts';
import type { Journal } from './journal.ts';
import { SqliteJournal } from './sqlite.ts';

let folder: string;
let path: string;
let journal: SqliteJournal;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'journal-full-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=0700', 'journal', folder]);
  path = join(folder, 'journal.sqlite');
  journal = new SqliteJournal(path);
});

afterEach(() => {
  journal.close();
  execFileSync('umount', [folder]);
  rmSync(folder, { recursive: true });
});

/** Takes what is left of the disk. */
function fillUp(): void {
  for (const bytes of [1 << 16, 1 << 12, 1]) {
    for (let n = 0; ; n++) {
      try {
        writeFileSync(join(folder, `filler-${bytes}-${n}`), new Uint8Array(bytes));
      } catch {
        break;
      }
      if (bytes === 1 && n > 4096) throw new Error('the disk is never full');
    }
  }
}

function makeRoom(): void {
  execFileSync('sh', ['-c', 'rm -f "$0"/filler-*', folder]);
}

function seen(one: Journal): unknown {
  const operations = one.operations().map(({ state: _, crashes: _c, ...rest }) => rest);
  return [one.deployments(), one.reservations(), operations, one.history(), one.changes('7-1')];
}

it.runIf(process.getuid?.() === 0)('refuses what is asked, fails what the engine writes, and goes on with room', () => {
  const { id } = journal.accept(acceptance(1n));
  journal.begin(id);
  fillUp();
  // What the log has room for still is written, whole.
  let contract = 2n;
  let refused: unknown;
  for (; contract < 2_000n && refused === undefined; contract++) {
    try {
      journal.accept({ ...acceptance(contract), document: JSON.stringify('x'.repeat(8000)) });
    } catch (error) {
      refused = error;
    }
  }
  expect(isGridError(refused) && refused.code).toBe('journal_unwritable');
  expect(refused).toMatchObject({ retryable: true, details: { reason: expect.stringMatching(/full|I\/O/) as string } });
  const before = structuredClone(seen(journal));
  const failures: string[] = [];
  // Lines for people are lost without a word to who writes them.
  const line = { workload: 'vm1', step: 's', state: 'done', message: 'm'.repeat(9000), at: 1, trace: '' } as const;
  journal.recordStep(id, line);
  expect(journal.steps(id)).toEqual([]);
  for (const act of [
    () => journal.finish(id, 'vm1', { state: 'ok', data: JSON.stringify('d'.repeat(9000)) }),
    () => journal.end(id, 'failed', 'e'.repeat(9000)),
  ]) {
    try {
      act();
    } catch (error) {
      // A lane takes an error of the grid for the workload's own end.
      expect(isGridError(error)).toBe(false);
      failures.push((error as Error).message);
    }
  }
  expect(failures).toHaveLength(2);
  expect(() => journal.cancel(id, 'c'.repeat(9000))).toThrow(/could not write its journal/);
  expect(seen(journal)).toEqual(before);
  expect(journal.deployment(`7-${contract - 1n}`)).toBeUndefined();
  makeRoom();
  const again = new SqliteJournal(path);
  expect(seen(again)).toEqual(before);
  again.close();
  journal.accept(acceptance(contract));
  expect(journal.finish(id, 'vm1', { state: 'ok', data: '{}' })).toBe(true);
  expect(journal.quarantined()).toEqual([]);
});

it.runIf(process.getuid?.() === 0)('starts, and keeps apart what is damaged, also before there is room', () => {
  for (const contract of [1n, 2n]) journal.accept(acceptance(contract));
  journal.begin('7-2');
  const disk = new DatabaseSync(path);
  disk.exec("UPDATE workloads SET state = 'great' WHERE deployment = '7-1'; PRAGMA wal_checkpoint(TRUNCATE)");
  fillUp();
  const again = new SqliteJournal(path);
  expect(again.deployments().map((one) => one.id)).toEqual(['7-2']);
  expect(again.reservations()).toHaveLength(2);
  expect(again.knows(7, 1n)).toBe(false);
  expect(() => again.accept(acceptance(1n))).toThrow(/was set aside/);
  again.close();
  makeRoom();
  const third = new SqliteJournal(path);
  expect(third.quarantined().map((one) => one.deployment)).toContain('7-1');
  expect(third.operations('7-2')).toMatchObject([{ state: 'queued', crashes: 1 }]);
  third.close();
  disk.close();
});
