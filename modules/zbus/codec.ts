/**
 * Values to bytes and back, driven by wire types. Widths follow the Go type;
 * decoding accepts what a Go decoder accepts and refuses what it refuses.
 */
import { WireError } from './errors.ts';
import { Reader, Writer } from './msgpack.ts';
import type { GoTime, Infer, Wire } from './wire.ts';

/** Go's zero `time.Time`: midnight of 1 January of the year 1, UTC. */
export const ZERO_TIME: GoTime = { seconds: -62135596800n, nanoseconds: 0 };

const TIME_EXTENSION = -1;
const MAX_DEPTH = 512;

export interface DecodeOptions {
  /** Keeps Go's nil slices and maps as `null` and numbers inside `any` as `Typed`. */
  readonly raw?: boolean;
}

/** A value inside `any` with the Go type it has on the wire. */
export class Typed {
  readonly wire: Wire;
  readonly value: unknown;

  constructor(wire: Wire, value: unknown) {
    this.wire = wire;
    this.value = value;
  }
}

/** @throws WireError with the path of the field that cannot be held. */
export function encode<W extends Wire>(wire: W, value: Infer<W>): Buffer {
  const writer = new Writer();
  encodeInto(writer, wire, value);
  return writer.finish();
}

/** Reads the first value; bytes after it are ignored, as Go does. @throws WireError */
export function decode<W extends Wire>(wire: W, bytes: Uint8Array, options: DecodeOptions = {}): Infer<W> {
  return decodeFrom(new Reader(bytes), wire, options.raw === true) as Infer<W>;
}

export function encodeInto(writer: Writer, wire: Wire, value: unknown): void {
  switch (wire.kind) {
    case 'bool':
      if (typeof value !== 'boolean') throw mismatch(wire, value);
      return writer.bool(value);
    case 'string':
      if (typeof value !== 'string') throw mismatch(wire, value);
      return writer.string(value);
    case 'bytes':
      if (value === null) return writer.nil();
      if (!(value instanceof Uint8Array)) throw mismatch(wire, value);
      return writer.bytes(value);
    case 'fixed':
      if (!(value instanceof Uint8Array) || value.length !== wire.length) throw mismatch(wire, value);
      return writer.bytes(value);
    case 'int8':
      return writer.int8(small(wire, value, -0x80, 0x7f));
    case 'int16':
      return writer.int16(small(wire, value, -0x8000, 0x7fff));
    case 'int32':
      return writer.int32(small(wire, value, -0x80000000, 0x7fffffff));
    case 'uint8':
      return writer.uint8(small(wire, value, 0, 0xff));
    case 'uint16':
      return writer.uint16(small(wire, value, 0, 0xffff));
    case 'uint32':
      return writer.uint32(small(wire, value, 0, 0xffffffff));
    case 'int64':
      return writer.int64(wide(wire, value, -(1n << 63n), (1n << 63n) - 1n));
    case 'uint64':
      return writer.uint64(wide(wire, value, 0n, (1n << 64n) - 1n));
    case 'float32':
      if (typeof value !== 'number') throw mismatch(wire, value);
      return writer.float32(value);
    case 'float64':
      if (typeof value !== 'number') throw mismatch(wire, value);
      return writer.float64(value);
    case 'time':
      return encodeTime(writer, wire, value);
    case 'opaque':
      return writer.mapHeader(0);
    case 'any':
      return encodeAny(writer, value, 0);
    case 'pointer':
      return value === null ? writer.nil() : encodeInto(writer, wire.to, value);
    case 'slice':
      return encodeSlice(writer, wire, wire.of, value);
    case 'map':
      return encodeMap(writer, wire, wire.key, wire.value, value);
    case 'struct':
      return encodeStruct(writer, wire, wire.fields, value);
  }
}

function encodeSlice(writer: Writer, wire: Wire, of: Wire, value: unknown): void {
  if (value === null) return writer.nil();
  if (!Array.isArray(value)) throw mismatch(wire, value);
  writer.arrayHeader(value.length);
  for (const [index, item] of value.entries()) within(`[${index}]`, () => encodeInto(writer, of, item));
}

