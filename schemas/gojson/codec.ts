/**
 * Reading and writing JSON as the grid's Go nodes do, attached to zod schemas: one definition gives
 * the TypeScript type, the check, the JSON Schema and the wire behaviour. Go's rules: keys match
 * without regard to case, unknown keys are ignored, `null` leaves a scalar as it was, a repeated key
 * is read over the former value, absent values are zero.
 */
import { z } from 'zod';
import { Memory } from './memory.ts';
import type { JsonNode } from './parse.ts';
import { DecodeProblem } from './problem.ts';
import { readSource, type Source } from './source.ts';

/** Where a value stands, for Go's error sentence. */
export interface Place {
  readonly text: string;
  /** Of the object it is a field of. */
  readonly struct: string;
  readonly field: string;
  /** Where that object stands. */
  readonly within: Place | undefined;
}

/** Dotted path of a place, empty for the whole text. */
export function pathOf({ field, within }: Place): string {
  const outer = within === undefined ? '' : pathOf(within);
  return outer === '' || field === '' ? outer + field : `${outer}.${field}`;
}

/** What the published description says of a value beside what zod knows of it. */
export interface About {
  /** Name of its definition, by which others refer to it; Go's where it has one there. */
  readonly name?: string;
  readonly summary?: string;
  /** JSON Schema keywords, where zod's own do not describe the wire. */
  readonly json?: Readonly<Record<string, unknown>>;
}

export interface Codec {
  readonly zero: () => unknown;
  readonly read: (node: JsonNode, previous: unknown, place: Place) => unknown;
  readonly write: (value: unknown) => string;
  /** Left out of objects when zero, as Go's `omitempty`. */
  readonly omitZero?: boolean;
  readonly about?: About;
}

const codecs = new WeakMap<z.ZodType, Codec>();

/** Gives a zod schema its wire behaviour. */
export function withCodec<S extends z.ZodType>(schema: S, codec: Codec): S {
  codecs.set(schema, codec);
  return schema;
}

/** The wire behaviour of a schema built from this folder's values. */
function codecOf(schema: z.ZodType): Codec {
  const codec = codecs.get(schema);
  if (codec === undefined) throw new TypeError('schema has no wire codec');
  return codec;
}

/** What is said of a value; the same object wherever the value is used. */
export function aboutOf(schema: z.ZodType): About | undefined {
  return codecs.get(schema)?.about;
}

/** The same schema with words for its readers: what the value is, and its unit. */
export function described<S extends z.ZodType>(schema: S, description: string, more: object = {}): S {
  return withCodec(schema.meta({ description, ...more }), codecOf(schema));
}

/** Reads JSON text into the schema's type; throws `DecodeProblem`. */
export function decode<S extends z.ZodType>(
  schema: S,
  input: string | Uint8Array,
  { struct, maxBytes }: { struct: string; maxBytes: number },
): z.output<S> {
  return decodeNode(schema, readSource(input, maxBytes), struct);
}

/** The same for a value of a text that was parsed already. */
export function decodeNode<S extends z.ZodType>(schema: S, { text, root }: Source, struct: string): z.output<S> {
  const codec = codecOf(schema);
  return codec.read(root, codec.zero(), { text, struct, field: '', within: undefined }) as z.output<S>;
}

/** Writes a value as JSON text: schema's field order, 64-bit integers in full, raw data verbatim. */
export function encode<S extends z.ZodType>(schema: S, value: z.output<S>): string {
  return codecOf(schema).write(value);
}

/** A value's own text. */
export function tokenOf(node: JsonNode, place: Place): string {
  return place.text.slice(node.start, node.end);
}

/** Go's sentence for a value of the wrong kind; shows a number only where numbers are expected. */
export function mismatch(node: JsonNode, go: string, place: Place): DecodeProblem {
  const number = node.type === 'number' && /int|Unit|Timestamp/.test(go);
  const shown = number ? `number ${place.text.slice(node.start, Math.min(node.end, node.start + 40))}` : node.type;
  const path = pathOf(place);
  const where = path === '' ? 'value' : `struct field ${place.struct}.${path}`;
  return new DecodeProblem('value', `json: cannot unmarshal ${shown} into Go ${where} of type ${go}`, path);
}

