/** Two processes never work by the same journal. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { GridError } from '../../schemas/errors/index.ts';
import { lockJournal } from './lock.ts';

const MODULE = fileURLToPath(new URL('./lock.ts', import.meta.url));
/** Takes the lock and keeps it until it is killed. */
const KEEPER = `
import { lockJournal } from ${JSON.stringify(MODULE)};
lockJournal(process.argv[1]);
process.stdout.write('has it');
setInterval(() => undefined, 1000);
`;

let folder: string;
let path: string;
const keepers: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lock-'));
  path = join(folder, 'provisiond', 'journal.sqlite');
});

afterEach(async () => {
  for (const keeper of keepers.splice(0)) await kill(keeper);
  rmSync(folder, { recursive: true, force: true });
});

/** Resolves when the process has the lock. */
async function keeper(): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', KEEPER, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  keepers.push(child);
  if (child.stdout === null) throw new Error('it has no output');
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  expect(said.toString()).toBe('has it');
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

function refusal(): unknown {
  try {
    lockJournal(path).release();
    return undefined;
  } catch (error) {
    return error;
  }
}

it('is refused while another process lives, naming it, and is there at once when that is killed', async () => {
  const other = await keeper();
  const error = refusal();
  expect(error).toBeInstanceOf(GridError);
  expect(error).toMatchObject({ code: 'journal_in_use', details: { path, pid: other.pid } });
  await kill(other);
  const before = performance.now();
  lockJournal(path).release();
  // Whoever waits for the lock at all waits for seconds.
  expect(performance.now() - before).toBeLessThan(1_500);
});

it('waits for a process that is about to end', async () => {
  const other = await keeper();
  // In this process nothing else happens while it waits.
  const killer = spawn('sh', ['-c', `echo; sleep 0.3; kill -9 ${other.pid}`], { stdio: ['ignore', 'pipe', 'ignore'] });
  await once(killer.stdout, 'data');
  lockJournal(path).release();
  if (killer.exitCode === null) await once(killer, 'exit');
});

it('is no second time given in one process, and again after it was released', () => {
  const lock = lockJournal(path);
  expect(refusal()).toMatchObject({ details: { pid: process.pid } });
  lock.release();
  expect(refusal()).toBeUndefined();
  expect(statSync(`${path}.lock`).mode & 0o077).toBe(0);
});

it('holds, and comes, whatever is in the file', async () => {
  const other = await keeper();
  writeFileSync(`${path}.lock`, 'nonsense '.repeat(2000));
  expect(refusal()).toBeInstanceOf(Error);
  await kill(other);
  writeFileSync(`${path}.lock`, 'nonsense '.repeat(2000));
  expect(refusal()).toBeUndefined();
});
