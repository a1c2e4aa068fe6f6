/**
 * Bus values as JSON that people read and type: byte strings in base64, times
 * in RFC 3339, addresses as text, 64-bit integers as exact JSON numbers.
 */

import { parseTime, ZERO_TIME } from '../../modules/zbus/gotime.ts';
import { type GoTime, type Wire, WireError } from '../../modules/zbus/index.ts';
import { parseIp, printIp } from '../../schemas/addresses.ts';

declare global {
  interface JSON {
    /** ES2026; the compiler's library has no line for it yet. */
    rawJSON(text: string): unknown;
  }
}

interface Text {
  readonly print: (bytes: Uint8Array) => string | undefined;
  readonly parse: (text: string) => Uint8Array | undefined;
}

const hexBytes = (text: string): Uint8Array | undefined =>
  /^([0-9a-f]{2})+$/i.test(text) ? new Uint8Array(Buffer.from(text, 'hex')) : undefined;

/** Byte strings that Go prints in a form of their own. */
const TEXTS: Readonly<Record<string, Text>> = {
  'net.IP': {
    print: (bytes) => (bytes.length === 4 || bytes.length === 16 ? printIp(bytes) : undefined),
    parse: parseIp,
  },
  'net.IPMask': { print: (bytes) => Buffer.from(bytes).toString('hex'), parse: hexBytes },
  'net.HardwareAddr': {
    print: (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':'),
    parse: (text) => hexBytes(text.replaceAll(':', '')),
  },
};

/** One line of JSON. Integers beyond 2^53 keep every digit. */
export function printValue(wire: Wire, value: unknown, indent?: number): string {
  return JSON.stringify(jsonOf(wire, value), undefined, indent) ?? 'null';
}

/** JSON text whose numbers keep their digits, for `fromJson`. Throws `SyntaxError`. */
export function parseExact(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown, context: { readonly source?: string } = {}) => {
    if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
    return context.source !== undefined && /^-?\d+$/.test(context.source) ? BigInt(context.source) : value;
  });
}

/** What `JSON.stringify` prints for a value of that type. */
export function jsonOf(wire: Wire, value: unknown): unknown {
  if (value === null || value === undefined) return null;
  switch (wire.kind) {
    case 'bytes':
    case 'fixed':
      return bytesText(wire, value as Uint8Array);
    case 'time':
      return timeText(value as GoTime);
    case 'slice':
      return (value as unknown[]).map((item) => jsonOf(wire.of, item));
    case 'pointer':
      return jsonOf(wire.to, value);
    case 'map':
      return Object.fromEntries(
        [...(value as Map<unknown, unknown>)].map(([key, item]) => [printKey(wire.key, key), jsonOf(wire.value, item)]),
      );
    case 'struct':
      return Object.fromEntries(
        wire.fields.map(([name, of]) => [name, jsonOf(of, (value as Record<string, unknown>)[name])]),
      );
    case 'any':
      return looseJson(value);
    default:
      return exact(value);
  }
}

/** The value that JSON stands for. Throws `WireError` with the path of what does not fit. */
export function fromJson(wire: Wire, json: unknown, path = ''): unknown {
  const misfit = (expected: string): WireError =>
    new WireError(`${JSON.stringify(json, bigintText)} where ${expected} is expected`, path);
  switch (wire.kind) {
    case 'bytes':
    case 'fixed':
      return json === null && wire.kind === 'bytes' ? null : bytesOf(wire, json, misfit);
    case 'time':
      if (json === null) return ZERO_TIME;
      if (typeof json !== 'string') throw misfit('an RFC 3339 time');
      return parseTime(json);
    case 'int64':
    case 'uint64':
      if (typeof json !== 'number' && typeof json !== 'bigint') throw misfit(`a whole number (${wire.go})`);
      if (typeof json === 'number' && !Number.isInteger(json)) throw misfit(`a whole number (${wire.go})`);
      return wire.carrier === 'number' && Number.isSafeInteger(Number(json)) ? Number(json) : BigInt(json);
    case 'slice':
      if (json === null) return [];
      if (!Array.isArray(json)) throw misfit(`a list of ${wire.of.go}`);
      return json.map((item, index) => fromJson(wire.of, item, `${path}[${index}]`));
    case 'pointer':
      return json === null ? null : fromJson(wire.to, json, path);
    case 'map':
      if (json === null) return new Map();
      if (!isRecord(json)) throw misfit(`an object (${wire.go})`);
      return new Map(
        Object.entries(json).map(([key, item]) => [
          wire.key.kind === 'string' ? key : fromJson(wire.key, parseExact(key), `${path}[${key}]`),
          fromJson(wire.value, item, `${path}[${key}]`),
        ]),
      );
    case 'struct': {
      if (!isRecord(json)) throw misfit(`an object (${wire.go})`);
      const known = new Set(wire.fields.map(([name]) => name));
      const stray = Object.keys(json).find((name) => !known.has(name));
      if (stray !== undefined)
        throw new WireError(`${wire.go} has no field ${stray}; it has ${[...known].join(', ')}`, path);
      return Object.fromEntries(
        wire.fields.map(([name, of]) => {
          const at = path === '' ? name : `${path}.${name}`;
          return [name, name in json ? fromJson(of, json[name], at) : missing(of, at)];
        }),
      );
    }
    default:
      return json;
  }
}

