/** Bytes to values: accepts what a Go decoder accepts for the type and refuses what it refuses. */
import { decodeAny } from './dynamic.ts';
import { WireError, within } from './errors.ts';
import { normalTime, parseTime, TIME_EXTENSION, timeOfExtension } from './gotime.ts';
import { Reader } from './reader.ts';
import type { GoTime, Infer, Wire } from './wire.ts';
import { zeroOf } from './zero.ts';

export interface DecodeOptions {
  /** Keeps Go's nil slices and maps as `null`, and typed numbers inside `any` as `Typed`. */
  readonly raw?: boolean;
}

type Fields = ReadonlyArray<readonly [string, Wire]>;

/** Reads the first value; bytes after it are ignored, as Go does. @throws WireError */
export function decode<W extends Wire>(wire: W, bytes: Uint8Array, options: DecodeOptions = {}): Infer<W> {
  return decodeFrom(new Reader(bytes), wire, options.raw === true) as Infer<W>;
}

export function decodeFrom(reader: Reader, wire: Wire, raw: boolean): unknown {
  switch (wire.kind) {
    case 'bool':
      return reader.bool();
    case 'string':
      return reader.nil() ? '' : reader.string();
    case 'bytes':
      return reader.nil() ? null : new Uint8Array(reader.blob('bytes'));
    case 'fixed':
      return decodeFixed(reader, wire.length);
    case 'int8':
    case 'int16':
    case 'int32':
      return narrow(reader, WIDTH[wire.kind], true);
    case 'uint8':
    case 'uint16':
    case 'uint32':
      return narrow(reader, WIDTH[wire.kind], false);
    case 'int64':
    case 'uint64':
      return decode64(reader, wire);
    case 'float32':
      return Math.fround(decodeFloat(reader));
    case 'float64':
      return decodeFloat(reader);
    case 'time':
      return decodeTime(reader);
    case 'opaque':
      reader.skip();
      return {};
    case 'any':
      return decodeAny(reader, raw);
    case 'pointer':
      return reader.nil() ? null : decodeFrom(reader, wire.to, raw);
    case 'slice':
      return decodeSlice(reader, wire.of, raw);
    case 'map':
      return decodeMap(reader, wire.key, wire.value, raw);
    case 'struct':
      return decodeStruct(reader, wire.fields, raw);
  }
}

const WIDTH = { int8: 8, int16: 16, int32: 32, uint8: 8, uint16: 16, uint32: 32 } as const;

function decodeFixed(reader: Reader, length: number): Uint8Array {
  const fixed = new Uint8Array(length);
  if (reader.nil()) return fixed;
  const bytes = reader.blob('bytes');
  if (bytes.length > length) throw new WireError(`${bytes.length} bytes where at most ${length} fit`);
  fixed.set(bytes);
  return fixed;
}

function integer(reader: Reader): bigint {
  return reader.nil() ? 0n : BigInt(reader.integer());
}

/** Go cuts what is too wide. */
function narrow(reader: Reader, bits: number, signed: boolean): number {
  if (reader.nil()) return 0;
  const value = reader.exactInteger();
  const most = 2 ** (signed ? bits - 1 : bits);
  if (typeof value === 'number' && value < most && value >= (signed ? -most : 0)) return value;
  const whole = BigInt(value);
  return Number(signed ? BigInt.asIntN(bits, whole) : BigInt.asUintN(bits, whole));
}

function decode64(reader: Reader, wire: Wire & { readonly carrier?: string }): bigint | number {
  const value = reader.nil() ? 0 : reader.exactInteger();
  const signed = wire.kind === 'int64';
  if (typeof value === 'number' && wire.carrier !== 'bigint' && (signed || value >= 0)) return value;
  const whole = signed ? BigInt.asIntN(64, BigInt(value)) : BigInt.asUintN(64, BigInt(value));
  if (wire.carrier === 'bigint') return whole;
  if (whole > BigInt(Number.MAX_SAFE_INTEGER) || whole < BigInt(Number.MIN_SAFE_INTEGER)) {
    throw new WireError(`${whole} (${wire.go}) is beyond the whole numbers JavaScript holds exactly`);
  }
  return Number(whole);
}

/** Go reads integers into floats by way of int64. */
function decodeFloat(reader: Reader): number {
  if (reader.family() === 'float') return reader.float();
  return Number(BigInt.asIntN(64, integer(reader)));
}

function decodeSlice(reader: Reader, of: Wire, raw: boolean): unknown[] | null {
  if (reader.nil()) return raw ? null : [];
  const items: unknown[] = [];
  const length = reader.elements(reader.arrayLength());
  try {
    while (items.length < length) items.push(decodeFrom(reader, of, raw));
  } catch (error) {
    throw within(`[${items.length}]`, error);
  }
  return items;
}

function decodeMap(reader: Reader, key: Wire, of: Wire, raw: boolean): Map<unknown, unknown> | null {
  if (reader.nil()) return raw ? null : new Map();
  const items = new Map<unknown, unknown>();
  let name: unknown = '';
  try {
    for (let left = reader.elements(reader.mapLength()); left > 0; left--) {
      name = decodeFrom(reader, key, raw);
      items.set(name, decodeFrom(reader, of, raw));
    }
  } catch (error) {
    throw within(`[${String(name)}]`, error);
  }
  return items;
}

function decodeStruct(reader: Reader, fields: Fields, raw: boolean): Record<string, unknown> {
  const record: Record<string, unknown> = {};
  for (const [name] of fields) record[name] = undefined;
  if (!reader.nil()) {
    if (reader.family() === 'array') readPositions(reader, fields, record, raw);
    else readKeys(reader, fields, record, raw);
  }
  for (const [name, of] of fields) if (record[name] === undefined) record[name] = zeroOf(of, raw);
  return record;
}

function readKeys(reader: Reader, fields: Fields, record: Record<string, unknown>, raw: boolean): void {
  let expected = 0;
  for (let left = reader.mapLength(); left > 0; left--) {
    // Go sends fields in order, so the next one is nearly always the right one.
    let field = fields[expected];
    if (field === undefined || !reader.text(field[0])) {
      const name = reader.nil() ? '' : reader.string();
      expected = fields.findIndex(([known]) => known === name);
      field = fields[expected];
    }
    expected++;
    readField(reader, field, record, raw);
  }
}

function readPositions(reader: Reader, fields: Fields, record: Record<string, unknown>, raw: boolean): void {
  const length = reader.arrayLength();
  for (let index = 0; index < length; index++) readField(reader, fields[index], record, raw);
}

function readField(
  reader: Reader,
  field: readonly [string, Wire] | undefined,
  record: Record<string, unknown>,
  raw: boolean,
): void {
  if (field === undefined) {
    reader.skip();
    return;
  }
  const [name, of] = field;
  try {
    record[name] = decodeFrom(reader, of, raw);
  } catch (error) {
    throw within(name, error);
  }
}

function decodeTime(reader: Reader): GoTime {
  switch (reader.family()) {
    case 'ext': {
      const { type, data } = reader.extension();
      if (type !== TIME_EXTENSION) throw new WireError(`extension ${type} where a time is expected`);
      return timeOfExtension(data);
    }
    case 'str':
    case 'bin':
      return parseTime(reader.string());
    case 'array': {
      const length = reader.arrayLength();
      if (length !== 2) throw new WireError(`an array of ${length} where a time of 2 numbers is expected`);
      const seconds = BigInt.asIntN(64, integer(reader));
      return normalTime(seconds, BigInt.asIntN(64, integer(reader)));
    }
    default:
      throw reader.unexpected('a time');
  }
}
