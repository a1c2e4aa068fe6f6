import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const run = promisify(execFile);
const here = import.meta.dirname;
const node = (file: string, ...args: string[]) => run(process.execPath, [join(here, file), ...args]);

describe('examples', { timeout: 90_000 }, () => {
  it('inspects the deployment beside it', async () => {
    const { stdout } = await node('inspect-deployment.ts', join(here, 'deployments', 'vm.json'));
    const result = JSON.parse(stdout);
    expect(result.hash).toMatch(/^[0-9a-f]{32}$/);
    expect(result.needs).toEqual({
      cru: 2,
      mru: 2 * 1024 ** 3,
      sru: 10 * 1024 ** 3 + 500 * 1024 ** 2,
      hru: 0,
      ipv4u: 0,
    });
    const hashed = await run(process.execPath, [
      join(here, '..', 'cli', 'main.ts'),
      'hash',
      join(here, 'deployments', 'vm.json'),
    ]);
    expect(hashed.stdout.trim()).toBe(result.hash);
  });

  it('says what is wrong with a broken one', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'gn-example-'));
    try {
      const file = join(folder, 'broken.json');
      await writeFile(file, '{"workloads":[{"name":"ygg","type":"zmount","data":{"size":1}}]}');
      await expect(node('inspect-deployment.ts', file)).rejects.toMatchObject({
        stderr: expect.stringContaining("'ygg'"),
      });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
