/** Cursors over SCALE bytes: little-endian integers and the compact form. */

/** Bytes that end early or do not mean what their type says. */
export class ScaleError extends Error {
  override readonly name = 'ScaleError';
}

export class Writer {
  #buffer = new Uint8Array(256);
  #length = 0;

  bytes(value: Uint8Array): void {
    const needed = this.#length + value.length;
    if (needed > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(needed, this.#buffer.length * 2));
      grown.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = grown;
    }
    this.#buffer.set(value, this.#length);
    this.#length = needed;
  }

  /** Unsigned little-endian integer of `width` bytes. */
  integer(value: bigint, width: number): void {
    if (value < 0n || value >= 1n << BigInt(width * 8)) throw new ScaleError(`${value} does not fit ${width} bytes`);
    const out = new Uint8Array(width);
    for (let rest = value, at = 0; at < width; at += 1, rest >>= 8n) out[at] = Number(rest & 0xffn);
    this.bytes(out);
  }

  /** Compact integer: the two low bits of the first byte say which of four widths follows. */
  compact(value: number | bigint): void {
    const wide = BigInt(value);
    if (wide < 1n << 6n) this.integer(wide << 2n, 1);
    else if (wide < 1n << 14n) this.integer((wide << 2n) | 1n, 2);
    else if (wide < 1n << 30n) this.integer((wide << 2n) | 2n, 4);
    else {
      let width = 4;
      while (wide >= 1n << BigInt(width * 8)) width += 1;
      this.integer(BigInt(((width - 4) << 2) | 3), 1);
      this.integer(wide, width);
    }
  }

  /** A copy of what was written. */
  done(): Uint8Array {
    return this.#buffer.slice(0, this.#length);
  }
}

export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get position(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  bytes(length: number): Uint8Array {
    if (length > this.remaining) throw new ScaleError(`${length} bytes wanted, ${this.remaining} left`);
    const value = this.#bytes.slice(this.#at, this.#at + length);
    this.#at += length;
    return value;
  }

  byte(): number {
    return this.bytes(1)[0] as number;
  }

  integer(width: number): bigint {
    let value = 0n;
    const bytes = this.bytes(width);
    for (let at = width - 1; at >= 0; at -= 1) value = (value << 8n) | BigInt(bytes[at] as number);
    return value;
  }

  compact(): bigint {
    const first = this.byte();
    const mode = first & 3;
    if (mode === 0) return BigInt(first >> 2);
    if (mode === 1) return BigInt((first | (this.byte() << 8)) >> 2);
    if (mode === 2) return (BigInt(first) | (this.integer(3) << 8n)) >> 2n;
    const width = (first >> 2) + 4;
    if (width > 16) throw new ScaleError('compact integer wider than 128 bits');
    return this.integer(width);
  }

  /** Length prefix of a list whose elements take at least `each` bytes; checked against what is left. */
  length(each = 1): number {
    const length = this.compact();
    if (length * BigInt(each) > BigInt(this.remaining)) {
      throw new ScaleError(`list of ${length} in ${this.remaining} bytes`);
    }
    return Number(length);
  }
}
