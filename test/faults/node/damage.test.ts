/** One value of the journal is damaged: it is set aside by name, and the rest of the node works on. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { tryAll } from './damage-runs.ts';

const DAMAGES = 80;
/** By hand, with `test/faults/damage/run.ts`: docs/faults.md says what of it does not hold. */
const NOT_HERE = / in page |beyond all bounds|workloads\.(removal|held|deployment)|deployments\.id/;

it('takes nothing from a tenant, counts all that stands and works on, whichever value is damaged', {
  timeout: 240_000,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'gn-damage-'));
  try {
    const { tried, failures } = await tryAll(folder, ({ name }) => !NOT_HERE.test(name), DAMAGES);
    expect(failures).toEqual([]);
    expect(tried).toBe(DAMAGES);
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
});
