/**
 * Reading and writing JSON as the grid's Go nodes do, attached to zod schemas: one definition gives
 * the TypeScript type, the check, the JSON Schema and the wire behaviour. Go's rules: keys match
 * without regard to case, unknown keys are ignored, `null` leaves a scalar as it was, a repeated key
 * is read over the former value, absent values are zero.
 */
import { z } from 'zod';
import { DecodeProblem } from './problem.ts';
import { checkJson, JsonReader } from './reader.ts';
import { readText } from './source.ts';

/** Where a value stands, for Go's error sentence. */
export interface Place {
  /** Of the object it is a field of. */
  readonly struct: string;
  readonly field: string;
  /** Where that object stands. */
  readonly within: Place | undefined;
  /** That object, with the fields that were read before. */
  readonly object: object;
}

/** A value that is no field. */
function outermost(struct: string): Place {
  return { struct, field: '', within: undefined, object: {} };
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
  /** The same for what is written, where more is read. */
  readonly written?: Readonly<Record<string, unknown>>;
}

export interface Codec {
  readonly zero: () => unknown;
  /**
   * Reads the value that comes over the one its key had before; `undefined` is the zero value. Throws `DecodeProblem` of kind
   * `value`, before or behind it, if it is not of the type.
   */
  readonly read: (json: JsonReader, previous: unknown, place: Place) => unknown;
  readonly write: (value: unknown) => string;
  /** Left out of objects when zero, as Go's `omitempty`; of what may be absent only when it is. */
  readonly omitZero?: boolean | 'absent';
  readonly about?: About;
}

const codecs = new WeakMap<z.ZodType, Codec>();

/** Gives a zod schema its wire behaviour. */
export function withCodec<S extends z.ZodType>(schema: S, codec: Codec): S {
  codecs.set(schema, codec);
  return schema;
}

/** The wire behaviour of a schema built from this folder's values. */
export function codecOf(schema: z.ZodType): Codec {
  const codec = codecs.get(schema);
  if (codec === undefined) throw new TypeError('schema has no wire codec');
  return codec;
}

/** What is said of a value; the same object wherever the value is used. */
export function aboutOf(schema: z.ZodType): About | undefined {
  return codecs.get(schema)?.about;
}

/** Whether texts of ours leave the field out when it is empty. */
export function isOmitted(schema: z.ZodType): boolean {
  return (codecs.get(schema)?.omitZero ?? false) !== false;
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
  const text = readText(input, maxBytes);
  const codec = codecOf(schema);
  const json = new JsonReader(text);
  try {
    const value = codec.read(json, undefined, outermost(struct)) ?? codec.zero();
    json.end();
    return value as z.output<S>;
  } catch (error) {
    // Go looks at the syntax of the whole text before it looks at any value.
    if (error instanceof DecodeProblem && error.kind === 'value') checkJson(text);
    throw error;
  } finally {
    json.close();
  }
}

/**
 * Reads the value that comes, and its exact text; `value` is `undefined` if it is not of the schema's
 * type. `decode` of the text gives the same value, or tells what is wrong.
 */
export function readWithText<S extends z.ZodType>(
  schema: S,
  json: JsonReader,
): { readonly text: string; readonly value: z.output<S> | undefined } {
  const codec = codecOf(schema);
  return json.withText(() => (codec.read(json, undefined, outermost('')) ?? codec.zero()) as z.output<S>);
}

/** Writes a value as JSON text: schema's field order, 64-bit integers in full, raw data verbatim. */
export function encode<S extends z.ZodType>(schema: S, value: z.output<S>): string {
  return codecOf(schema).write(value);
}

/** Go's sentence for a value of the wrong kind that comes; shows a number only where numbers are expected. */
export function mismatch(json: JsonReader, go: string, place: Place): DecodeProblem {
  const number = /int|Unit|Timestamp/.test(go) ? json.number() : '';
  const shown = number === '' ? json.kind() : `number ${number.slice(0, 40)}`;
  const path = pathOf(place);
  const where = path === '' ? 'value' : `struct field ${place.struct}.${path}`;
  return new DecodeProblem('value', `json: cannot unmarshal ${shown} into Go ${where} of type ${go}`, path);
}

interface Field {
  readonly key: string;
  readonly keyBytes: Uint8Array;
  readonly codec: Codec;
}

