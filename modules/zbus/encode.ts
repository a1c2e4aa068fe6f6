/** Values to bytes. Widths follow the Go type; what the type cannot hold is refused, never bent. */
import { WireError, within } from './errors.ts';
import { isGoTime } from './gotime.ts';
import { Typed } from './typed.ts';
import type { Infer, Wire } from './wire.ts';
import { Writer } from './writer.ts';

const MAX_DEPTH = 512;

/** @throws WireError with the path of the field that cannot be held. */
export function encode<W extends Wire>(wire: W, value: Infer<W>): Buffer {
  const writer = spare ?? new Writer();
  // A getter of the value may encode another one meanwhile.
  spare = undefined;
  try {
    writer.clear();
    encodeInto(writer, wire, value);
    return writer.take();
  } finally {
    spare = writer;
  }
}

let spare: Writer | undefined;

export function encodeInto(writer: Writer, wire: Wire, value: unknown): void {
  if (value === null && NULLABLE.has(wire.kind)) {
    writer.nil();
    return;
  }
  switch (wire.kind) {
    case 'bool':
      if (typeof value !== 'boolean') throw mismatch(wire, value);
      writer.bool(value);
      break;
    case 'string':
      if (typeof value !== 'string') throw mismatch(wire, value);
      writer.string(value);
      break;
    case 'bytes':
      if (!(value instanceof Uint8Array)) throw mismatch(wire, value);
      writer.bytes(value);
      break;
    case 'fixed':
      if (!(value instanceof Uint8Array) || value.length !== wire.length) throw mismatch(wire, value);
      writer.bytes(value);
      break;
    case 'int8':
      writer.int8(small(wire, value, -0x80, 0x7f));
      break;
    case 'int16':
      writer.int16(small(wire, value, -0x8000, 0x7fff));
      break;
    case 'int32':
      writer.int32(small(wire, value, -0x80000000, 0x7fffffff));
      break;
    case 'uint8':
      writer.uint8(small(wire, value, 0, 0xff));
      break;
    case 'uint16':
      writer.uint16(small(wire, value, 0, 0xffff));
      break;
    case 'uint32':
      writer.uint32(small(wire, value, 0, 0xffffffff));
      break;
    case 'int64':
      if (isExact(wire, value)) writer.safe64(0xd3, value);
      else writer.int64(wide(wire, value, LEAST_INT64, MOST_INT64));
      break;
    case 'uint64':
      if (isExact(wire, value) && value >= 0) writer.safe64(0xcf, value);
      else writer.uint64(wide(wire, value, 0n, MOST_UINT64));
      break;
    case 'float32':
      if (typeof value !== 'number') throw mismatch(wire, value);
      writer.float32(value);
      break;
    case 'float64':
      if (typeof value !== 'number') throw mismatch(wire, value);
      writer.float64(value);
      break;
    case 'time':
      if (!isGoTime(value)) throw mismatch(wire, value);
      writer.time(value.seconds, value.nanoseconds);
      break;
    case 'opaque':
      writer.mapHeader(0);
      break;
    case 'any':
      encodeAny(writer, value, 0);
      break;
    case 'pointer':
      encodeInto(writer, wire.to, value);
      break;
    case 'slice':
      if (!Array.isArray(value)) throw mismatch(wire, value);
      writer.arrayHeader(value.length);
      encodeEach(value, (item) => encodeInto(writer, wire.of, item));
      break;
    case 'map':
      if (!(value instanceof Map)) throw mismatch(wire, value);
      writer.mapHeader(value.size);
      encodeEntries([...value], (key, item) => {
        encodeInto(writer, wire.key, key);
        encodeInto(writer, wire.value, item);
      });
      break;
    case 'struct':
      encodeStruct(writer, wire, wire.fields, value);
      break;
  }
}

const LEAST_INT64 = -(1n << 63n);
const MOST_INT64 = (1n << 63n) - 1n;
const MOST_UINT64 = (1n << 64n) - 1n;

