import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ZinitClient } from './control.ts';
import { LOG_LIMIT_BYTES, UnitLog } from './log.ts';
import { isAlive, killGroup, markProcess, type ProcessMark } from './process.ts';

const MIB = 1024 * 1024;

/** Fills a small file system to its last byte. */
function fill(folder: string): void {
  for (const size of [MIB, 4096, 1]) {
    for (let number = 0; ; number += 1) {
      try {
        writeFileSync(join(folder, `ballast-${size}-${number}`), Buffer.alloc(size));
      } catch {
        break;
      }
      if (number > 4096) throw new Error('the file system does not fill up');
    }
  }
}

describe.skipIf(process.getuid?.() !== 0)('on a full disk', () => {
  let disk: string;
  let supervisor: ChildProcess | undefined;
  let steady: ProcessMark | undefined;

  const mount = (options: string) => execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', disk]);

  beforeEach(async () => {
    disk = await mkdtemp(join(tmpdir(), 'gn-zinit-full-'));
  });
  afterEach(async () => {
    if (supervisor?.exitCode === null && supervisor.signalCode === null) {
      supervisor.kill('SIGTERM');
      await once(supervisor, 'exit');
    }
    if (steady !== undefined && isAlive(steady)) killGroup(steady.pid);
    supervisor = undefined;
    steady = undefined;
    execFileSync('umount', ['--lazy', disk]);
    await rm(disk, { recursive: true });
  });

  it('the supervisor goes on, and its units are started again', { timeout: 90_000 }, async () => {
    mount('size=2m');
    await mkdir(join(disk, 'zinit'));
    await mkdir(join(disk, 'log'));
    const restless = `exec: sh -c 'echo started; sleep 0.1; exit 1'\n`;
    await writeFile(join(disk, 'zinit/restless.yaml'), restless);
    await writeFile(join(disk, 'zinit/steady.yaml'), `exec: sleep 1000\n`);
    const log = openSync(join(disk, 'log/zinit.log'), 'a');
    const main = join(import.meta.dirname, 'main.ts');
    supervisor = spawn(process.execPath, [main, '--state', disk], { stdio: ['ignore', log, log] });
    closeSync(log);
    const client = new ZinitClient(join(disk, 'zinit.sock'));
    const restarts = async (): Promise<number> =>
      (await client.status('restless').catch(() => undefined))?.restarts ?? -1;
    const until = async (count: number): Promise<void> => {
      const deadline = Date.now() + 20_000;
      while ((await restarts()) < count) {
        if (Date.now() > deadline || supervisor?.exitCode !== null) break;
        await sleep(50);
      }
      const words = await readFile(join(disk, 'log/zinit.log'), 'utf8');
      expect(supervisor?.exitCode, words.slice(-2000)).toBeNull();
      expect(await restarts()).toBeGreaterThanOrEqual(count);
    };
    await until(1);
    const first = (await client.status('steady')).pid as number;
    steady = markProcess(first);
    fill(disk);
    await until((await restarts()) + 2);
    await client.kill('steady', 'SIGKILL');
    const started = async (): Promise<number | undefined> => {
      const { pid, state } = await client.status('steady');
      return state === 'running' && pid !== first ? pid : undefined;
    };
    await expect.poll(started).toBeDefined();
    steady = markProcess((await started()) as number);
    await client.stop('steady');
    expect((await client.status('steady')).state).toBe('stopped');
  });

  it('a log that cannot turn its file drops words and nothing else, and goes on later', async () => {
    mount('size=64m,nr_inodes=24');
    const path = join(disk, 'unit.log');
    const log = new UnitLog(path);
    log.write(Buffer.alloc(LOG_LIMIT_BYTES - 10, 'a'));
    for (let number = 0; number < 100; number += 1) {
      try {
        writeFileSync(join(disk, `node-${number}`), '');
      } catch {
        break;
      }
    }
    // Whatever descriptor the log gives up would be this file's.
    log.write(Buffer.alloc(100, 'b'));
    const other = openSync(join(disk, 'node-0'), 'a');
    log.write(Buffer.alloc(100, 'c'));
    expect(statSync(join(disk, 'node-0')).size).toBe(0);
    closeSync(other);
    for (const name of readdirSync(disk)) if (name.startsWith('node-')) await rm(join(disk, name));
    log.write('d');
    expect(await readFile(path, 'utf8')).toBe('d');
    log.close();
  });
});