/** Fields that may be left out are those of which Go has a nil. */
function missing(wire: Wire, path: string): unknown {
  if (['bytes', 'pointer', 'slice', 'map', 'any', 'opaque'].includes(wire.kind)) {
    return wire.kind === 'opaque' ? {} : fromJson(wire, null, path);
  }
  throw new WireError(`missing; it is a ${wire.go}`, path);
}

function bytesText(wire: Wire, bytes: Uint8Array): unknown {
  if (wire.go === 'json.RawMessage') return rawMessage(bytes);
  return TEXTS[wire.go]?.print(bytes) ?? Buffer.from(bytes).toString('base64');
}

/** JSON inside bytes appears as JSON where that keeps every byte, else as `{"$base64": …}`. */
function rawMessage(bytes: Uint8Array): unknown {
  const text = Buffer.from(bytes).toString('utf8');
  try {
    const json = parseExact(text);
    const plain = !(isRecord(json) && '$base64' in json);
    if (plain && JSON.stringify(json, bigintText) === text) return asPrinted(json);
  } catch {
    // Not JSON: then bytes.
  }
  return { $base64: Buffer.from(bytes).toString('base64') };
}

function bytesOf(wire: Wire, json: unknown, misfit: (expected: string) => WireError): Uint8Array {
  if (wire.go === 'json.RawMessage') {
    if (!isRecord(json) || typeof json.$base64 !== 'string')
      return Buffer.from(JSON.stringify(json, bigintText), 'utf8');
    return Buffer.from(json.$base64, 'base64');
  }
  if (typeof json !== 'string') throw misfit(`text (${wire.go})`);
  const special = TEXTS[wire.go];
  if (special !== undefined) {
    const parsed = special.parse(json);
    if (parsed === undefined) throw misfit(`a ${wire.go} as text`);
    return parsed;
  }
  const bytes = Buffer.from(json, 'base64');
  if (bytes.toString('base64') !== json) throw misfit('base64 with padding');
  return new Uint8Array(bytes);
}

function timeText({ seconds, nanoseconds }: GoTime): string {
  const base = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  const fraction = nanoseconds === 0 ? '' : `.${String(nanoseconds).padStart(9, '0').replace(/0+$/, '')}`;
  return `${base}${fraction}Z`;
}

/** Big integers in the form that `JSON.stringify` prints whole. */
function asPrinted(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(asPrinted);
  if (!isRecord(json)) return exact(json);
  return Object.fromEntries(Object.entries(json).map(([key, item]) => [key, asPrinted(item)]));
}

function printKey(wire: Wire, key: unknown): string {
  return typeof key === 'string' ? key : JSON.stringify(jsonOf(wire, key));
}

function exact(value: unknown): unknown {
  return typeof value === 'bigint' ? JSON.rawJSON(String(value)) : value;
}

/** A dynamic value: bytes and maps in it have no type to go by. */
function looseJson(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value)) return value.map(looseJson);
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [String(key), looseJson(item)]));
  if (!isRecord(value)) return exact(value);
  const { seconds, nanoseconds } = value;
  if (typeof seconds === 'bigint' && typeof nanoseconds === 'number') return timeText({ seconds, nanoseconds });
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, looseJson(item)]));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function bigintText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? JSON.rawJSON(String(value)) : value;
}
