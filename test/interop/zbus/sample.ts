/** Values of every wire type in which no field is zero, the same ones for the same seed. */
import { decode, encode } from '../../../modules/zbus/codec.ts';
import type { Wire } from '../../../modules/zbus/wire.ts';

const WORDS = ['vol-1', 'grid', 'zmachine', 'ns:qsfs', 'größe', '節點', 'a longer text than thirty-one bytes hold'];
/** Deeper values have no elements. */
const DEPTH_MOST = 12;

export class Samples {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** A value as it comes off the wire. */
  of(wire: Wire): unknown {
    return decode(wire, encode(wire, this.#make(wire, 0)));
  }

  /** A whole number of `[0, below)`. */
  #below(below: number): number {
    // mulberry32
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  }

  #bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => 1 + this.#below(255));
  }

  #bits(count: number): bigint {
    return BigInt.asUintN(count, (BigInt(this.#below(2 ** 32)) << 32n) | BigInt(this.#below(2 ** 32) | 1));
  }

  #make(wire: Wire, depth: number): unknown {
    switch (wire.kind) {
      case 'bool':
        return true;
      case 'string':
        return `${WORDS[this.#below(WORDS.length)]}-${this.#below(1000)}`;
      case 'bytes':
        return this.#bytes(this.#below(2) === 0 ? 16 : 300);
      case 'fixed':
        return this.#bytes(wire.length);
      case 'uint8':
        return 1 + this.#below(2 ** 8 - 1);
      case 'uint16':
        return 1 + this.#below(2 ** 16 - 1);
      case 'uint32':
        return 1 + this.#below(2 ** 32 - 1);
      case 'int8':
        return -1 - this.#below(2 ** 7);
      case 'int16':
        return -1 - this.#below(2 ** 15);
      case 'int32':
        return -1 - this.#below(2 ** 31);
      case 'uint64':
        return wire.carrier === 'number' ? Number(this.#bits(53)) : this.#bits(64);
      case 'int64':
        return wire.carrier === 'number' ? -Number(this.#bits(53)) : BigInt.asIntN(64, this.#bits(64));
      case 'float32':
        return Math.fround(this.#below(1e6) + 0.3);
      case 'float64':
        return this.#below(1e6) + 0.1;
      case 'time':
        return { seconds: 1 + this.#below(2) === 1 ? this.#bits(31) : this.#bits(36), nanoseconds: this.#below(1e9) };
      case 'any':
        // An interface of methods, which no value of the wire can be.
        if (wire.go === 'substrate.Manager') return null;
        // One key: Go writes maps in any order.
        return { reading: [this.#below(1e6) + 0.5, true, `text ${this.#below(100)}`] };
      case 'opaque':
        return {};
      case 'pointer':
        return depth > DEPTH_MOST ? null : this.#make(wire.to, depth + 1);
      case 'slice': {
        const length = depth > DEPTH_MOST ? 0 : 1 + this.#below(2);
        return Array.from({ length }, () => this.#make(wire.of, depth + 1));
      }
      case 'map':
        if (depth > DEPTH_MOST) return new Map();
        return new Map([[this.#make(wire.key, depth + 1), this.#make(wire.value, depth + 1)]]);
      case 'struct':
        return Object.fromEntries(wire.fields.map(([name, of]) => [name, this.#make(of, depth + 1)]));
    }
  }
}

export function hexOf(wire: Wire, value: unknown): string {
  return encode(wire, value).toString('hex');
}
