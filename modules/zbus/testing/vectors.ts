/** The captured vectors: their value notation, and wire types made from their Go schema. */
import { readFileSync } from 'node:fs';
import * as w from '../wire.ts';

interface TypeEntry {
  readonly wire: string;
  readonly fields?: ReadonlyArray<readonly [string, string]>;
  readonly elem?: string;
  readonly key?: string;
  readonly len?: number;
}

export interface SchemaMethod {
  readonly args: ReadonlyArray<{ readonly name: string; readonly type: string }>;
  readonly variadic: boolean;
  readonly returns: readonly string[];
  readonly returns_error: boolean;
}

export interface TypedValue {
  readonly go_type: string;
  readonly hex: string;
  readonly value: unknown;
}

export type Frame =
  | {
      readonly kind: 'request';
      readonly name: string;
      readonly frame_hex: string;
      readonly id: string;
      readonly reply_to: string;
      readonly object: string;
      readonly version: string;
      readonly method: string;
      readonly args: readonly TypedValue[];
    }
  | {
      readonly kind: 'response';
      readonly name: string;
      readonly frame_hex: string;
      readonly id: string;
      readonly data_hex: string | null;
      readonly call_error: string | null;
      readonly protocol_error: string | null;
      readonly returns: readonly TypedValue[];
    }
  | {
      readonly kind: 'event';
      readonly name: string;
      readonly channel: string;
      readonly payload_hex: string;
      readonly go_type: string;
      readonly value: unknown;
    };

export interface Vectors {
  readonly frames: readonly Frame[];
  readonly primitives: ReadonlyArray<{ readonly note: string; readonly hex?: string }>;
  readonly go_server_outcomes: ReadonlyArray<{
    readonly call: string;
    readonly data_hex: string | null;
    readonly call_error: string | null;
    readonly protocol_error: string | null;
  }>;
  readonly go_stub_outcomes: ReadonlyArray<{
    readonly case: string;
    readonly reply_sent_to_go_stub: string;
    readonly observed_in_go_caller: string;
  }>;
  readonly samples: Readonly<
    Record<string, { readonly hex: string; readonly value: unknown; readonly zero_hex: string }>
  >;
  readonly schema: {
    readonly objects: ReadonlyArray<{
      readonly module: string;
      readonly object: string;
      readonly version: string;
      readonly methods: Readonly<Record<string, SchemaMethod>>;
      readonly streams: Readonly<Record<string, { readonly type: string }>>;
    }>;
    readonly types: Readonly<Record<string, TypeEntry>>;
  };
}

const file = new URL('../../../test/vectors/zbus.json', import.meta.url);
export const vectors = JSON.parse(readFileSync(file, 'utf8')) as Vectors;

const SCALARS: Readonly<Record<string, w.Wire>> = {
  bool: w.bool,
  string: w.str,
  int: w.int64,
  int64: w.int64,
  uint: w.uint64,
  uint8: w.uint8,
  uint16: w.uint16,
  uint32: w.uint32,
  uint64: w.uint64,
  float64: w.float64,
  'bin|nil': w.bytes,
  interface: w.any,
  'interface {}': w.any,
  'time(ext -1)': w.time,
  '[]uint8': w.bytes,
};

/** The wire type of a Go type as the schema spells it; 64-bit integers are bigint throughout. */
export function wireOf(go: string): w.Wire {
  if (go === 'error') return w.pointer(w.str, 'error');
  const scalar = SCALARS[go];
  if (scalar !== undefined) return { ...scalar, go };
  if (go.startsWith('[]')) return w.slice(wireOf(go.slice(2)));
  if (go.startsWith('*')) return w.pointer(wireOf(go.slice(1)));
  const [, key, value] = /^map\[([^\]]+)\](.+)$/.exec(go) ?? [];
  if (key !== undefined && value !== undefined) return w.map(wireOf(key), wireOf(value));
  const entry = vectors.schema.types[go];
  if (entry === undefined) throw new Error(`the vectors have no Go type ${go}`);
  if (entry.wire === 'map') {
    const fields = entry.fields ?? [];
    if (fields.length === 0) return w.opaque(go);
    return w.struct(go, Object.fromEntries(fields.map(([name, of]) => [name, wireOf(of)])));
  }
  if (entry.wire === 'bin') return w.fixedBytes(entry.len ?? 0, go);
  if (entry.wire === 'array|nil') return w.slice(wireOf(entry.elem ?? ''), go);
  if (entry.wire === 'map|nil') return w.map(wireOf(entry.key ?? ''), wireOf(entry.elem ?? ''), go);
  return w.named(go, wireOf(entry.wire));
}

/** A value in the vectors' notation as the value that a wire type carries; nil stays `null`. */
export function fromNotation(wire: w.Wire, value: unknown): unknown {
  if (value === null) return null;
  switch (wire.kind) {
    case 'int64':
    case 'uint64':
      return wire.carrier === 'bigint' ? BigInt(value as string) : Number(value);
    case 'bytes':
    case 'fixed':
      return new Uint8Array(Buffer.from((value as { $bin: string }).$bin, 'hex'));
    case 'time': {
      const [seconds, nanoseconds] = (value as { $time: [number, number] }).$time;
      return { seconds: BigInt(seconds), nanoseconds };
    }
    case 'opaque':
      return {};
    case 'pointer':
      return fromNotation(wire.to, value);
    case 'slice':
      return (value as unknown[]).map((item) => fromNotation(wire.of, item));
    case 'map':
      return new Map(
        Object.entries(value as Record<string, unknown>).map(([key, item]) => [
          fromNotation(wire.key, key),
          fromNotation(wire.value, item),
        ]),
      );
    case 'struct': {
      const record = value as Record<string, unknown>;
      return Object.fromEntries(wire.fields.map(([name, of]) => [name, fromNotation(of, record[name])]));
    }
    default:
      return value;
  }
}
