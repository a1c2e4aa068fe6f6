/** MessagePack in the exact forms that Go's encoder emits. */
import { encodeGoString } from './gostring.ts';

/** Characters below which a string is written one by one. */
const SHORT = 96;

/** Memory that a writer in use again and again keeps. */
const KEPT_BYTES = 64 * 1024;

export class Writer {
  #buffer: Buffer;
  #length = 0;

  constructor(expectedBytes = 256) {
    this.#buffer = Buffer.allocUnsafe(expectedBytes);
  }

  #grow(extra: number): number {
    const at = this.#length;
    const needed = at + extra;
    if (needed > this.#buffer.length) {
      const bigger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
      this.#buffer.copy(bigger, 0, 0, at);
      this.#buffer = bigger;
    }
    this.#length = needed;
    return at;
  }

  /** The bytes written so far; the writer is not used afterwards. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** The bytes written so far, in memory of their own; the writer begins anew. */
  take(): Buffer {
    const length = this.#length;
    const taken = Buffer.allocUnsafe(length);
    const buffer = this.#buffer;
    if (length >= 32) taken.set(length === buffer.length ? buffer : buffer.subarray(0, length));
    else for (let at = 0; at < length; at++) taken[at] = buffer[at] as number;
    this.clear();
    return taken;
  }

  /** Begins anew. Memory that one large value needed is given back. */
  clear(): void {
    this.#length = 0;
    if (this.#buffer.length > KEPT_BYTES) this.#buffer = Buffer.allocUnsafe(KEPT_BYTES);
  }

  code(code: number): void {
    const at = this.#grow(1);
    this.#buffer[at] = code;
  }

  nil(): void {
    this.code(0xc0);
  }

  bool(value: boolean): void {
    this.code(value ? 0xc3 : 0xc2);
  }

  int8(value: number): void {
    const at = this.#grow(2);
    this.#buffer[at] = 0xd0;
    this.#buffer.writeInt8(value, at + 1);
  }

  int16(value: number): void {
    const at = this.#grow(3);
    this.#buffer[at] = 0xd1;
    this.#buffer.writeInt16BE(value, at + 1);
  }

  int32(value: number): void {
    const at = this.#grow(5);
    this.#buffer[at] = 0xd2;
    this.#buffer.writeInt32BE(value, at + 1);
  }

  int64(value: bigint): void {
    const at = this.#grow(9);
    this.#buffer[at] = 0xd3;
    this.#buffer.writeBigInt64BE(value, at + 1);
  }

  uint8(value: number): void {
    const at = this.#grow(2);
    this.#buffer[at] = 0xcc;
    this.#buffer[at + 1] = value;
  }

  uint16(value: number): void {
    const at = this.#grow(3);
    this.#buffer[at] = 0xcd;
    this.#buffer.writeUInt16BE(value, at + 1);
  }

  uint32(value: number): void {
    const at = this.#grow(5);
    this.#buffer[at] = 0xce;
    this.#buffer.writeUInt32BE(value, at + 1);
  }

  /** `int64` and `uint64` of a whole number that JavaScript holds exactly. */
  safe64(code: 0xd3 | 0xcf, value: number): void {
    const at = this.#grow(9);
    const buffer = this.#buffer;
    const high = Math.floor(value / 0x1_0000_0000);
    const low = value - high * 0x1_0000_0000;
    buffer[at] = code;
    buffer[at + 1] = high >> 24;
    buffer[at + 2] = high >> 16;
    buffer[at + 3] = high >> 8;
    buffer[at + 4] = high;
    buffer[at + 5] = low >>> 24;
    buffer[at + 6] = low >>> 16;
    buffer[at + 7] = low >>> 8;
    buffer[at + 8] = low;
  }

  uint64(value: bigint): void {
    const at = this.#grow(9);
    this.#buffer[at] = 0xcf;
    this.#buffer.writeBigUInt64BE(value, at + 1);
  }

  float32(value: number): void {
    const at = this.#grow(5);
    this.#buffer[at] = 0xca;
    this.#buffer.writeFloatBE(value, at + 1);
  }

  float64(value: number): void {
    const at = this.#grow(9);
    this.#buffer[at] = 0xcb;
    // Go's NaN has its lowest bit set; JavaScript's has not.
    if (Number.isNaN(value)) this.#buffer.writeBigUInt64BE(0x7ff8000000000001n, at + 1);
    else this.#buffer.writeDoubleBE(value, at + 1);
  }

  string(value: string): void {
    if (value.length >= SHORT || !this.#ascii(value)) this.#long(value);
  }

  /** Most strings on the bus are short names: byte by byte they are written quicker than by a call into the runtime. */
  #ascii(value: string): boolean {
    const length = value.length;
    const start = this.#length;
    let at = this.#grow(length + (length < 32 ? 1 : 2));
    const buffer = this.#buffer;
    if (length < 32) buffer[at++] = 0xa0 | length;
    else {
      buffer[at++] = 0xd9;
      buffer[at++] = length;
    }
    for (let index = 0; index < length; index++) {
      const code = value.charCodeAt(index);
      if (code >= 0x80) {
        this.#length = start;
        return false;
      }
      buffer[at++] = code;
    }
    return true;
  }

  #long(value: string): void {
    const bytes = encodeGoString(value);
    if (bytes.length < 32) this.code(0xa0 | bytes.length);
    else this.#header(bytes.length, 0xd9, 0xda, 0xdb);
    this.raw(bytes);
  }

  bytes(value: Uint8Array): void {
    this.#header(value.length, 0xc4, 0xc5, 0xc6);
    this.raw(value);
  }

  arrayHeader(length: number): void {
    if (length < 16) this.code(0x90 | length);
    else this.#header(length, undefined, 0xdc, 0xdd);
  }

  mapHeader(length: number): void {
    if (length < 16) this.code(0x80 | length);
    else this.#header(length, undefined, 0xde, 0xdf);
  }

  time(seconds: bigint, nanoseconds: number): void {
    if (seconds >= 0n && seconds < 1n << 34n) {
      if (nanoseconds === 0 && seconds < 1n << 32n) {
        const at = this.#grow(6);
        this.#buffer.writeUInt16BE(0xd6ff, at);
        this.#buffer.writeUInt32BE(Number(seconds), at + 2);
        return;
      }
      const at = this.#grow(10);
      this.#buffer.writeUInt16BE(0xd7ff, at);
      this.#buffer.writeBigUInt64BE((BigInt(nanoseconds) << 34n) | seconds, at + 2);
      return;
    }
    const at = this.#grow(15);
    this.#buffer.writeUIntBE(0xc70cff, at, 3);
    this.#buffer.writeUInt32BE(nanoseconds, at + 3);
    this.#buffer.writeBigInt64BE(seconds, at + 7);
  }

  raw(bytes: Uint8Array): void {
    const { length } = bytes;
    const at = this.#grow(length);
    const buffer = this.#buffer;
    if (length >= 32) buffer.set(bytes, at);
    else for (let index = 0; index < length; index++) buffer[at + index] = bytes[index] as number;
  }

  #header(length: number, code8: number | undefined, code16: number, code32: number): void {
    if (code8 !== undefined && length < 0x100) {
      this.code(code8);
      this.code(length);
    } else if (length < 0x10000) {
      const at = this.#grow(3);
      this.#buffer[at] = code16;
      this.#buffer.writeUInt16BE(length, at + 1);
    } else {
      const at = this.#grow(5);
      this.#buffer[at] = code32;
      this.#buffer.writeUInt32BE(length, at + 1);
    }
  }
}
