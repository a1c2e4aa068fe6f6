import { execFile, spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { isRoot } from './test-node.ts';

const gridnode = join(import.meta.dirname, '..', '..', 'gridnode');
const run = promisify(execFile);
const parent = '/var/lib/gridnode';
const demos = async (): Promise<string[]> =>
  (await readdir(parent).catch(() => [])).filter((name) => name.startsWith('demo-'));

describe.skipIf(!isRoot)('gridnode demo', () => {
  it('runs a machine, shows its page, and leaves nothing', { timeout: 180_000 }, async () => {
    const before = await demos();
    const { stdout } = await run(gridnode, ['demo', '--json', '--accel', 'tcg'], { timeout: 170_000 });
    const result = JSON.parse(stdout);
    expect(result.page).toContain('<h1>Hello from a machine on gridnode</h1>');
    expect(result.page).toMatch(/disk: \/dev\/vd\w \/data \w+, \d+ KiB, holds: written by the machine/);
    expect(result.left).toEqual([]);
    expect(result.leaks).toBe(0);
    const { before: first, during, after } = result.capacity;
    expect(during.committed.mru - first.committed.mru).toBe(256 * 1024 ** 2);
    expect(during.committed.sru - first.committed.sru).toBe((256 + 500) * 1024 ** 2);
    expect(after).toEqual(first);
    const names = result.stages.map((stage: { stage: string }) => stage.stage);
    expect(names).toEqual(
      expect.arrayContaining([
        'chain',
        'daemons',
        'flist',
        'node contract',
        'deploy',
        'machine',
        'page',
        'cancel',
        'clean up',
      ]),
    );
    expect(await demos()).toEqual(before);
  });

  it.each([400, 2500, 6000])('interrupted after %i ms it takes everything away', { timeout: 120_000 }, async (ms) => {
    const before = await demos();
    const child = spawn(gridnode, ['demo', '--json', '--accel', 'tcg'], { stdio: ['ignore', 'ignore', 'pipe'] });
    let words = '';
    child.stderr.on('data', (chunk: Buffer) => {
      words += chunk.toString();
    });
    const ended = new Promise<number | null>((resolve) => child.on('close', (code) => resolve(code)));
    await sleep(ms);
    child.kill('SIGINT');
    // Before the command line was read the signal ends the process itself: nothing was started yet.
    const code = await ended;
    expect([1, null], words).toContain(code);
    if (code === 1) expect(words).toContain('interrupted');
    expect(await demos()).toEqual(before);
  });
});