/** An object with named fields. `go` is the Go type's name, which its error texts show; `summary` says what it is. */
export function struct<S extends z.ZodRawShape>(go: string, shape: S, summary?: string): z.ZodObject<S, z.core.$strip> {
  const name = go.slice(go.lastIndexOf('.') + 1);
  const fields = Object.entries(shape).map(([key, schema]) => ({ key, codec: codecOf(schema as z.ZodType) }));
  const byKey = new Map(fields.map((field) => [field.key, field]));
  const byFold = new Map(fields.map((field) => [fold(field.key), field]));
  const zero = () => {
    const value: Record<string, unknown> = {};
    for (const { key, codec } of fields) {
      const empty = codec.zero();
      if (empty !== undefined) value[key] = empty;
    }
    return value;
  };
  return withCodec(z.object(shape), {
    about: summary === undefined ? { name } : { name, summary },
    zero,
    read: (node, previous, place) => {
      if (node.type === 'null') return previous;
      if (node.type !== 'object') throw mismatch(node, go, place);
      const value = previous as Record<string, unknown>;
      const here = { text: place.text, struct: name, field: '', within: place };
      for (const member of node.members) {
        const field = byKey.get(member.key) ?? byFold.get(fold(member.key));
        if (field === undefined) continue;
        here.field = field.key;
        const read = field.codec.read(member.value, value[field.key], here);
        if (read !== undefined) value[field.key] = read;
        else if (value[field.key] !== undefined) delete value[field.key];
      }
      return value;
    },
    write: (value) => {
      const parts: string[] = [];
      for (const { key, codec } of fields) {
        const field = (value as Record<string, unknown>)[key];
        if (codec.omitZero && isEmpty(field)) continue;
        parts.push(`${JSON.stringify(key)}:${codec.write(field === undefined ? codec.zero() : field)}`);
      }
      return `{${parts.join(',')}}`;
    },
  });
}

/** Elements of one list, before rules of its own are asked: a text of small ones must not cost seconds. */
const MAX_ELEMENTS = 16_384;

const kept = new Memory<{ readonly raw: string; readonly source: Source }>();

/** An object schema whose values remember where the text of their field `key` (raw data) was parsed. */
export function keepingSource<S extends z.ZodType>(schema: S, key: string): S {
  const codec = codecOf(schema);
  const isField = (member: { key: string }) => member.key.length === key.length && fold(member.key) === key;
  return withCodec(schema, {
    ...codec,
    read: (node, previous, place) => {
      const value = codec.read(node, previous, place) as Record<string, unknown>;
      const root = node.type === 'object' ? node.members.findLast(isField)?.value : undefined;
      if (root !== undefined) kept.keep(value, { raw: value[key] as string, source: { text: place.text, root } });
      return value;
    },
  });
}

/** The parsed text of a value's raw field, if it still is the field's text. */
export function keptSource(value: object, raw: string): Source | undefined {
  const found = kept.recall(value);
  return found?.raw === raw ? found.source : undefined;
}

/** A list; absent and `null` are the empty list. */
export function list<S extends z.ZodType>(element: S, { omitEmpty = false } = {}) {
  const codec = codecOf(element);
  const schema = z
    .array(element)
    .nullish()
    .transform((value) => value ?? []);
  return withCodec(schema, {
    omitZero: omitEmpty,
    zero: () => [],
    read: (node, _previous, place) => {
      if (node.type === 'null') return [];
      if (node.type !== 'array') throw mismatch(node, '[]', place);
      if (node.items.length > MAX_ELEMENTS) {
        const reason = `has ${node.items.length} elements, at most ${MAX_ELEMENTS} are read`;
        throw new DecodeProblem('value', `list ${pathOf(place)} ${reason}`, pathOf(place));
      }
      return node.items.map((child) => codec.read(child, codec.zero(), place));
    },
    write: (value) => `[${(value as unknown[]).map((item) => codec.write(item)).join(',')}]`,
  });
}

/** An object of free keys; absent and `null` are empty. Has no prototype, so no key is special. */
export function map<S extends z.ZodType>(element: S) {
  const codec = codecOf(element);
  const schema = z
    .record(z.string(), element)
    .nullish()
    .transform((value) => value ?? {});
  return withCodec(schema, {
    zero: () => Object.create(null) as Record<string, unknown>,
    read: (node, previous, place) => {
      if (node.type === 'null') return Object.create(null);
      if (node.type !== 'object') throw mismatch(node, 'map[string]', place);
      const value = previous as Record<string, unknown>;
      for (const member of node.members) value[member.key] = codec.read(member.value, codec.zero(), place);
      return value;
    },
    write: (value) =>
      `{${Object.entries(value as Record<string, unknown>)
        .map(([key, item]) => `${JSON.stringify(key)}:${codec.write(item)}`)
        .join(',')}}`,
  });
}

/** A value that may be absent (Go pointer); `null` is absent. */
export function pointer<S extends z.ZodType>(target: S) {
  const codec = codecOf(target);
  const schema = target.nullish().transform((value) => value ?? undefined);
  return withCodec(schema, {
    omitZero: true,
    zero: () => undefined,
    read: (node, previous, place) =>
      node.type === 'null' ? undefined : codec.read(node, previous ?? codec.zero(), place),
    write: (value) => (value === undefined ? 'null' : codec.write(value)),
  });
}

/** A field that is left out of the text when it is empty: Go's `omitempty`. */
export function omitEmpty<S extends z.ZodType>(schema: S) {
  return withCodec(optional(schema), { ...codecOf(schema), omitZero: true });
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === '' || value === 0 || value === false) return true;
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

/** A field clients may leave out; it then has Go's zero value. */
export function optional<S extends z.ZodType>(schema: S) {
  const codec = codecOf(schema);
  return withCodec(schema.default(codec.zero() as z.util.NoUndefined<z.output<S>>), codec);
}

/** Go's field look-up folds case, including the two letters whose fold is ASCII. */
function fold(key: string): string {
  return key.replaceAll('\u017f', 's').toLowerCase();
}
