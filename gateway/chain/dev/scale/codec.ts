/**
 * Types of the chain as values: one combinator gives the TypeScript type, the
 * SCALE encoding and what the metadata says about the type.
 */
import { Reader, ScaleError, Writer } from './bytes.ts';

/** Names of scale-info primitives. */
export type Primitive = 'bool' | 'str' | 'u8' | 'u16' | 'u32' | 'u64' | 'u128';

/** A field list: none, by position, or by name. */
export type Fields = readonly Codec[] | { readonly [name: string]: Codec };

export interface VariantShape {
  readonly name: string;
  readonly index: number;
  readonly fields: Fields;
}

/** What the metadata tells of a type. */
export type Shape =
  | { readonly kind: 'primitive'; readonly name: Primitive }
  | { readonly kind: 'composite'; readonly path: string; readonly fields: Fields; readonly params?: Params }
  | {
      readonly kind: 'variant';
      readonly path: string;
      readonly variants: readonly VariantShape[];
      readonly params?: Params;
    }
  | { readonly kind: 'sequence'; readonly of: Codec }
  | { readonly kind: 'array'; readonly of: Codec; readonly length: number }
  | { readonly kind: 'tuple'; readonly of: readonly Codec[] }
  | { readonly kind: 'compact'; readonly of: Codec };

/** Generic parameters by name, as clients expect them on a few known types. */
export type Params = { readonly [name: string]: Codec | null };

// biome-ignore lint/suspicious/noExplicitAny: a codec is invariant in its value; lists of codecs need the top type
export interface Codec<T = any> {
  readonly shape: Shape;
  encode(value: T, out: Writer): void;
  decode(input: Reader): T;
  /** The value whose bytes are what an absent "default" storage entry reads as. */
  zero(): T;
}

export type ValueOf<C> = C extends Codec<infer T> ? T : never;

/** The value of a field list: a tuple, an object, or nothing. */
export type FieldsValue<F> = F extends readonly []
  ? undefined
  : F extends readonly Codec[]
    ? { -readonly [K in keyof F]: ValueOf<F[K]> }
    : F extends { readonly [name: string]: Codec }
      ? { -readonly [K in keyof F]: ValueOf<F[K]> }
      : never;

export function encode<T>(codec: Codec<T>, value: T): Uint8Array {
  const out = new Writer();
  codec.encode(value, out);
  return out.done();
}

/** Decodes all of `bytes`; trailing bytes are an error. */
export function decode<T>(codec: Codec<T>, bytes: Uint8Array): T {
  const input = new Reader(bytes);
  const value = codec.decode(input);
  if (input.remaining > 0) throw new ScaleError(`${input.remaining} bytes after the value`);
  return value;
}

function small(name: 'u8' | 'u16' | 'u32', width: number): Codec<number> {
  return {
    shape: { kind: 'primitive', name },
    encode: (value, out) => out.integer(BigInt(value), width),
    decode: (input) => Number(input.integer(width)),
    zero: () => 0,
  };
}

function wide(name: 'u64' | 'u128', width: number): Codec<bigint> {
  return {
    shape: { kind: 'primitive', name },
    encode: (value, out) => out.integer(value, width),
    decode: (input) => input.integer(width),
    zero: () => 0n,
  };
}

export const u8 = small('u8', 1);
export const u16 = small('u16', 2);
export const u32 = small('u32', 4);
export const u64 = wide('u64', 8);
export const u128 = wide('u128', 16);

export const bool: Codec<boolean> = {
  shape: { kind: 'primitive', name: 'bool' },
  encode: (value, out) => out.integer(value ? 1n : 0n, 1),
  decode: (input) => {
    const byte = input.byte();
    if (byte > 1) throw new ScaleError(`boolean byte ${byte}`);
    return byte === 1;
  },
  zero: () => false,
};

export const text: Codec<string> = {
  shape: { kind: 'primitive', name: 'str' },
  encode: (value, out) => bytes.encode(new TextEncoder().encode(value), out),
  decode: (input) => new TextDecoder().decode(bytes.decode(input)),
  zero: () => '',
};

