import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { generatedFiles } from './generate.ts';
import { commands, workloadTypeNames } from './index.ts';

const root = join(import.meta.dirname, '..');
const files = generatedFiles();
const read = (path: string) => JSON.parse(files.get(path) as string);
// Formats only describe here; patterns check.
const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, validateFormats: false });

interface Vector {
  name: string;
  kind?: string;
  deployment: { workloads: { type: string; data: unknown; result?: { state?: string } }[] };
  expect?: { ok?: true; error?: string };
}
const vectors = JSON.parse(readFileSync(join(root, 'test/vectors/deployment.json'), 'utf8')) as {
  cases: Vector[];
  edge_cases: Vector[];
};

describe('generated files', () => {
  for (const [path, text] of files) {
    it(`${path} is what \`npm run generate\` writes`, () => {
      expect(existsSync(join(root, path))).toBe(true);
      expect(readFileSync(join(root, path), 'utf8')).toBe(text);
    });
  }

  it('has no file that nothing makes', () => {
    const found = readdirSync(join(root, 'schemas/json'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
    expect(found.sort()).toEqual([...files.keys()].filter((path) => path.startsWith('schemas/json/')).sort());
  });

  it('is JSON Schema 2020-12', () => {
    for (const path of files.keys()) if (path.endsWith('.json')) ajv.compile(read(path));
    expect(files.has('schemas/json/deployment.json')).toBe(true);
    for (const { name } of commands) expect(files.has(`schemas/json/commands/${name}.json`)).toBe(true);
    for (const name of workloadTypeNames) expect(files.has(`schemas/json/workloads/${name}.json`)).toBe(true);
  });
});

describe('the deployment schema', () => {
  const deployment = ajv.compile(read('schemas/json/deployment.json'));

  it.each(vectors.cases)('accepts $name', (vector) => {
    expect(deployment(vector.deployment), JSON.stringify(deployment.errors)).toBe(true);
    for (const { type, data } of vector.deployment.workloads) {
      expect(ajv.validate(read(`schemas/json/workloads/${type}.json`), data)).toBe(true);
    }
  });

  it.each(vectors.edge_cases.filter((edge) => edge.kind === 'valid' && edge.expect?.ok))('accepts $name', (edge) => {
    expect(deployment(edge.deployment), JSON.stringify(deployment.errors)).toBe(true);
  });

  it.each(['zmount_size_float', 'vm_cpu_256', 'mycelium_not_hex', 'type_unknown'])('refuses %s', (name) => {
    const edge = vectors.edge_cases.find((known) => known.name === name);
    expect(edge).toBeDefined();
    expect(deployment(edge?.deployment)).toBe(false);
  });
});
