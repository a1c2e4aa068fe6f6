import { describe, expect, it } from 'vitest';
import { decode, encode } from './codec.ts';
import { count64, int8, int16, int32, int64, signed64, str, uint8, uint16, uint32, uint64 } from './wire.ts';

const edges = [0n, 127n, 128n, 255n, 256n, 65_535n, 65_536n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n - 1n]
  .concat([2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n])
  .flatMap((edge) => [edge, -edge, -edge - 1n]);
const NARROW = [
  [int8, 8, true],
  [int16, 16, true],
  [int32, 32, true],
  [uint8, 8, false],
  [uint16, 16, false],
  [uint32, 32, false],
] as const;

function signedFrame(value: bigint): Buffer {
  const frame = Buffer.alloc(9, 0xd3);
  frame.writeBigInt64BE(value, 1);
  return frame;
}

function unsignedFrame(value: bigint): Buffer {
  const frame = Buffer.alloc(9, 0xcf);
  frame.writeBigUInt64BE(value, 1);
  return frame;
}

describe('64-bit integers', () => {
  it.each(edges)('%s keeps every bit', (value) => {
    expect(encode(int64, value)).toEqual(signedFrame(value));
    expect(decode(int64, signedFrame(value))).toBe(value);
    const unsigned = BigInt.asUintN(64, value);
    expect(encode(uint64, unsigned)).toEqual(unsignedFrame(unsigned));
    expect(decode(uint64, unsignedFrame(unsigned))).toBe(unsigned);
    expect(decode(uint64, signedFrame(value))).toBe(unsigned);
    for (const [wire, bits, signed] of NARROW) {
      expect(decode(wire, signedFrame(value))).toBe(
        Number(signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value)),
      );
    }
  });

  it.each(edges)('%s is a number where one holds it, else refused', (value) => {
    const carried = Number.isSafeInteger(Number(value));
    if (carried) {
      expect(decode(signed64, signedFrame(value))).toBe(Number(value));
      expect(encode(signed64, Number(value))).toEqual(signedFrame(value));
    } else expect(() => decode(signed64, signedFrame(value))).toThrow(/beyond the whole numbers/);
    if (value < 0n) expect(() => encode(count64, Number(value))).toThrow(/does not fit|not a whole number/);
    else if (carried) expect(encode(count64, Number(value))).toEqual(unsignedFrame(value));
  });
});

describe('strings', () => {
  it.each([0, 31, 32, 63, 64, 65, 95, 96, 255, 256, 70_000])('of %s characters come back, plain or not', (length) => {
    for (const end of ['', 'x', 'é', '\u{1f600}', '\udc80']) {
      const text = 'x'.repeat(length) + end;
      const frame = encode(str, text);
      expect(decode(str, frame)).toBe(text);
      if (end === 'x') expect(frame.subarray(-text.length).toString()).toBe(text);
    }
  });
});
