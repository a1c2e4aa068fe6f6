import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { commands, workloadTypeNames } from './index.ts';
import { generatedFiles } from './publish/files.ts';

const root = join(import.meta.dirname, '..');
const files = generatedFiles();

describe('generated files', () => {
  for (const [path, text] of files) {
    it(`${path} is what \`npm run generate\` writes`, () => {
      expect(existsSync(join(root, path))).toBe(true);
      expect(readFileSync(join(root, path), 'utf8')).toBe(text);
    });
  }

  it.each([['schemas/json'], ['schemas/vectors', 'schemas/vectors/README.md'], ['docs/api']])(
    '%s has no file that nothing makes',
    (folder, written?: string) => {
      const found = readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
        .filter((path) => path !== written);
      expect(found.sort()).toEqual([...files.keys()].filter((path) => path.startsWith(`${folder}/`)).sort());
    },
  );

  it('are there for every command and workload type', () => {
    for (const { name } of commands) expect(files.has(`schemas/json/commands/${name}.schema.json`)).toBe(true);
    for (const name of workloadTypeNames) expect(files.has(`schemas/json/workloads/${name}.schema.json`)).toBe(true);
  });
});
