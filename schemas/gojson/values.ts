/** The values of the grid's JSON: integers of Go's widths, text, addresses, raw data. */
import { z } from 'zod';
import { normaliseCidr, normaliseIp } from '../addresses.ts';
import { type About, mismatch, type Place, pathOf, withCodec } from './codec.ts';
import { ADDRESS_TEXT, HEX_TEXT, PREFIX_TEXT, RFC3339_TEXT } from './patterns.ts';
import { DecodeProblem } from './problem.ts';
import type { JsonReader } from './reader.ts';

export const text = withCodec(z.string(), {
  zero: () => '',
  read: (json, previous, place) => {
    if (json.null()) return previous;
    const value = json.string();
    if (value === undefined) throw mismatch(json, 'string', place);
    return value;
  },
  write: (value) => JSON.stringify(value),
});

export const bool = withCodec(z.boolean(), {
  zero: () => false,
  read: (json, previous, place) => {
    if (json.null()) return previous;
    const value = json.bool();
    if (value === undefined) throw mismatch(json, 'bool', place);
    return value;
  },
  write: (value) => String(value),
});

function integer(go: string, min: number, max: number) {
  const pattern = min < 0 ? /^-?\d{1,20}$/ : /^\d{1,20}$/;
  return withCodec(z.int().min(min).max(max), {
    zero: () => 0,
    read: (json, previous, place) => {
      const plain = json.digits(max);
      if (plain !== undefined) return plain;
      if (json.null()) return previous;
      const token = json.number();
      const value = pattern.test(token) ? Number(token) : Number.NaN;
      if (!(value >= min && value <= max)) throw mismatch(json, go, place);
      json.skip();
      return value === 0 ? 0 : value;
    },
    write: (value) => String(value),
  });
}

export const uint8 = integer('uint8', 0, 0xff);
export const uint16 = integer('uint16', 0, 0xffff);
export const uint32 = integer('uint32', 0, 0xffffffff);
/** Go's 64-bit `uint`; above 2^53 - 1 it is refused, never rounded. */
export const uint = integer('uint', 0, Number.MAX_SAFE_INTEGER);
/** Bytes in what a node says of itself; above 2^53 - 1 refused, never rounded. */
export const unit = integer('gridtypes.Unit', 0, Number.MAX_SAFE_INTEGER);
export const count = integer('uint64', 0, Number.MAX_SAFE_INTEGER);

/** A number that may have a fraction; never infinite. */
export const float64 = withCodec(z.number(), {
  zero: () => 0,
  read: (json, previous, place) => {
    if (json.null()) return previous;
    const token = json.number();
    const value = token === '' ? Number.NaN : Number(token);
    if (!Number.isFinite(value)) throw mismatch(json, 'float64', place);
    json.skip();
    return value;
  },
  write: (value) => JSON.stringify(value),
});

const MAX_UINT64 = 0xffff_ffff_ffff_ffffn;

const UINT64_SCHEMA = { type: 'integer', minimum: 0, maximum: Number(MAX_UINT64) } as const;
/** Generators that hold bounds in integers with a sign make nonsense of the maximum. */
const UINT64_WRITTEN = { type: 'integer', minimum: 0 } as const;
const UINT64_NOTE =
  'JavaScript: `JSON.parse` rounds above 2^53 - 1 (9007199254740991); use a reader that keeps such integers as bigint.';

function readUint64(json: JsonReader, go: string, place: Place): bigint {
  const token = json.number();
  if (!/^\d{1,20}$/.test(token)) throw mismatch(json, go, place);
  const value = BigInt(token);
  if (value > MAX_UINT64) throw mismatch(json, go, place);
  json.skip();
  return value;
}

/** Ids of 64 bits, a bigint here and an integer in JSON. */
export const uint64 = withCodec(z.bigint().min(0n).max(MAX_UINT64), {
  zero: () => 0n,
  read: (json, previous, place) => (json.null() ? previous : readUint64(json, 'uint64', place)),
  write: (value) => String(value),
  about: {
    name: 'Uint64',
    summary: `An unsigned integer of 64 bits. ${UINT64_NOTE}`,
    json: UINT64_SCHEMA,
    written: UINT64_WRITTEN,
  },
});

/** Bytes a tenant asks for: a number where it is exact, a bigint beyond 2^53 - 1. */
export const size = withCodec(z.union([z.int().nonnegative(), z.bigint().min(0n).max(MAX_UINT64)]), {
  zero: () => 0,
  read: (json, previous, place) => {
    if (json.null()) return previous;
    const plain = json.digits();
    if (plain !== undefined) return plain;
    const value = readUint64(json, 'gridtypes.Unit', place);
    return value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
  },
  write: (value) => String(value),
  about: {
    name: 'Size',
    summary: `Bytes, an unsigned integer of 64 bits. ${UINT64_NOTE}`,
    json: UINT64_SCHEMA,
    written: UINT64_WRITTEN,
  },
});

const UNIX_SECONDS = { type: 'integer', minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER } as const;

