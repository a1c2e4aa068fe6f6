import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { run } from '../../modules/host/run.ts';
import { saveConfig } from './config.ts';
import { type Layout, layoutOf } from './layout.ts';
import { stopNode } from './lifecycle.ts';
import { checkEmpty, checkNodeFolder, removeFolder } from './ownership.ts';
import { startNode } from './start.ts';
import { simulatedConfig } from './testing/simulated-config.ts';

/** A command that refuses takes a second; a busy machine makes it many. */
const COMMAND_MS = 90_000;

const isRoot = process.getuid?.() === 0;
const main = join(import.meta.dirname, '../main.ts');

describe('a state folder', { timeout: 6 * COMMAND_MS }, () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gn-own-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const gridnode = (...args: string[]) => run(process.execPath, [main, ...args], { deadlineMs: COMMAND_MS });

  it.skipIf(!isRoot)('of another user, or open to others, is not used', async () => {
    await chown(folder, 12_345, 12_345);
    expect(() => layoutOf(folder)).toThrow('belongs to user 12345, not to you (0)');
    await chown(folder, 0, 0);
    await chmod(folder, 0o777);
    expect(() => layoutOf(folder)).toThrow(/mode 777: others may write/);
    await chmod(folder, 0o755);
    expect(layoutOf(folder).state).toBe(folder);
  });

  it.skipIf(!isRoot)('with other things in it is neither started in nor removed', async () => {
    const letter = join(folder, 'letter');
    await writeFile(letter, 'mine');
    const layout: Layout = layoutOf(folder);
    const wishes = {
      isolated: true,
      poolSize: 0,
      devices: [],
      accel: 'tcg',
      flistFolder: null,
      logLevel: 'info',
    } as const;
    const start = startNode(layout, wishes, (_stage, work) => work(() => undefined), AbortSignal.timeout(5000));
    await expect(start).rejects.toThrow("is no node's folder: it holds letter");
    await expect(stopNode(layout, { purge: true })).rejects.toThrow("is no node's folder");
    await expect(gridnode('down', '--purge', '--state', folder)).rejects.toThrow("is no node's folder");
    await expect(gridnode('demo', '--state', folder)).rejects.toThrow('is not empty');
    expect(existsSync(letter)).toBe(true);
  });

  it.skipIf(!isRoot)('of a node is not a demo’s', async () => {
    await writeFile(join(folder, 'node.json'), '{}');
    expect(() => checkEmpty(folder)).toThrow('holds a node');
    await expect(gridnode('demo', '--state', folder)).rejects.toThrow('holds a node');
    expect(existsSync(join(folder, 'node.json'))).toBe(true);
    checkNodeFolder(folder);
  });

  it.skipIf(!isRoot)('that is a mount point is emptied and stays, with what is the file system’s', async () => {
    const place = join(folder, 'node');
    await mkdir(place);
    await run('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=700', 'gn-own', place], { deadlineMs: 10_000 });
    try {
      await mkdir(join(place, 'lost+found'));
      checkNodeFolder(place);
      await mkdir(join(place, 'keys'));
      await writeFile(join(place, 'keys', 'node.json'), '{}');
      await saveConfig(layoutOf(place), simulatedConfig);
      const { stdout } = await gridnode('down', '--purge', '--state', place);
      expect(stdout).toBe(`${place} is empty and stays: it is a mount point\n`);
      expect(await readdir(place)).toEqual(['lost+found']);
    } finally {
      await run('umount', [place], { deadlineMs: 10_000 });
    }
  });

  it.skipIf(!isRoot)('keeps the name of what would not go', async () => {
    const held = join(folder, 'pools');
    await mkdir(held);
    await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'gn-own', held], { deadlineMs: 10_000 });
    try {
      await expect(removeFolder(folder)).rejects.toThrow(`${held} would not go: it is mounted or in use`);
    } finally {
      await run('umount', [held], { deadlineMs: 10_000 });
    }
    expect(await removeFolder(folder)).toBeUndefined();
    expect(existsSync(folder)).toBe(false);
  });

  it('of a simulated node names the command that starts it', async () => {
    await saveConfig(layoutOf(folder), simulatedConfig);
    const start = `gridnode up --simulate --background --state ${folder}`;
    await expect(gridnode('up', '--state', folder)).rejects.toThrow(`holds a simulated node; start it with: ${start}`);
    await expect(gridnode('capacity', '--state', folder)).rejects.toThrow(`is stopped; start it with: ${start}`);
  });

  it('with what a broken start leaves can be purged', async () => {
    for (const name of ['guest', 'zinit', 'run']) await mkdir(join(folder, name));
    checkNodeFolder(folder);
  });
});
