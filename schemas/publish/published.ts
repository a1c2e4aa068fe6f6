/** The published schemas as a validator of another project sees them. */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { generatedFiles, SCHEMA_ID } from './files.ts';
import type { JsonSchema } from './json-schema.ts';

const published = [...generatedFiles()].filter(([path]) => path.startsWith('schemas/json/'));

/** Every published schema by its path below `schemas/json/`, without ending. */
export const schemas: ReadonlyMap<string, JsonSchema> = new Map(
  published.map(([path, text]) => [path.slice('schemas/json/'.length, -'.schema.json'.length), JSON.parse(text)]),
);

export const ajv = new Ajv2020({ strict: true, strictRequired: false, allowUnionTypes: true });
for (const schema of schemas.values()) ajv.addSchema(schema);

/** A validator by what follows the version in a schema's `$id`, such as `workloads:zmount` or `#/$defs/Peer`. */
export function validator(place: string): ValidateFunction {
  const id = place === '' || place.startsWith('#') ? `${SCHEMA_ID}${place}` : `${SCHEMA_ID}:${place}`;
  const found = ajv.getSchema(id);
  if (found === undefined) throw new Error(`no schema ${id}`);
  return found as ValidateFunction;
}