/** Unix seconds; RFC 3339 text is accepted and counted. */
export const timestamp = withCodec(
  z
    .union([z.int(), z.iso.datetime({ offset: true })])
    .transform((value) => (typeof value === 'number' ? value : Math.floor(Date.parse(value) / 1000))),
  {
    zero: () => 0,
    read: (json, previous, place) => {
      if (json.null()) return previous;
      const plain = json.digits();
      if (plain !== undefined) return plain;
      const time = json.string();
      if (time !== undefined) return rfc3339(time, pathOf(place));
      const token = json.number();
      const value = /^-?\d{1,19}$/.test(token) ? Number(token) : Number.NaN;
      if (!Number.isSafeInteger(value)) throw mismatch(json, 'gridtypes.Timestamp', place);
      json.skip();
      return value === 0 ? 0 : value;
    },
    write: (value) => String(value),
    about: {
      name: 'Timestamp',
      summary: 'Seconds since 1970 began in UTC. Written as an integer; text of RFC 3339 is read, too.',
      written: UNIX_SECONDS,
      json: {
        anyOf: [UNIX_SECONDS, { type: 'string', pattern: RFC3339_TEXT }],
      },
    },
  },
);

const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)([.,]\d+)?(Z|[+-]\d\d:\d\d)$/;

function rfc3339(value: string, field: string): number {
  const bad = () => new DecodeProblem('value', `parsing time ${JSON.stringify(value.slice(0, 64))}`, field);
  const match = RFC3339.exec(value);
  if (match === null) throw bad();
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  // A day or hour out of range would have rolled over into the next field.
  const kept = date.getUTCMonth() === month - 1 && date.getUTCDate() === day && date.getUTCHours() === hour;
  if (!kept || minute > 59 || second > 59) throw bad();
  const zone = match[8] as string;
  if (zone === 'Z') return date.getTime() / 1000;
  const [hours, minutes] = [Number(zone.slice(1, 3)), Number(zone.slice(4))];
  if (hours > 24 || minutes > 60) throw bad();
  const offset = (hours * 60 + minutes) * 60 * (zone[0] === '-' ? -1 : 1);
  return date.getTime() / 1000 - offset;
}

function normalised(parse: (value: string) => string | undefined, describe: string) {
  return z
    .string()
    .refine((value) => value === '' || parse(value) !== undefined, { message: `expected ${describe}` })
    .overwrite((value) => (value === '' ? value : (parse(value) ?? value)));
}

function address(
  go: string,
  refusal: string,
  parse: (value: string) => string | undefined,
  describe: string,
  about: About,
) {
  return withCodec(normalised(parse, describe), {
    zero: () => '',
    read: (json, previous, place) => {
      if (json.null()) return previous;
      const value = json.string();
      if (value === undefined) throw mismatch(json, go, place);
      if (value === '') return '';
      const printed = parse(value);
      if (printed === undefined)
        throw new DecodeProblem('value', `${refusal}: ${value.slice(0, 128).toWellFormed()}`, pathOf(place));
      return printed;
    },
    write: (value) => JSON.stringify(value),
    about,
  });
}

/** An IP address in Go's printed form, or `''`. */
export const ip = address('net.IP', 'invalid IP address', normaliseIp, 'IPv4 or IPv6 address', {
  name: 'IpAddress',
  summary: 'IPv4 or IPv6 address, IPv6 hashed in its shortest form in lower case; empty text means unset.',
  json: { type: 'string', pattern: ADDRESS_TEXT },
});

/** An address with prefix length in Go's printed form, host bits kept, or `''`. */
export const cidr = address('gridtypes.IPNet', 'invalid CIDR address', normaliseCidr, 'address with prefix length', {
  name: 'IpPrefix',
  summary: 'Address with prefix length, host bits kept; hashed as `IpAddress` is. Empty text means unset.',
  json: { type: 'string', pattern: PREFIX_TEXT },
});

/** Bytes as lower-case hex text; any case is accepted. */
export const hex = withCodec(
  z
    .string()
    .regex(/^([0-9a-fA-F]{2})*$/)
    .overwrite((value) => value.toLowerCase()),
  {
    zero: () => '',
    read: (json, previous, place) => {
      if (json.null()) return previous;
      const value = json.string();
      if (value === undefined) throw mismatch(json, 'zos.Bytes', place);
      const problem = hexProblem(value);
      if (problem !== undefined) throw new DecodeProblem('value', problem, pathOf(place));
      return value.toLowerCase();
    },
    write: (value) => JSON.stringify(value),
    about: {
      name: 'HexBytes',
      summary: 'Bytes, two hex digits each. Any case is read; lower case is written and hashed.',
      json: { type: 'string', pattern: HEX_TEXT },
    },
  },
);

/** Go's complaint about a hex text, if it has one. */
export function hexProblem(value: string): string | undefined {
  const bad = /[^0-9a-fA-F]/u.exec(value);
  if (bad === null) return value.length % 2 === 0 ? undefined : 'encoding/hex: odd length hex string';
  // Go looks at bytes, so a character beyond ASCII shows as its first UTF-8 byte.
  const byte = new TextEncoder().encode(bad[0])[0] ?? 0;
  const shown = byte >= 0x20 && byte !== 0x7f && (byte < 0x80 || byte > 0xa0) ? ` '${String.fromCharCode(byte)}'` : '';
  return `encoding/hex: invalid byte: U+${byte.toString(16).toUpperCase().padStart(4, '0')}${shown}`;
}

/** Any JSON, kept as its exact source text; `''` when absent, written as `null`. */
export const raw = withCodec(z.string(), {
  zero: () => '',
  read: (json) => json.token(),
  write: (value) => (value === '' ? 'null' : (value as string)),
  about: { json: { type: ['object', 'array', 'string', 'number', 'boolean', 'null'] } },
});
