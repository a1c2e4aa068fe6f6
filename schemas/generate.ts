/** Writes `schemas/json/` and `docs/errors.md` from the zod schemas and the error table: `npm run generate`. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { Capacity } from './capacity.ts';
import { commands } from './commands/index.ts';
import { Deployment, Result, Workload } from './deployment.ts';
import { errorTable } from './errors/index.ts';
import type { ErrorEntry } from './errors/table.ts';
import { jsonOf } from './gojson/codec.ts';
import { workloadTypeNames, workloadTypes } from './workloads/index.ts';

type JsonSchema = Record<string, unknown>;

const DIALECT = 'https://json-schema.org/draft/2020-12/schema';

/** Every generated file: path from the project's root, and its text. */
export function generatedFiles(): Map<string, string> {
  const files = new Map<string, string>();
  const add = (name: string, schema: JsonSchema) => {
    const text = JSON.stringify({ $schema: DIALECT, ...schema }, null, 2);
    // The largest integer of 64 bits is no number of this language.
    files.set(`schemas/json/${name}.json`, `${text.replaceAll(String(2 ** 64), '18446744073709551615')}\n`);
  };
  add('deployment', { title: 'deployment', ...jsonSchema(Deployment) });
  add('workload', { title: 'workload', ...jsonSchema(Workload) });
  add('result', { title: 'result', ...jsonSchema(Result) });
  add('capacity', { title: 'capacity', ...jsonSchema(Capacity) });
  for (const type of workloadTypes) {
    add(`workloads/${type.name}`, { title: type.name, description: type.summary, ...jsonSchema(type.data) });
    if (type.result !== undefined) {
      add(`workloads/${type.name}.result`, { title: `result of ${type.name}`, ...jsonSchema(type.result) });
    }
  }
  for (const { name, summary, caller, input, output } of commands) {
    add(`commands/${name}`, {
      title: name,
      description: summary,
      $comment: `caller: ${caller}`,
      $defs: { input: jsonSchema(input), output: jsonSchema(output) },
    });
  }
  const errors = Object.entries<ErrorEntry>(errorTable).map(([code, { details }]) => [code, jsonSchema(details)]);
  add('errors', { title: 'details of every error, by code', $defs: Object.fromEntries(errors) });
  files.set('docs/errors.md', errorsPage());
  return files;
}

/** What a client may send: absent and `null` where nodes take them as empty. */
function jsonSchema(schema: z.ZodType): JsonSchema {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema: made }) => {
      const visited = zodSchema as unknown as z.ZodType;
      const own = jsonOf(visited);
      if (own !== undefined) {
        const { description, default: absent, minimum } = made;
        for (const key of Object.keys(made)) delete (made as JsonSchema)[key];
        // A default in the form of the program's own value is none of the wire's.
        const kept = own.type === undefined ? { description } : { description, default: absent, minimum };
        for (const [key, value] of Object.entries({ ...own, ...kept })) {
          if (value !== undefined) Object.assign(made, { [key]: value });
        }
      }
      if (visited === Workload) Object.assign(made, dataByType(made.properties));
    },
  });
  return rest;
}

/** A workload's `data` follows from its `type`. */
function dataByType(properties: unknown): JsonSchema {
  return {
    properties: {
      ...(properties as JsonSchema),
      type: { ...((properties as JsonSchema).type as JsonSchema), enum: [...workloadTypeNames] },
    },
    allOf: workloadTypes.map((type) => ({
      if: { properties: { type: { const: type.name } }, required: ['type'] },
      // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema
      then: { properties: { data: jsonSchema(type.data) } },
    })),
  };
}

function errorsPage(): string {
  const rows = Object.entries<ErrorEntry>(errorTable)
    .map(([code, entry]) => ({ code, ...entry }))
    .sort((a, b) => a.number - b.number || a.stage.localeCompare(b.stage) || a.code.localeCompare(b.code));
  const lines = rows.map(({ code, number, stage, fault, retryable, details, message, remedy }) => {
    const cells = [code, number, stage, fault, retryable ? 'yes' : 'no', sample(details, message), remedy ?? ''];
    return `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('\n', ' ')).join(' | ')} |`;
  });
  return `# Errors

Made from \`schemas/errors/\` by \`npm run generate\`. A code is never reused. Number 0 stands where existing
clients know the sentence itself, which therefore never changes. Words in ‹› are the error's details, which
an answer carries as data too.

| code | number | stage | whose fault | may succeed later | text | what to do |
|---|---|---|---|---|---|---|
${lines.join('\n')}
`;
}

/** The error's sentence with the names of its details in place of their values. */
function sample(details: z.ZodType, message: ErrorEntry['message']): string {
  try {
    return message(placeholder(details, ''));
  } catch {
    // A sentence that computes with its details has none without them.
    return '';
  }
}

function placeholder(schema: z.ZodType, name: string): unknown {
  if (schema instanceof z.ZodObject) {
    const fields = Object.entries(schema.shape).map(([key, field]) => [key, placeholder(field as z.ZodType, key)]);
    return Object.fromEntries(fields);
  }
  if (schema instanceof z.ZodArray) return [placeholder(schema.element as z.ZodType, name)];
  if (schema instanceof z.ZodOptional) return placeholder(schema.unwrap() as z.ZodType, name);
  return `‹${name}›`;
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '..');
  const files = generatedFiles();
  const folder = join(root, 'schemas/json');
  mkdirSync(folder, { recursive: true });
  for (const old of readdirSync(folder)) rmSync(join(folder, old), { recursive: true });
  for (const [path, text] of files) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}