/** `Vec<u8>` of at most `limit` bytes; a longer one cannot be decoded, as with a bounded vector. */
export function boundedBytes(limit: number): Codec<Uint8Array> {
  return {
    shape: { kind: 'sequence', of: u8 },
    encode: (value, out) => {
      out.compact(value.length);
      out.bytes(value);
    },
    decode: (input) => {
      const length = input.length();
      if (length > limit) throw new ScaleError(`${length} bytes where ${limit} are allowed`);
      return input.bytes(length);
    },
    zero: () => new Uint8Array(0),
  };
}

export const bytes = boundedBytes(Number.MAX_SAFE_INTEGER);

/** `[u8; length]`. */
export function fixed(length: number): Codec<Uint8Array> {
  return {
    shape: { kind: 'array', of: u8, length },
    encode: (value, out) => {
      if (value.length !== length) throw new ScaleError(`${value.length} bytes where ${length} belong`);
      out.bytes(value);
    },
    decode: (input) => input.bytes(length),
    zero: () => new Uint8Array(length),
  };
}

const vectors = new WeakMap<Codec, Codec>();
const options = new WeakMap<Codec, Codec>();

/** The codec `make` gives for `of`, the same object each time: the metadata lists each type once. */
function once<T, R>(known: WeakMap<Codec, Codec>, of: Codec<T>, make: () => Codec<R>): Codec<R> {
  const found = known.get(of) ?? make();
  known.set(of, found);
  return found as Codec<R>;
}

export function vec<T>(of: Codec<T>): Codec<T[]> {
  return once<T, T[]>(vectors, of, () => ({
    shape: { kind: 'sequence', of },
    encode: (value, out) => {
      out.compact(value.length);
      for (const item of value) of.encode(item, out);
    },
    decode: (input) => Array.from({ length: input.length() }, () => of.decode(input)),
    zero: () => [],
  }));
}

export function option<T>(of: Codec<T>): Codec<T | null> {
  return once<T, T | null>(options, of, () => ({
    shape: {
      kind: 'variant',
      path: 'Option',
      params: { T: of },
      variants: [
        { name: 'None', index: 0, fields: [] },
        { name: 'Some', index: 1, fields: [of] },
      ],
    },
    encode: (value, out) => {
      out.integer(value === null ? 0n : 1n, 1);
      if (value !== null) of.encode(value, out);
    },
    decode: (input) => {
      const tag = input.byte();
      if (tag > 1) throw new ScaleError(`option byte ${tag}`);
      return tag === 0 ? null : of.decode(input);
    },
    zero: () => null,
  }));
}

export function compact(of: Codec<number>): Codec<number>;
export function compact(of: Codec<bigint>): Codec<bigint>;
export function compact(of: Codec<number> | Codec<bigint>): Codec {
  const narrow = typeof of.zero() === 'number';
  return {
    shape: { kind: 'compact', of },
    encode: (value: number | bigint, out) => out.compact(value),
    decode: (input) => (narrow ? Number(input.compact()) : input.compact()),
    zero: () => of.zero(),
  };
}

function encodeFields(fields: Fields, value: unknown, out: Writer): void {
  const parts = value as Record<string, unknown>;
  for (const [name, codec] of Object.entries(fields)) codec.encode(parts[name], out);
}

function decodeFields(fields: Fields, input: Reader): unknown {
  if (Array.isArray(fields)) return fields.length === 0 ? undefined : fields.map((codec) => codec.decode(input));
  return Object.fromEntries(Object.entries(fields).map(([name, codec]) => [name, codec.decode(input)]));
}

export function tuple<const F extends readonly Codec[]>(...of: F): Codec<FieldsValue<F>> {
  return {
    shape: { kind: 'tuple', of },
    encode: (value, out) => encodeFields(of, value, out),
    decode: (input) => decodeFields(of, input) as FieldsValue<F>,
    zero: () => of.map((codec) => codec.zero()) as FieldsValue<F>,
  };
}

