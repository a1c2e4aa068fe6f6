/** What this node and its clients write is of the `types` form, and commands read what their schema says. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Deployment } from '../deployment.ts';
import { aboutOf, encode } from '../gojson/codec.ts';
import {
  commands,
  formatDeployment,
  isGridError,
  nothing,
  parseDeployment,
  parseInput,
  workloadType,
} from '../index.ts';
import { loadData } from '../validate.ts';
import type { JsonSchema } from './json-schema.ts';
import { ajv, schemas, validator } from './published.ts';

const { cases, edge_cases } = JSON.parse(
  readFileSync(new URL('../../test/vectors/deployment.json', import.meta.url), 'utf8'),
) as Record<'cases' | 'edge_cases', { name: string; deployment: object; expect?: { ok?: true } }[]>;
const accepted = [...cases, ...edge_cases.filter(({ expect: expected }) => expected?.ok)];

describe('what is written', () => {
  const isWritten = validator('types');

  it.each(accepted)('of $name is of the form for generators', ({ deployment: sent }) => {
    const deployment = parseDeployment(JSON.stringify(sent));
    for (const workload of deployment.workloads) {
      const type = workloadType(workload.type);
      const text = encode(type.data, loadData(type, workload));
      const isData = validator(`types#/$defs/${aboutOf(type.data)?.name}`);
      expect(isData(JSON.parse(text)), JSON.stringify(isData.errors)).toBe(true);
      workload.data = text;
    }
    expect(isWritten(JSON.parse(formatDeployment(deployment))), JSON.stringify(isWritten.errors)).toBe(true);
  });

  it('is accepted', () => {
    for (const [name, { examples }] of Object.entries(schemas.get('types')?.$defs as Record<string, JsonSchema>)) {
      for (const example of examples as unknown[]) expect(validator(`#/$defs/${name}`)(example), name).toBe(true);
    }
  });
});

const odd = [null, true, '', 'net1', '5', 0, 1, -1, 1.5, 2 ** 32 - 1, 2 ** 32, 2 ** 53, 2 ** 63, 1e30, [], {}, ['a']];
const own = commands.filter(({ input }) => (input as unknown) !== nothing && (input as unknown) !== Deployment);

/** As for a whole deployment, null in place of a whole input is read as the empty one and not published. */
describe('inputs of commands', () => {
  it.each(own)('$name takes what its schema says', (command) => {
    const isInput = validator(`commands:${command.name}#/$defs/input`);
    const schema = schemas.get(`commands/${command.name}`)?.$defs as { input: JsonSchema };
    const keys = Object.keys((schema.input.properties ?? {}) as object);
    const field = fc.option(fc.constantFrom(...odd), { nil: undefined });
    const input =
      keys.length === 0
        ? fc.constantFrom(...odd.filter((value) => value !== null))
        : fc.record(Object.fromEntries(keys.map((key) => [key, field]))).map((value) => ({ ...value, unknown: 1 }));
    fc.assert(
      fc.property(input, (value) => {
        const text = JSON.stringify(value);
        expect(isInput(JSON.parse(text)), text).toBe(takes(command, text));
      }),
      { numRuns: 200 },
    );
  });

  it('are some', () => {
    expect(own.length).toBeGreaterThan(5);
    expect(ajv.getSchema('urn:gridnode:schema:v1:commands:zos.deployment.get#/$defs/input')).toBeDefined();
  });
});

function takes(command: (typeof own)[number], text: string): boolean {
  try {
    parseInput(command as never, text);
    return true;
  } catch (error) {
    if (isGridError(error, 'payload_invalid') || isGridError(error, 'payload_undecodable')) return false;
    throw error;
  }
}
