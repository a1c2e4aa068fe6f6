/**
 * Descriptions of the Go types that cross the bus. A description is data: the
 * codec walks it, the TypeScript type is inferred from it, docs are printed
 * from it. Widths follow the Go static type, never the JavaScript value.
 */

export type Scalar =
  | 'bool'
  | 'string'
  | 'bytes'
  | 'int8'
  | 'int16'
  | 'int32'
  | 'int64'
  | 'uint8'
  | 'uint16'
  | 'uint32'
  | 'uint64'
  | 'float32'
  | 'float64'
  | 'time'
  | 'any'
  | 'opaque';

/** How a 64-bit integer appears in TypeScript: exact, or checked to be safe. */
export type Carrier = 'bigint' | 'number';

type Shape =
  | { readonly kind: Scalar; readonly carrier?: Carrier }
  | { readonly kind: 'fixed'; readonly length: number }
  | { readonly kind: 'slice'; readonly of: Wire }
  | { readonly kind: 'map'; readonly key: Wire; readonly value: Wire }
  | { readonly kind: 'pointer'; readonly to: Wire }
  | { readonly kind: 'struct'; readonly fields: ReadonlyArray<readonly [string, Wire]> };

/**
 * One wire type. `go` is the Go name printed in docs and in argument errors.
 * `T` exists for the compiler only.
 */
export type Wire<T = unknown> = Shape & { readonly go: string; readonly type?: T };

/** The TypeScript value that a wire type carries. */
export type Infer<W> = W extends Wire<infer T> ? T : never;

/** Seconds and nanoseconds since 1970; Go's `time.Time` keeps nanoseconds. */
export interface GoTime {
  readonly seconds: bigint;
  readonly nanoseconds: number;
}

export const bool: Wire<boolean> = { kind: 'bool', go: 'bool' };
export const str: Wire<string> = { kind: 'string', go: 'string' };
/** `[]byte` and its named kinds. `null` is Go's nil, which is not the empty slice. */
export const bytes: Wire<Uint8Array | null> = { kind: 'bytes', go: '[]uint8' };
export const int8: Wire<number> = { kind: 'int8', go: 'int8' };
export const int16: Wire<number> = { kind: 'int16', go: 'int16' };
export const int32: Wire<number> = { kind: 'int32', go: 'int32' };
export const uint8: Wire<number> = { kind: 'uint8', go: 'uint8' };
export const uint16: Wire<number> = { kind: 'uint16', go: 'uint16' };
export const uint32: Wire<number> = { kind: 'uint32', go: 'uint32' };
/** 64-bit integers that may hold any value: ids, hashes, nanoseconds. */
export const int64: Wire<bigint> = { kind: 'int64', carrier: 'bigint', go: 'int64' };
export const uint64: Wire<bigint> = { kind: 'uint64', carrier: 'bigint', go: 'uint64' };
/** 64-bit integers that are counts or byte sizes; beyond 2^53 is refused, never rounded. */
export const count64: Wire<number> = { kind: 'uint64', carrier: 'number', go: 'uint64' };
export const signed64: Wire<number> = { kind: 'int64', carrier: 'number', go: 'int64' };
/** Go's `int` and `uint` are 64 bits wide on the wire. */
export const int: Wire<number> = { kind: 'int64', carrier: 'number', go: 'int' };
export const uint: Wire<number> = { kind: 'uint64', carrier: 'number', go: 'uint' };
export const float32: Wire<number> = { kind: 'float32', go: 'float32' };
export const float64: Wire<number> = { kind: 'float64', go: 'float64' };
export const time: Wire<GoTime> = { kind: 'time', go: 'time.Time' };
/** `interface{}`: whatever value arrives; numbers leave as float64. */
export const any: Wire<unknown> = { kind: 'any', go: 'interface {}' };

/** A Go type without exported fields: always the empty map, its content never crosses. */
export function opaque(go: string): Wire<Record<string, never>> {
  return { kind: 'opaque', go };
}

/** The same wire type under a Go name of its own. */
export function named<T>(go: string, of: Wire<T>): Wire<T> {
  return { ...of, go };
}

/** `[length]byte`. */
export function fixedBytes(length: number, go = `[${length}]uint8`): Wire<Uint8Array> {
  return { kind: 'fixed', length, go };
}

/** A Go slice. Nil arrives as the empty array; an empty array leaves as an empty slice. */
export function slice<T>(of: Wire<T>, go = `[]${of.go}`): Wire<T[]> {
  return { kind: 'slice', of, go };
}

/** A Go map. Nil arrives as the empty map. */
export function map<K, V>(key: Wire<K>, value: Wire<V>, go = `map[${key.go}]${value.go}`): Wire<Map<K, V>> {
  return { kind: 'map', key, value, go };
}

export function pointer<T>(to: Wire<T>, go = `*${to.go}`): Wire<T | null> {
  return { kind: 'pointer', to, go };
}

type StructOf<F extends Record<string, Wire>> = { [K in keyof F]: Infer<F[K]> };

/** A Go struct: a map keyed by the Go field names, in declaration order. */
export function struct<const F extends Record<string, Wire>>(go: string, fields: F): Wire<StructOf<F>> {
  return { kind: 'struct', go, fields: Object.entries(fields) };
}
