/** The page of weaknesses and the tests agree. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** Numbers of weaknesses that begin a name of the file's tests. */
function held(path: string): Set<string> {
  return new Set([...read(path).matchAll(/\(\s*['"`](W\d+): /g)].map(([, number = '']) => number));
}

it('every weakness has tests that are named after it, and the page names them all', () => {
  const rows = [...read('docs/weaknesses.md').matchAll(/^\| (W\d+) \|.*\| ([^|]+) \|$/gm)];
  const told = new Map(rows.map(([, number = '', tests = '']) => [number, tests.match(/[\w/.-]+\.test\.ts/g) ?? []]));
  expect([...told.keys()]).toEqual(Array.from({ length: 29 }, (_, index) => `W${index + 1}`));
  for (const [number, paths] of told) {
    expect(paths, number).not.toEqual([]);
    for (const path of paths) expect([...held(path)], `${number} in ${path}`).toContain(number);
  }
});