/** An object with named fields. `go` is the Go type's name, which its error texts show; `summary` says what it is. */
export function struct<S extends z.ZodRawShape>(go: string, shape: S, summary?: string): z.ZodObject<S, z.core.$strip> {
  const name = go.slice(go.lastIndexOf('.') + 1);
  const fields = Object.entries(shape).map(
    ([key, schema]): Field => ({
      key,
      keyBytes: new TextEncoder().encode(key),
      codec: codecOf(schema as z.ZodType),
    }),
  );
  const byKey = new Map(fields.map(({ key }, at) => [key, at]));
  const byFold = new Map(fields.map(({ key }, at) => [fold(key), at]));
  // Nearly all texts have their keys in the order and spelling of the type.
  const find = (json: JsonReader, expected: number): number => {
    for (let at = expected; at < fields.length; at++) if (json.isKey((fields[at] as Field).keyBytes)) return at;
    const key = json.key();
    return byKey.get(key) ?? byFold.get(fold(key)) ?? -1;
  };
  /** Gives the fields from one to before another their zero values. */
  const fill = (value: Record<string, unknown>, from: number, to: number): void => {
    for (let at = from; at < to; at++) {
      const { key, codec } = fields[at] as Field;
      const zero = codec.zero();
      if (zero !== undefined) value[key] = zero;
    }
  };
  return withCodec(z.object(shape), {
    about: summary === undefined ? { name } : { name, summary },
    zero: () => {
      const value = {};
      fill(value, 0, fields.length);
      return value;
    },
    read: (json, previous, place) => {
      if (json.null()) return previous;
      if (json.kind() !== 'object') throw mismatch(json, go, place);
      const value: Record<string, unknown> = previous === undefined ? {} : { ...(previous as object) };
      const here = { struct: name, field: '', within: place, object: value };
      // Fields are set in the order of the type, so that objects of a type are alike.
      let set = previous === undefined ? 0 : fields.length;
      let expected = 0;
      for (let more = json.openObject(); more; more = json.nextMember()) {
        const at = find(json, expected);
        const field = fields[at];
        if (field === undefined) {
          json.skip();
          continue;
        }
        expected = at + 1;
        if (at > set) fill(value, set, at);
        const { key, codec } = field;
        here.field = key;
        const read = codec.read(json, at < set ? value[key] : undefined, here) ?? codec.zero();
        if (read !== undefined) value[key] = read;
        else if (at < set) delete value[key];
        if (at >= set) set = at + 1;
      }
      fill(value, set, fields.length);
      return value;
    },
    write: (value) => {
      const parts: string[] = [];
      for (const { key, codec } of fields) {
        const field = (value as Record<string, unknown>)[key];
        if (codec.omitZero && (codec.omitZero === 'absent' ? field === undefined : isEmpty(field))) continue;
        parts.push(`${JSON.stringify(key)}:${codec.write(field === undefined ? codec.zero() : field)}`);
      }
      return `{${parts.join(',')}}`;
    },
  });
}

/** Elements of one list, before rules of its own are asked: a text of small ones must not cost seconds. */
const MAX_ELEMENTS = 16_384;

/** The refusal of a list of which so many were read; counts the others. */
function tooMany(json: JsonReader, place: Place): DecodeProblem {
  let found = MAX_ELEMENTS;
  for (let more = true; more; more = json.nextItem()) {
    json.skip();
    found++;
  }
  const reason = `has ${found} elements, at most ${MAX_ELEMENTS} are read`;
  return new DecodeProblem('value', `list ${pathOf(place)} ${reason}`, pathOf(place));
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
    read: (json, _previous, place) => {
      if (json.null()) return [];
      if (json.kind() !== 'array') throw mismatch(json, '[]', place);
      const items: unknown[] = [];
      for (let more = json.openArray(); more; more = json.nextItem()) {
        if (items.length === MAX_ELEMENTS) throw tooMany(json, place);
        items.push(codec.read(json, undefined, place) ?? codec.zero());
      }
      return items;
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
    read: (json, previous, place) => {
      if (json.null()) return Object.create(null);
      if (json.kind() !== 'object') throw mismatch(json, 'map[string]', place);
      const value = (previous ?? Object.create(null)) as Record<string, unknown>;
      for (let more = json.openObject(); more; more = json.nextMember()) {
        const key = json.key();
        value[key] = codec.read(json, undefined, place) ?? codec.zero();
      }
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
    omitZero: 'absent',
    zero: () => undefined,
    read: (json, previous, place) => (json.null() ? undefined : (codec.read(json, previous, place) ?? codec.zero())),
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