/** A number where numbers carry the type, and exact: no detour by way of bigint. */
function isExact(wire: { readonly carrier?: string }, value: unknown): value is number {
  return typeof value === 'number' && wire.carrier === 'number' && Number.isSafeInteger(value);
}

/** Kinds of which Go has a nil. */
const NULLABLE: ReadonlySet<string> = new Set(['bytes', 'pointer', 'slice', 'map', 'any']);

function encodeStruct(
  writer: Writer,
  wire: Wire,
  fields: ReadonlyArray<readonly [string, Wire]>,
  value: unknown,
): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw mismatch(wire, value);
  const record = value as Record<string, unknown>;
  writer.mapHeader(fields.length);
  let at = '';
  try {
    for (const [name, of] of fields) {
      at = name;
      writer.string(name);
      encodeInto(writer, of, record[name]);
    }
  } catch (error) {
    throw within(at, error);
  }
}

function encodeEach(items: readonly unknown[], encodeItem: (item: unknown) => void): void {
  let at = 0;
  try {
    for (; at < items.length; at++) encodeItem(items[at]);
  } catch (error) {
    throw within(`[${at}]`, error);
  }
}

function encodeEntries(
  entries: ReadonlyArray<readonly [unknown, unknown]>,
  encodeEntry: (key: unknown, item: unknown) => void,
): void {
  for (const [key, item] of entries) {
    try {
      encodeEntry(key, item);
    } catch (error) {
      throw within(`[${String(key)}]`, error);
    }
  }
}

/** A dynamic value, its numbers as float64: what Go sends for decoded JSON. */
function encodeAny(writer: Writer, value: unknown, depth: number): void {
  if (depth > MAX_DEPTH) throw new WireError(`the value is nested more than ${MAX_DEPTH} deep`);
  if (value === null) writer.nil();
  else if (typeof value === 'boolean') writer.bool(value);
  else if (typeof value === 'number') writer.float64(value);
  else if (typeof value === 'string') writer.string(value);
  else if (typeof value === 'bigint') encodeBigint(writer, value);
  else if (typeof value !== 'object') throw new WireError(`a value of type ${typeof value} cannot cross the bus`);
  else if (value instanceof Typed) encodeInto(writer, value.wire, value.value);
  else if (isGoTime(value)) writer.time(value.seconds, value.nanoseconds);
  else if (value instanceof Uint8Array) writer.bytes(value);
  else if (Array.isArray(value)) {
    writer.arrayHeader(value.length);
    encodeEach(value, (item) => encodeAny(writer, item, depth + 1));
  } else {
    const entries = value instanceof Map ? [...value] : Object.entries(value);
    writer.mapHeader(entries.length);
    encodeEntries(entries, (key, item) => {
      encodeAny(writer, key, depth + 1);
      encodeAny(writer, item, depth + 1);
    });
  }
}

function encodeBigint(writer: Writer, value: bigint): void {
  if (value === BigInt.asIntN(64, value)) writer.int64(value);
  else if (value === BigInt.asUintN(64, value)) writer.uint64(value);
  else throw new WireError(`${value} has more than 64 bits`);
}

function small(wire: Wire, value: unknown, least: number, most: number): number {
  if (typeof value !== 'number') throw mismatch(wire, value);
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new WireError(`${value} does not fit ${wire.go} (${least} to ${most}, whole)`);
  }
  return value;
}

function wide(wire: Wire & { readonly carrier?: string }, value: unknown, least: bigint, most: bigint): bigint {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw new WireError(`${value} is not a whole number that JavaScript holds exactly; ${wire.go} needs one`);
  }
  const accepted = typeof value === 'bigint' || (typeof value === 'number' && wire.carrier === 'number');
  if (!accepted) throw mismatch(wire, value);
  const exact = BigInt(value);
  if (exact < least || exact > most) throw new WireError(`${value} does not fit ${wire.go} (${least} to ${most})`);
  return exact;
}

function mismatch(wire: Wire, value: unknown): WireError {
  const got = value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value;
  const size = value instanceof Uint8Array ? ` of ${value.length} bytes` : '';
  return new WireError(`${got}${size} where ${wire.go} is expected`);
}
