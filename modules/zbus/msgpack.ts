/** MessagePack as bytes: the exact forms Go's encoder emits, and everything its decoder reads. */

import { WireError } from './errors.ts';
import { decodeGoString, encodeGoString } from './gostring.ts';

const MAX_DEPTH = 512;

export class Writer {
  #buffer = Buffer.allocUnsafe(256);
  #length = 0;

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
    const at = this.#grow(bytes.length);
    this.#buffer.set(bytes, at);
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

/** What the next value is, told from its first byte. */
export type Family = 'nil' | 'bool' | 'int' | 'float' | 'str' | 'bin' | 'array' | 'map' | 'ext' | 'never';

export class Reader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #take(count: number): number {
    const at = this.#at;
    if (at + count > this.#buffer.length) throw new WireError('EOF: the message ends in the middle of a value');
    this.#at = at + count;
    return at;
  }

  /** First byte of the next value, not consumed. */
  peek(): number {
    const code = this.#buffer[this.#at];
    if (code === undefined) throw new WireError('EOF: the message ends where a value is expected');
    return code;
  }

  family(): Family {
    const code = this.peek();
    if (code < 0x80 || code >= 0xe0 || (code >= 0xcc && code <= 0xd3)) return 'int';
    if (code < 0x90 || code === 0xde || code === 0xdf) return 'map';
    if (code < 0xa0 || code === 0xdc || code === 0xdd) return 'array';
    if (code < 0xc0 || (code >= 0xd9 && code <= 0xdb)) return 'str';
    if (code === 0xc0) return 'nil';
    if (code === 0xc1) return 'never';
    if (code <= 0xc3) return 'bool';
    if (code <= 0xc6) return 'bin';
    if (code <= 0xc9 || code >= 0xd4) return 'ext';
    return 'float';
  }

  /** Consumes a nil if it is next. */
  nil(): boolean {
    if (this.peek() !== 0xc0) return false;
    this.#at++;
    return true;
  }

  bool(): boolean {
    const code = this.peek();
    if (code !== 0xc2 && code !== 0xc3) throw this.unexpected('bool');
    this.#at++;
    return code === 0xc3;
  }

  /** Any integer form; small ones as number, 64-bit ones as bigint. */
  integer(): number | bigint {
    const code = this.peek();
    if (code < 0x80 || code >= 0xe0) {
      this.#at++;
      return code < 0x80 ? code : code - 0x100;
    }
    const at = this.#at + 1;
    switch (code) {
      case 0xcc:
        return (this.#take(2), this.#buffer.readUInt8(at));
      case 0xcd:
        return (this.#take(3), this.#buffer.readUInt16BE(at));
      case 0xce:
        return (this.#take(5), this.#buffer.readUInt32BE(at));
      case 0xcf:
        return (this.#take(9), this.#buffer.readBigUInt64BE(at));
      case 0xd0:
        return (this.#take(2), this.#buffer.readInt8(at));
      case 0xd1:
        return (this.#take(3), this.#buffer.readInt16BE(at));
      case 0xd2:
        return (this.#take(5), this.#buffer.readInt32BE(at));
      case 0xd3:
        return (this.#take(9), this.#buffer.readBigInt64BE(at));
      default:
        throw this.unexpected('an integer');
    }
  }

  float(): number {
    const at = this.#at + 1;
    if (this.peek() === 0xca) return (this.#take(5), this.#buffer.readFloatBE(at));
    if (this.peek() === 0xcb) return (this.#take(9), this.#buffer.readDoubleBE(at));
    throw this.unexpected('a float');
  }

  /** The bytes of a str or bin value, a view into the message. */
  blob(expected: string): Buffer {
    const code = this.peek();
    let length: number;
    if (code >= 0xa0 && code < 0xc0) {
      length = code & 0x1f;
      this.#take(1);
    } else if (code === 0xc4 || code === 0xd9) length = this.#buffer.readUInt8(this.#take(2) + 1);
    else if (code === 0xc5 || code === 0xda) length = this.#buffer.readUInt16BE(this.#take(3) + 1);
    else if (code === 0xc6 || code === 0xdb) length = this.#buffer.readUInt32BE(this.#take(5) + 1);
    else throw this.unexpected(expected);
    const at = this.#take(length);
    return this.#buffer.subarray(at, at + length);
  }

  string(): string {
    return decodeGoString(this.blob('a string'));
  }

  arrayLength(): number {
    const code = this.peek();
    if ((code & 0xf0) === 0x90) return (this.#take(1), code & 0x0f);
    if (code === 0xdc) return this.#buffer.readUInt16BE(this.#take(3) + 1);
    if (code === 0xdd) return this.#buffer.readUInt32BE(this.#take(5) + 1);
    throw this.unexpected('an array');
  }

  mapLength(): number {
    const code = this.peek();
    if ((code & 0xf0) === 0x80) return (this.#take(1), code & 0x0f);
    if (code === 0xde) return this.#buffer.readUInt16BE(this.#take(3) + 1);
    if (code === 0xdf) return this.#buffer.readUInt32BE(this.#take(5) + 1);
    throw this.unexpected('a map');
  }

  extension(): { type: number; data: Buffer } {
    const code = this.peek();
    let length: number;
    if (code >= 0xd4 && code <= 0xd8) {
      length = 1 << (code - 0xd4);
      this.#take(1);
    } else if (code === 0xc7) length = this.#buffer.readUInt8(this.#take(2) + 1);
    else if (code === 0xc8) length = this.#buffer.readUInt16BE(this.#take(3) + 1);
    else if (code === 0xc9) length = this.#buffer.readUInt32BE(this.#take(5) + 1);
    else throw this.unexpected('an extension');
    const at = this.#take(1 + length);
    return { type: this.#buffer.readInt8(at), data: this.#buffer.subarray(at + 1, at + 1 + length) };
  }

  skip(depth = 0): void {
    if (depth > MAX_DEPTH) throw new WireError(`the message is nested more than ${MAX_DEPTH} deep`);
    switch (this.family()) {
      case 'nil':
      case 'bool':
        this.#take(1);
        return;
      case 'int':
        this.integer();
        return;
      case 'float':
        this.float();
        return;
      case 'str':
      case 'bin':
        this.blob('a string');
        return;
      case 'ext':
        this.extension();
        return;
      case 'array':
        for (let left = this.arrayLength(); left > 0; left--) this.skip(depth + 1);
        return;
      case 'map':
        for (let left = this.mapLength() * 2; left > 0; left--) this.skip(depth + 1);
        return;
      case 'never':
        throw this.unexpected('a value');
    }
  }

  unexpected(expected: string): WireError {
    return new WireError(`code 0x${this.peek().toString(16).padStart(2, '0')} where ${expected} is expected`);
  }
}
