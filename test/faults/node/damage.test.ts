/** One value or one page of the journal is damaged: it is set aside by name, and the rest of the node works on. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { tryAll } from './damage-runs.ts';

/** Of the values; pages are few, and all of them are tried. */
const DAMAGES = 80;

it.each([
  ['value', / in [a-z]+\./, DAMAGES],
  ['page', / in page /, Number.POSITIVE_INFINITY],
])(
  'takes nothing from a tenant, counts all that stands and works on, whichever %s is damaged',
  {
    timeout: 240_000,
  },
  async (_, kind, most) => {
    const folder = mkdtempSync(join(tmpdir(), 'gn-damage-'));
    try {
      const { tried, failures } = await tryAll(folder, ({ name }) => kind.test(name), most);
      expect(failures).toEqual([]);
      expect(tried).toBeGreaterThanOrEqual(Math.min(most, 30));
      expect(tried).toBeLessThanOrEqual(most);
    } finally {
      rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
    }
  },
);
