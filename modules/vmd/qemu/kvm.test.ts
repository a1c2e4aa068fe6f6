import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { probeKvm, runProbe } from './kvm.ts';

const hasQemu = existsSync('/usr/bin/qemu-system-x86_64');
let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gn-kvm-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

it.skipIf(!hasQemu)(
  'reaches 64-bit code of the probe guest under software emulation',
  { timeout: 120_000 },
  async () => {
    // Its deadline is short, for a host where every guest hangs; a busy one may need more than one try.
    await expect.poll(() => runProbe('tcg', folder)).toEqual({ works: true, reason: 'a 64-bit guest ran' });
    expect(await readdir(folder)).toEqual([]);
  },
);

it.skipIf(!hasQemu || !existsSync('/dev/kvm'))(
  'decides within its deadline and keeps the finding of this boot',
  { timeout: 120_000 },
  async () => {
    const since = performance.now();
    const first = await probeKvm({ stateDir: folder });
    expect(performance.now() - since).toBeLessThan(20_000);
    expect(first.reason).not.toBe('');
    const path = join(folder, 'vmd/kvm.json');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const { mtimeMs } = await stat(path);
    expect(await probeKvm({ stateDir: folder })).toEqual(first);
    expect((await stat(path)).mtimeMs).toBe(mtimeMs);
    expect(await readFile(path, 'utf8')).toContain(String(first.works));
  },
);