/** A Rust struct with named fields, in declaration order. */
export function struct<const F extends { readonly [name: string]: Codec }>(
  path: string,
  fields: F,
  params?: Params,
): Codec<FieldsValue<F>> {
  return {
    shape: { kind: 'composite', path, fields, ...(params === undefined ? {} : { params }) },
    encode: (value, out) => encodeFields(fields, value, out),
    decode: (input) => decodeFields(fields, input) as FieldsValue<F>,
    zero: () =>
      Object.fromEntries(Object.entries(fields).map(([name, codec]) => [name, codec.zero()])) as FieldsValue<F>,
  };
}

/** A Rust struct around one value, which travels without it. */
export function wrapper<T>(path: string, of: Codec<T>): Codec<T> {
  return { ...of, shape: { kind: 'composite', path, fields: [of] } };
}

/** A Rust struct without fields. */
export function marker(path: string): Codec<undefined> {
  return {
    shape: { kind: 'composite', path, fields: [] },
    encode: () => undefined,
    decode: () => undefined,
    zero: () => undefined,
  };
}

/** Variants by name: the index byte and the fields. */
export type Variants = { readonly [name: string]: readonly [index: number, fields?: Fields] };

type FieldsOf<V extends readonly [number, Fields?]> = V extends readonly [number, infer F extends Fields]
  ? F
  : readonly [];

export type VariantValue<V extends Variants> = {
  [K in keyof V & string]: FieldsOf<V[K]> extends readonly []
    ? { readonly kind: K; readonly value?: undefined }
    : { readonly kind: K; readonly value: FieldsValue<FieldsOf<V[K]>> };
}[keyof V & string];

/** A Rust enum. The first variant listed is the zero value. */
export function variant<const V extends Variants>(path: string, variants: V, params?: Params): Codec<VariantValue<V>> {
  const list = Object.entries(variants).map(([name, [index, fields]]) => ({ name, index, fields: fields ?? [] }));
  const byName = new Map(list.map((one) => [one.name, one]));
  const byIndex = new Map(list.map((one) => [one.index, one]));
  return {
    shape: { kind: 'variant', path, variants: list, ...(params === undefined ? {} : { params }) },
    encode: (value, out) => {
      const found = byName.get(value.kind);
      if (found === undefined) throw new ScaleError(`${path} has no variant ${value.kind}`);
      out.integer(BigInt(found.index), 1);
      encodeFields(found.fields, value.value, out);
    },
    decode: (input) => {
      const index = input.byte();
      const found = byIndex.get(index);
      if (found === undefined) throw new ScaleError(`${path} has no variant ${index}`);
      const value = decodeFields(found.fields, input);
      return (value === undefined ? { kind: found.name } : { kind: found.name, value }) as VariantValue<V>;
    },
    zero: () => {
      const first = list[0] as VariantShape;
      const fields = Object.entries(first.fields).map(([name, codec]) => [name, codec.zero()]);
      const value = Array.isArray(first.fields) ? fields.map(([, zero]) => zero) : Object.fromEntries(fields);
      return (fields.length === 0 ? { kind: first.name } : { kind: first.name, value }) as VariantValue<V>;
    },
  };
}

/** An enum without data: `choice('…::Power', 'Up', 'Down')`. */
export function choice<const N extends string>(path: string, ...names: readonly N[]): Codec<{ readonly kind: N }> {
  const variants = Object.fromEntries(names.map((name, index) => [name, [index] as const]));
  return variant(path, variants) as Codec<{ readonly kind: N }>;
}

/** A type that is given its meaning later, for types that contain themselves. */
export function deferred<T>(): Codec<T> & { resolve(target: Codec<T>): void } {
  let found: Codec<T> | undefined;
  const target = (): Codec<T> => {
    if (found === undefined) throw new ScaleError('a type was used before it was defined');
    return found;
  };
  return {
    get shape() {
      return target().shape;
    },
    encode: (value, out) => target().encode(value, out),
    decode: (input) => target().decode(input),
    zero: () => target().zero(),
    resolve: (codec) => {
      found = codec;
    },
  };
}
