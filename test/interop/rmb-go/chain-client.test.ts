/** The Go chain client's own tests, unmodified, against the development chain. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../../../modules/host/run.ts';
import { buildChainTests, hasGo } from './build.ts';

// They know no other address than port 9944 of loopback, so they get a loopback of their own.
const able = hasGo && process.getuid?.() === 0 && existsSync('/usr/bin/unshare');
let folder = '';
let binary = '';

beforeAll(async () => {
  if (!able) return;
  folder = await mkdtemp(join(tmpdir(), 'gn-gochain-'));
  binary = join(folder, 'chain.test');
  await buildChainTests(binary);
}, 450_000);

afterAll(async () => {
  if (folder !== '') await rm(folder, { recursive: true, force: true });
});

describe.skipIf(!able)('the Go chain client', () => {
  it('passes its own tests on the development chain', { timeout: 150_000 }, async () => {
    const script = join(import.meta.dirname, 'chain-scenario.ts');
    const { stdout } = await run('unshare', ['--net', '--', process.execPath, script, binary], { deadlineMs: 140_000 });
    const passed = [...stdout.matchAll(/^--- PASS: (\w+)/gm)].map(([, name]) => name);
    expect(stdout).not.toContain('--- FAIL');
    for (const name of ['TestTwin', 'TestNodeContract', 'TestCreateBatch', 'TestEventsTypes', 'TestUptimeReportV2']) {
      expect(passed).toContain(name);
    }
    expect(passed.length).toBeGreaterThanOrEqual(20);
  });
});
