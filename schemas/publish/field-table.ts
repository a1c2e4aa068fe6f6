/** The fields of a type as a table for people. */
import type { JsonSchema } from './json-schema.ts';

/** Types with a page of their own, by definition's name: where it is, seen from a page one folder down. */
const pages: Readonly<Record<string, string>> = {
  Deployment: '../deployment.md',
  Workload: '../deployment.md#workload',
  Capacity: '../README.md#capacity',
  CapacityReport: '../commands/zos.capacity.get.md#answer',
};

const PREFIX = '#/$defs/';

type Definitions = Readonly<Record<string, JsonSchema>>;

/**
 * A Markdown table of every field below a schema; one sentence where there are no fields, or where the
 * type has a page of its own, unless this is that page.
 */
export function fieldTable(schema: JsonSchema, definitions: Definitions, isOwnPage = false): string {
  const rows: string[] = [];
  const visit = (path: string, shape: JsonSchema, isOptional: boolean): void => {
    const { name, json } = resolve(shape, definitions);
    if (path !== '') rows.push(row(path, typeOf(shape, definitions), isOptional, wordsOf(shape, json)));
    if (pageOf(name) === undefined || (path === '' && isOwnPage)) children(path, json);
  };
  const children = (path: string, json: JsonSchema): void => {
    const inside = path === '' ? '' : `${path}.`;
    const required = new Set((json.required ?? []) as string[]);
    for (const [key, field] of Object.entries((json.properties ?? {}) as Record<string, JsonSchema>)) {
      visit(`${inside}${key}`, field, !required.has(key));
    }
    if (isSchema(json.items)) below(`${path}[]`, json.items);
    if (isSchema(json.additionalProperties)) below(`${inside}*`, json.additionalProperties);
  };
  /** Elements without fields are told of by their list's own row. */
  const below = (path: string, element: JsonSchema): void => {
    const { name, json } = resolve(element, definitions);
    if (pageOf(name) !== undefined) return;
    if (isSchema(json.items) || isSchema(json.additionalProperties)) visit(path, element, false);
    else children(path, json);
  };
  visit('', schema, false);
  if (rows.length === 0) return sentence(schema, definitions);
  return ['| field | type | | |', '|---|---|---|---|', ...rows].join('\n');
}

function sentence(schema: JsonSchema, definitions: Definitions): string {
  const words = wordsOf(schema, resolve(schema, definitions).json);
  const type = typeOf(schema, definitions);
  return `${type[0]?.toUpperCase()}${type.slice(1)}${words === '' || type.startsWith('[') ? '' : `: ${words}`}.`;
}

function pageOf(name: string | undefined): string | undefined {
  return name === undefined ? undefined : pages[name];
}

function row(path: string, type: string, isOptional: boolean, words: string): string {
  return `| \`${path}\` | ${type} | ${isOptional ? 'may be left out' : ''} | ${words.replaceAll('|', '\\|')} |`;
}

function wordsOf(shape: JsonSchema, json: JsonSchema): string {
  const words = shape.description ?? json.description;
  return typeof words === 'string' ? words.replaceAll('\n', ' ') : '';
}

function typeOf(shape: JsonSchema, definitions: Definitions): string {
  const { name, json } = resolve(shape, definitions);
  const page = pageOf(name);
  if (page !== undefined) return `[${name}](${page})`;
  if (isSchema(json.items)) return `list of ${typeOf(json.items, definitions)}`;
  if (Array.isArray(json.anyOf)) {
    const kinds = (json.anyOf as JsonSchema[]).map((option) => typeOf(option, definitions));
    return [...new Set(kinds)].join(' or ');
  }
  const types = (Array.isArray(json.type) ? json.type : [json.type]).filter((type) => type !== 'null');
  const values = Array.isArray(json.enum) ? json.enum.filter((value) => value !== null) : [];
  if (values.length > 0 && values.length <= 6) return values.map((value) => `\`${value}\``).join(', ');
  if (types[0] === undefined || types.length > 3) return 'any JSON';
  return types.join(' or ');
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What a reference, or one option beside null, stands for. */
function resolve(shape: JsonSchema, definitions: Definitions): { readonly name?: string; readonly json: JsonSchema } {
  if (typeof shape.$ref === 'string' && shape.$ref.startsWith(PREFIX)) {
    const name = shape.$ref.slice(PREFIX.length);
    return { name, json: definitions[name] ?? {} };
  }
  if (Array.isArray(shape.anyOf)) {
    const options = (shape.anyOf as JsonSchema[]).filter((option) => option.type !== 'null');
    if (options.length === 1) return resolve(options[0] as JsonSchema, definitions);
  }
  return { json: shape };
}
