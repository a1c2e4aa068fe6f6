/** The Go clients that `gridnode zbus generate` prints, compiled with the real library. */
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { catalogue, fullName } from '../../../cli/zbus/catalogue.ts';
import { goStub } from '../../../cli/zbus/stub-go.ts';
import { run } from '../../../modules/host/run.ts';
import { BUILD_DEADLINE_MS, go, hasGo } from './build.ts';

describe.skipIf(!hasGo)('printed Go clients', { timeout: BUILD_DEADLINE_MS }, () => {
  let folder: string;
  const files: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gn-stubs-'));
    for (const file of ['go.mod', 'go.sum']) await copyFile(join(import.meta.dirname, file), join(folder, file));
    for (const definition of await catalogue()) {
      const file = join(folder, fullName(definition).replaceAll(/[^a-z]/g, ''), 'client.go');
      await mkdir(join(file, '..'));
      await writeFile(file, goStub(definition));
      files.push(file);
    }
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('of every interface compile with the library, and vet has nothing to say', async () => {
    expect(files.length).toBeGreaterThanOrEqual(18);
    await go(['vet', './...'], folder);
  });

  it('have peers printed from the interfaces of the library as it is', async () => {
    const generated = join(import.meta.dirname, 'internal/objects/generated.go');
    expect(await go(['run', './cmd/objects'])).toBe(await readFile(generated, 'utf8'));
  });

  it('are formatted as gofmt does it', async () => {
    expect((await run('gofmt', ['-l', ...files], { deadlineMs: BUILD_DEADLINE_MS })).stdout).toBe('');
  });
});