function encodeMap(writer: Writer, wire: Wire, key: Wire, of: Wire, value: unknown): void {
  if (value === null) return writer.nil();
  if (!(value instanceof Map)) throw mismatch(wire, value);
  writer.mapHeader(value.size);
  for (const [name, item] of value) {
    within(`[${String(name)}]`, () => {
      encodeInto(writer, key, name);
      encodeInto(writer, of, item);
    });
  }
}

function encodeStruct(
  writer: Writer,
  wire: Wire,
  fields: ReadonlyArray<readonly [string, Wire]>,
  value: unknown,
): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw mismatch(wire, value);
  const record = value as Record<string, unknown>;
  writer.mapHeader(fields.length);
  for (const [name, of] of fields) {
    writer.string(name);
    within(name, () => encodeInto(writer, of, record[name]));
  }
}

function encodeTime(writer: Writer, wire: Wire, value: unknown): void {
  const time = value as Partial<GoTime> | null | undefined;
  const { seconds, nanoseconds } = time ?? {};
  if (typeof seconds !== 'bigint' || seconds !== BigInt.asIntN(64, seconds)) throw mismatch(wire, value);
  const inSecond = Number.isInteger(nanoseconds) && Number(nanoseconds) >= 0 && Number(nanoseconds) < 1e9;
  if (!inSecond) throw mismatch(wire, value);
  writer.time(seconds, Number(nanoseconds));
}

