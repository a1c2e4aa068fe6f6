import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { LONG_AND_SMALL } from '../longest-first.ts';

it('puts files first that are there', () => {
  const top = join(import.meta.dirname, '..', '..');
  expect(LONG_AND_SMALL.filter((name) => !existsSync(join(top, name)))).toEqual([]);
});
