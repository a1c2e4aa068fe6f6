import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { run } from '../host/run.ts';
import { CONSOLE_READER, consoleReaderArguments, consoleTail } from './console.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gn-con-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

it('keeps the newest bytes in order, within the bound, and ends with its input', async () => {
  const file = join(folder, 'log');
  const pipe = join(folder, 'pipe');
  await run('mkfifo', [pipe], { deadlineMs: 2000 });
  const limit = 10_000;
  const reader = spawn(CONSOLE_READER, consoleReaderArguments(file, pipe, limit), { stdio: 'ignore' });
  const exited = once(reader, 'exit');
  try {
    const writer = await open(pipe, 'w');
    const lines = Array.from({ length: 4000 }, (_, index) => `line ${index}\n`);
    for (let at = 0; at < lines.length; at += 40) await writer.write(lines.slice(at, at + 40).join(''));
    await writer.close();
    expect(await exited).toEqual([0, null]);
    const all = lines.join('');
    const kept = (await readFile(`${file}.0`, 'utf8')) + (await readFile(file, 'utf8'));
    expect(all.endsWith(kept)).toBe(true);
    expect(kept.length).toBeGreaterThan(limit / 2);
    for (const path of [file, `${file}.0`]) {
      const stats = await stat(path);
      expect(stats.size).toBeLessThanOrEqual(limit);
      expect(stats.mode & 0o777).toBe(0o600);
    }
    expect(await consoleTail(file, 100)).toBe(all.slice(-100));
    expect(await consoleTail(file, kept.length)).toBe(kept);
  } finally {
    reader.kill('SIGKILL');
  }
});

it('says nothing where there is no log', async () => {
  expect(await consoleTail(join(folder, 'none'), 100)).toBeUndefined();
});
