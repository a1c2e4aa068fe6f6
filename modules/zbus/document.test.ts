import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { documentPages } from './document.ts';

it('docs/zbus says what the interfaces say; run `node modules/zbus/document.ts` if not', async () => {
  const root = join(import.meta.dirname, '..', '..');
  const folder = join(root, 'docs', 'zbus');
  const pages = await documentPages(root);
  expect(readdirSync(folder).sort()).toEqual([...pages.keys()].sort());
  for (const [name, text] of pages) expect(readFileSync(join(folder, name), 'utf8')).toBe(text);
});
