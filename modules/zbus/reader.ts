/** MessagePack as Go's decoder reads it. */
import { WireError } from './errors.ts';
import { decodeGoString } from './gostring.ts';

const MAX_DEPTH = 512;
/** A byte may stand for a whole empty value of a large type, so their number is bounded, too. */
const MAX_ELEMENTS = 262_144;

/** What the next value is, told from its first byte. */
export type Family = 'nil' | 'bool' | 'int' | 'float' | 'str' | 'bin' | 'array' | 'map' | 'ext' | 'never';

export class Reader {
  readonly #buffer: Buffer;
  #at = 0;
  #elements = 0;

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
    if (code === 0xcf) return this.#buffer.readBigUInt64BE(this.#take(9) + 1);
    if (code === 0xd3) return this.#buffer.readBigInt64BE(this.#take(9) + 1);
    return this.#smallInteger(code);
  }

  /** Any integer form as a number, as a bigint only where a number would not be exact. */
  exactInteger(): number | bigint {
    const code = this.peek();
    if (code !== 0xcf && code !== 0xd3) return this.#smallInteger(code);
    const at = this.#take(9) + 1;
    const high = code === 0xcf ? this.#buffer.readUInt32BE(at) : this.#buffer.readInt32BE(at);
    if (high < 0x20_0000 && high > -0x20_0000) return high * 0x1_0000_0000 + this.#buffer.readUInt32BE(at + 4);
    return code === 0xcf ? this.#buffer.readBigUInt64BE(at) : this.#buffer.readBigInt64BE(at);
  }

  #smallInteger(code: number): number {
    if (code < 0x80 || code >= 0xe0) {
      this.#at++;
      return code < 0x80 ? code : code - 0x100;
    }
    switch (code) {
      case 0xcc:
        return this.#buffer.readUInt8(this.#take(2) + 1);
      case 0xcd:
        return this.#buffer.readUInt16BE(this.#take(3) + 1);
      case 0xce:
        return this.#buffer.readUInt32BE(this.#take(5) + 1);
      case 0xd0:
        return this.#buffer.readInt8(this.#take(2) + 1);
      case 0xd1:
        return this.#buffer.readInt16BE(this.#take(3) + 1);
      case 0xd2:
        return this.#buffer.readInt32BE(this.#take(5) + 1);
      default:
        throw this.unexpected('an integer');
    }
  }

  /** Consumes the next value if it is this short ASCII text; field names are compared so, and never made. */
  text(expected: string): boolean {
    const { length } = expected;
    const buffer = this.#buffer;
    const start = this.#at + 1;
    if (length >= 32 || buffer[this.#at] !== (0xa0 | length) || start + length > buffer.length) return false;
    for (let index = 0; index < length; index++) {
      if (buffer[start + index] !== expected.charCodeAt(index)) return false;
    }
    this.#at = start + length;
    return true;
  }

  float(): number {
    if (this.peek() === 0xca) return this.#buffer.readFloatBE(this.#take(5) + 1);
    if (this.peek() === 0xcb) return this.#buffer.readDoubleBE(this.#take(9) + 1);
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
    if ((code & 0xf0) === 0x90) return (this.#buffer[this.#take(1)] ?? 0) & 0x0f;
    if (code === 0xdc) return this.#buffer.readUInt16BE(this.#take(3) + 1);
    if (code === 0xdd) return this.#buffer.readUInt32BE(this.#take(5) + 1);
    throw this.unexpected('an array');
  }

  mapLength(): number {
    const code = this.peek();
    if ((code & 0xf0) === 0x80) return (this.#buffer[this.#take(1)] ?? 0) & 0x0f;
    if (code === 0xde) return this.#buffer.readUInt16BE(this.#take(3) + 1);
    if (code === 0xdf) return this.#buffer.readUInt32BE(this.#take(5) + 1);
    throw this.unexpected('a map');
  }

  /** Counts elements of lists and maps before they are made. @throws WireError beyond the most a message may have */
  elements(count: number): number {
    this.#elements += count;
    if (this.#elements <= MAX_ELEMENTS) return count;
    throw new WireError(`the message has more than ${MAX_ELEMENTS} elements in its lists and maps`);
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