/** A dynamic value as Go would send it if it held float64 numbers, like decoded JSON. */
function encodeAny(writer: Writer, value: unknown, depth: number): void {
  if (depth > MAX_DEPTH) throw new WireError(`the value is nested more than ${MAX_DEPTH} deep`);
  if (value === null) return writer.nil();
  if (value instanceof Typed) return encodeInto(writer, value.wire, value.value);
  if (value instanceof Uint8Array) return writer.bytes(value);
  if (Array.isArray(value)) {
    writer.arrayHeader(value.length);
    for (const [index, item] of value.entries()) within(`[${index}]`, () => encodeAny(writer, item, depth + 1));
    return;
  }
  switch (typeof value) {
    case 'boolean':
      return writer.bool(value);
    case 'number':
      return writer.float64(value);
    case 'string':
      return writer.string(value);
    case 'bigint':
      if (value === BigInt.asIntN(64, value)) return writer.int64(value);
      if (value === BigInt.asUintN(64, value)) return writer.uint64(value);
      throw new WireError(`${value} has more than 64 bits`);
    case 'object': {
      const entries = value instanceof Map ? [...value] : Object.entries(value);
      writer.mapHeader(entries.length);
      for (const [name, item] of entries) {
        within(`[${String(name)}]`, () => {
          encodeAny(writer, name, depth + 1);
          encodeAny(writer, item, depth + 1);
        });
      }
      return;
    }
    default:
      throw new WireError(`a ${typeof value} cannot cross the bus`);
  }
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
      return Number(BigInt.asIntN(WIDTH[wire.kind], integer(reader)));
    case 'uint8':
    case 'uint16':
    case 'uint32':
      return Number(BigInt.asUintN(WIDTH[wire.kind], integer(reader)));
    case 'int64':
      return carried(wire, BigInt.asIntN(64, integer(reader)));
    case 'uint64':
      return carried(wire, BigInt.asUintN(64, integer(reader)));
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
      return decodeAny(reader, raw, 0);
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

function decodeFloat(reader: Reader): number {
  if (reader.family() === 'float') return reader.float();
  return Number(BigInt.asIntN(64, integer(reader)));
}

function decodeSlice(reader: Reader, of: Wire, raw: boolean): unknown[] | null {
  if (reader.nil()) return raw ? null : [];
  const items: unknown[] = [];
  const length = reader.arrayLength();
  for (let index = 0; index < length; index++) {
    items.push(within(`[${index}]`, () => decodeFrom(reader, of, raw)));
  }
  return items;
}

function decodeMap(reader: Reader, key: Wire, of: Wire, raw: boolean): Map<unknown, unknown> | null {
  if (reader.nil()) return raw ? null : new Map();
  const items = new Map<unknown, unknown>();
  for (let left = reader.mapLength(); left > 0; left--) {
    const name = decodeFrom(reader, key, raw);
    items.set(
      name,
      within(`[${String(name)}]`, () => decodeFrom(reader, of, raw)),
    );
  }
  return items;
}

function decodeStruct(
  reader: Reader,
  fields: ReadonlyArray<readonly [string, Wire]>,
  raw: boolean,
): Record<string, unknown> {
  const record: Record<string, unknown> = {};
  for (const [name] of fields) record[name] = undefined;
  if (reader.nil()) return fill(record, fields, raw);
  if (reader.family() === 'array') {
    const length = reader.arrayLength();
    for (let index = 0; index < length; index++) {
      const field = fields[index];
      if (field === undefined) reader.skip();
      else record[field[0]] = within(field[0], () => decodeFrom(reader, field[1], raw));
    }
    return fill(record, fields, raw);
  }
  let expected = 0;
  for (let left = reader.mapLength(); left > 0; left--) {
    const name = reader.nil() ? '' : reader.string();
    // Go sends fields in order, so the next one is nearly always the right one.
    let field = fields[expected];
    if (field?.[0] !== name) {
      const at = fields.findIndex(([known]) => known === name);
      field = fields[at];
      if (at >= 0) expected = at;
    }
    expected++;
    if (field === undefined) {
      reader.skip();
      continue;
    }
    const of = field[1];
    record[name] = within(name, () => decodeFrom(reader, of, raw));
  }
  return fill(record, fields, raw);
}

function fill(
  record: Record<string, unknown>,
  fields: ReadonlyArray<readonly [string, Wire]>,
  raw: boolean,
): Record<string, unknown> {
  for (const [name, of] of fields) {
    if (record[name] === undefined) record[name] = raw ? zeroRaw(of) : zero(of);
  }
  return record;
}

/** The value a Go variable of this type has before anything is assigned. */
export function zero<W extends Wire>(wire: W): Infer<W> {
  return zeroOf(wire, false) as Infer<W>;
}

function zeroRaw(wire: Wire): unknown {
  return zeroOf(wire, true);
}

/** `raw` gives nil slices and maps, which is what Go sends for zero values. */
export function zeroOf(wire: Wire, raw: boolean): unknown {
  switch (wire.kind) {
    case 'bool':
      return false;
    case 'string':
      return '';
    case 'bytes':
    case 'pointer':
    case 'any':
      return null;
    case 'fixed':
      return new Uint8Array(wire.length);
    case 'int64':
    case 'uint64':
      return wire.carrier === 'bigint' ? 0n : 0;
    case 'time':
      return ZERO_TIME;
    case 'opaque':
      return {};
    case 'slice':
      return raw ? null : [];
    case 'map':
      return raw ? null : new Map();
    case 'struct':
      return Object.fromEntries(wire.fields.map(([name, of]) => [name, zeroOf(of, raw)]));
    default:
      return 0;
  }
}

function decodeTime(reader: Reader): GoTime {
  switch (reader.family()) {
    case 'ext': {
      const { type, data } = reader.extension();
      if (type !== TIME_EXTENSION) throw new WireError(`extension ${type} where a time is expected`);
      return timeOf(data);
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

function timeOf(data: Buffer): GoTime {
  if (data.length === 4) return { seconds: BigInt(data.readUInt32BE(0)), nanoseconds: 0 };
  if (data.length === 8) {
    const packed = data.readBigUInt64BE(0);
    return normalTime(packed & ((1n << 34n) - 1n), packed >> 34n);
  }
  if (data.length === 12) return normalTime(data.readBigInt64BE(4), BigInt(data.readUInt32BE(0)));
  throw new WireError(`a time of ${data.length} bytes; it has 4, 8 or 12`);
}

function normalTime(seconds: bigint, nanoseconds: bigint): GoTime {
  let carry = nanoseconds / 1_000_000_000n;
  let rest = nanoseconds % 1_000_000_000n;
  if (rest < 0n) {
    rest += 1_000_000_000n;
    carry -= 1n;
  }
  return { seconds: seconds + carry, nanoseconds: Number(rest) };
}

const RFC3339 = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)$/;

function parseTime(text: string): GoTime {
  const [, base, fraction = '', zone] = RFC3339.exec(text) ?? [];
  const milliseconds = Date.parse(`${base}${zone}`);
  if (base === undefined || Number.isNaN(milliseconds)) throw new WireError(`'${text}' is not an RFC 3339 time`);
  return { seconds: BigInt(milliseconds / 1000), nanoseconds: Number(fraction.padEnd(9, '0')) };
}

function decodeAny(reader: Reader, raw: boolean, depth: number): unknown {
  if (depth > MAX_DEPTH) throw new WireError(`the message is nested more than ${MAX_DEPTH} deep`);
  const code = reader.peek();
  switch (reader.family()) {
    case 'nil':
      reader.nil();
      return null;
    case 'bool':
      return reader.bool();
    case 'int': {
      const value = reader.integer();
      if (raw) return new Typed(integerWire(code), value);
      return typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value;
    }
    case 'float': {
      const value = reader.float();
      return raw && code === 0xca ? new Typed({ kind: 'float32', go: 'float32' }, value) : value;
    }
    case 'str':
      return reader.string();
    case 'bin':
      return new Uint8Array(reader.blob('bytes'));
    case 'array': {
      const items: unknown[] = [];
      for (let left = reader.arrayLength(); left > 0; left--) items.push(decodeAny(reader, raw, depth + 1));
      return items;
    }
    case 'map':
      return decodeAnyMap(reader, raw, depth);
    case 'ext': {
      const { type, data } = reader.extension();
      if (type !== TIME_EXTENSION) throw new WireError(`unknown extension ${type}`);
      const time = timeOf(data);
      return raw ? new Typed({ kind: 'time', go: 'time.Time' }, time) : time;
    }
    case 'never':
      throw reader.unexpected('a value');
  }
}

/** String keys give an object; keys of one other type a Map; mixed keys are refused, as Go does. */
function decodeAnyMap(reader: Reader, raw: boolean, depth: number): unknown {
  const entries: Array<[unknown, unknown]> = [];
  let first: string | undefined;
  for (let left = reader.mapLength(); left > 0; left--) {
    const family = reader.family();
    const kind = family === 'bin' ? 'str' : family;
    first ??= kind;
    if (kind !== first) throw new WireError(`a map with keys of mixed types (${first} and ${kind})`);
    const key = kind === 'str' ? reader.string() : decodeAny(reader, raw, depth + 1);
    entries.push([key, decodeAny(reader, raw, depth + 1)]);
  }
  return first === undefined || first === 'str' ? Object.fromEntries(entries) : new Map(entries);
}

function integerWire(code: number): Wire {
  switch (code) {
    case 0xcc:
      return { kind: 'uint8', go: 'uint8' };
    case 0xcd:
      return { kind: 'uint16', go: 'uint16' };
    case 0xce:
      return { kind: 'uint32', go: 'uint32' };
    case 0xcf:
      return { kind: 'uint64', carrier: 'bigint', go: 'uint64' };
    case 0xd1:
      return { kind: 'int16', go: 'int16' };
    case 0xd2:
      return { kind: 'int32', go: 'int32' };
    case 0xd3:
      return { kind: 'int64', carrier: 'bigint', go: 'int64' };
    default:
      return { kind: 'int8', go: 'int8' };
  }
}

function small(wire: Wire, value: unknown, least: number, most: number): number {
  if (typeof value !== 'number') throw mismatch(wire, value);
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new WireError(`${value} does not fit ${wire.go} (${least} to ${most}, whole)`);
  }
  return value;
}

function wide(wire: Wire & { carrier?: string }, value: unknown, least: bigint, most: bigint): bigint {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw new WireError(`${value} is not a whole number that JavaScript holds exactly; ${wire.go} needs one`);
  }
  if (typeof value !== 'bigint' && (typeof value !== 'number' || wire.carrier !== 'number')) {
    throw mismatch(wire, value);
  }
  const exact = BigInt(value);
  if (exact < least || exact > most) throw new WireError(`${value} does not fit ${wire.go} (${least} to ${most})`);
  return exact;
}

function carried(wire: Wire & { carrier?: string }, value: bigint): bigint | number {
  if (wire.carrier === 'bigint') return value;
  if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER)) {
    throw new WireError(`${value} (${wire.go}) is beyond the whole numbers JavaScript holds exactly`);
  }
  return Number(value);
}

function mismatch(wire: Wire, value: unknown): WireError {
  const got = value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value;
  return new WireError(`${got} where ${wire.go} is expected`);
}

function within<T>(segment: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof WireError ? error.within(segment) : error;
  }
}
