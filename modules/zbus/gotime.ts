/** Go's `time.Time` in its three MessagePack forms and as RFC 3339 text. */
import { WireError } from './errors.ts';
import type { GoTime } from './wire.ts';

export const TIME_EXTENSION = -1;

/** Go's zero `time.Time`: midnight of 1 January of the year 1, UTC. */
export const ZERO_TIME: GoTime = { seconds: -62135596800n, nanoseconds: 0 };

export function isGoTime(value: unknown): value is GoTime {
  if (typeof value !== 'object' || value === null) return false;
  const { seconds, nanoseconds } = value as Partial<GoTime>;
  if (typeof seconds !== 'bigint' || seconds !== BigInt.asIntN(64, seconds)) return false;
  return Number.isInteger(nanoseconds) && Number(nanoseconds) >= 0 && Number(nanoseconds) < 1e9;
}

export function now(): GoTime {
  const milliseconds = Date.now();
  return { seconds: BigInt(Math.floor(milliseconds / 1000)), nanoseconds: (milliseconds % 1000) * 1_000_000 };
}

/** The content of the time extension: 4, 8 or 12 bytes. @throws WireError */
export function timeOfExtension(data: Buffer): GoTime {
  if (data.length === 4) return { seconds: BigInt(data.readUInt32BE(0)), nanoseconds: 0 };
  if (data.length === 8) {
    const packed = data.readBigUInt64BE(0);
    return normalTime(packed & ((1n << 34n) - 1n), packed >> 34n);
  }
  if (data.length === 12) return normalTime(data.readBigInt64BE(4), BigInt(data.readUInt32BE(0)));
  throw new WireError(`a time of ${data.length} bytes; it has 4, 8 or 12`);
}

export function normalTime(seconds: bigint, nanoseconds: bigint): GoTime {
  let carry = nanoseconds / 1_000_000_000n;
  let rest = nanoseconds % 1_000_000_000n;
  if (rest < 0n) {
    rest += 1_000_000_000n;
    carry -= 1n;
  }
  return { seconds: seconds + carry, nanoseconds: Number(rest) };
}

const RFC3339 = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)$/;

/** @throws WireError */
export function parseTime(text: string): GoTime {
  const [, base, fraction = '', zone] = RFC3339.exec(text) ?? [];
  const milliseconds = Date.parse(`${base}${zone}`);
  if (base === undefined || Number.isNaN(milliseconds)) throw new WireError(`'${text}' is not an RFC 3339 time`);
  return { seconds: BigInt(milliseconds / 1000), nanoseconds: Number(fraction.padEnd(9, '0')) };
}
