/**
 * Verifies sr25519 signatures of keys that sign often, in a third of the time:
 * multiples of such a key are kept, so that most doublings fall away. Equation
 * and encodings are those of RFC 9496 and schnorrkel; verdicts are the same as
 * the library's, which decides as long as a key is not known to be a good one.
 */
import { ENTRY_BYTES, FIELD_BYTES, LIMBS, loadCurve, POINT_BYTES, SCRATCH_BYTES } from './curve-module.ts';
import { type Affine, BASE, D, decode, inverseRoot, mod, numberOf, ORDER, P, SQRT_M1 } from './numbers.ts';
import { challengeBytes } from './transcript.ts';
import { Memory } from './web-assembly.ts';

/** A table has 1 to 8 times 256^i times the point, i from 0 to 31. */
const ROWS = 32;
const COLUMNS = 8;
const TABLE_BYTES = ROWS * COLUMNS * ENTRY_BYTES;

const PAGE_BYTES = 65_536;
/** Field elements that the functions below work on. */
const WORK_ELEMENTS = 25;

export class KnownKeys {
  readonly #curve: ReturnType<typeof loadCurve>;
  readonly #limbs: Int32Array;
  readonly #slots: number;
  readonly #work: number;
  /** Of a table that is being made: its points, and products of their Z. */
  readonly #points: number;
  readonly #products: number;
  readonly #tables: number;
  readonly #one: number;
  readonly #twiceD: number;
  readonly #sqrtM1: number;
  readonly #inverseRootAMinusD: number;
  readonly #point: number;
  readonly #bytes = new Uint8Array(32);
  readonly #digits = [new Int8Array(64), new Int8Array(64)] as const;

  /** Room for `slots` keys, 30 KiB each. */
  constructor(slots: number) {
    this.#slots = slots;
    this.#work = SCRATCH_BYTES;
    this.#points = this.#work + WORK_ELEMENTS * FIELD_BYTES;
    this.#products = this.#points + ROWS * COLUMNS * POINT_BYTES;
    this.#tables = this.#products + ROWS * COLUMNS * FIELD_BYTES;
    const size = this.#tables + (slots + 1) * TABLE_BYTES;
    const memory = new Memory({ initial: Math.ceil(size / PAGE_BYTES) });
    this.#limbs = new Int32Array(memory.buffer);
    this.#curve = loadCurve(memory);
    [this.#one, this.#twiceD, this.#sqrtM1, this.#inverseRootAMinusD] = [0, 1, 2, 3].map((at) => this.#element(at)) as [
      number,
      number,
      number,
      number,
    ];
    this.#point = this.#element(4);
    this.#limbs[this.#one / 4] = 1;
    this.#put(this.#twiceD, mod(2n * D));
    this.#put(this.#sqrtM1, SQRT_M1);
    this.#put(this.#inverseRootAMinusD, inverseRoot(mod(-1n - D)).root);
    this.#fill(slots, BASE);
  }

  /** Makes the table of a key; `false` where its 32 bytes are no point. */
  learn(slot: number, account: Uint8Array): boolean {
    const point = slot < this.#slots ? decode(account) : undefined;
    if (point !== undefined) this.#fill(slot, point);
    return point !== undefined;
  }

  /** Whether the 64 bytes are a signature of `message` by the key that `slot` learnt. */
  verify(slot: number, account: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
    if (((signature[63] ?? 0) & 0x80) === 0) return false;
    const scalar = signature.slice(32);
    scalar[31] = (scalar[31] ?? 0) & 0x7f;
    const s = numberOf(scalar);
    if (s >= ORDER) return false;
    const commitment = signature.subarray(0, 32);
    const k = numberOf(challengeBytes(account, message, commitment)) % ORDER;
    const [ofBase, ofKey] = this.#digits;
    digitsOf(s, ofBase);
    digitsOf(k, ofKey);
    const point = this.#point;
    this.#setIdentity(point);
    for (const start of [1, 0]) {
      for (let index = start; index < 64; index += 2) {
        this.#addDigit(point, this.#slots, index, ofBase[index] ?? 0);
        this.#addDigit(point, slot, index, -(ofKey[index] ?? 0));
      }
      if (start === 1) for (let times = 0; times < 4; times += 1) this.#curve.double(point);
    }
    return Buffer.compare(this.#encode(point), commitment) === 0;
  }

  #addDigit(point: number, slot: number, index: number, digit: number): void {
    if (digit === 0) return;
    const column = Math.abs(digit) - 1;
    const entry = this.#entry(slot, index >> 1, column);
    if (digit > 0) this.#curve.madd(point, entry);
    else this.#curve.msub(point, entry);
  }

  #entry(slot: number, row: number, column: number): number {
    return this.#tables + slot * TABLE_BYTES + (row * COLUMNS + column) * ENTRY_BYTES;
  }

  #element(index: number): number {
    return this.#work + index * FIELD_BYTES;
  }

  #setIdentity(point: number): void {
    this.#limbs.fill(0, point / 4, (point + POINT_BYTES) / 4);
    this.#limbs[(point + FIELD_BYTES) / 4] = 1;
    this.#limbs[(point + 2 * FIELD_BYTES) / 4] = 1;
  }

  #fill(slot: number, { x, y }: Affine): void {
    const { double, madd } = this.#curve;
    const pointAt = (row: number, column: number): number => this.#points + (row * COLUMNS + column) * POINT_BYTES;
    const rows = Array.from({ length: ROWS }, (_, row) => pointAt(row, 0));
    this.#putPoint(pointAt(0, 0), { x, y });
    for (let row = 1; row < ROWS; row += 1) {
      this.#copyPoint(pointAt(row, 0), pointAt(row - 1, 0));
      for (let times = 0; times < 8; times += 1) double(pointAt(row, 0));
    }
    const first = rows.map((_, row) => this.#entry(slot, row, 0));
    this.#putEntries(rows, first);
    const multiples: number[] = [];
    const others: number[] = [];
    for (const [row, entry] of first.entries()) {
      for (let column = 1; column < COLUMNS; column += 1) {
        const point = pointAt(row, column);
        this.#copyPoint(point, pointAt(row, column - 1));
        madd(point, entry);
        multiples.push(point);
        others.push(this.#entry(slot, row, column));
      }
    }
    this.#putEntries(multiples, others);
  }

  /** One inversion for all of them: the inverse of a product gives those of its factors. */
  #putEntries(points: readonly number[], entries: readonly number[]): void {
    const { mul, add, sub } = this.#curve;
    const [inverse, own, x, y] = [20, 21, 22, 23].map((at) => this.#element(at)) as [number, number, number, number];
    const productTo = (index: number): number => (index < 0 ? this.#one : this.#products + index * FIELD_BYTES);
    for (const [index, point] of points.entries()) {
      mul(productTo(index), productTo(index - 1), point + 2 * FIELD_BYTES);
    }
    this.#invert(inverse, productTo(points.length - 1));
    for (let index = points.length - 1; index >= 0; index -= 1) {
      const point = points[index] ?? 0;
      const entry = entries[index] ?? 0;
      mul(own, inverse, productTo(index - 1));
      mul(inverse, inverse, point + 2 * FIELD_BYTES);
      mul(x, point, own);
      mul(y, point + FIELD_BYTES, own);
      add(entry, y, x);
      sub(entry + FIELD_BYTES, y, x);
      mul(entry, entry, this.#one);
      mul(entry + FIELD_BYTES, entry + FIELD_BYTES, this.#one);
      mul(own, x, y);
      mul(entry + 2 * FIELD_BYTES, own, this.#twiceD);
    }
  }

  #putPoint(point: number, { x, y }: Affine): void {
    this.#put(point, x);
    this.#put(point + FIELD_BYTES, y);
    this.#put(point + 2 * FIELD_BYTES, 1n);
    this.#put(point + 3 * FIELD_BYTES, mod(x * y));
  }

  #copyPoint(to: number, from: number): void {
    this.#limbs.copyWithin(to / 4, from / 4, (from + POINT_BYTES) / 4);
  }

  /** A number below P as a field element with small limbs. */
  #put(element: number, value: bigint): void {
    let rest = value;
    for (let limb = 0; limb < LIMBS; limb += 1) {
      const bits = limb % 2 === 0 ? 26n : 25n;
      this.#limbs[element / 4 + limb] = Number(BigInt.asUintN(Number(bits), rest));
      rest >>= bits;
    }
    if (element !== this.#one) this.#curve.mul(element, element, this.#one);
  }

  /** The canonical 32 bytes of a product; overwritten by the next call. */
  #encoded(element: number): Uint8Array {
    const h = this.#limbs.slice(element / 4, element / 4 + LIMBS);
    const bits = (limb: number): number => (limb % 2 === 0 ? 26 : 25);
    let carry = (19 * (h[9] ?? 0) + (1 << 24)) >> 25;
    for (let limb = 0; limb < LIMBS; limb += 1) carry = ((h[limb] ?? 0) + carry) >> bits(limb);
    h[0] = (h[0] ?? 0) + 19 * carry;
    for (let limb = 0; limb < LIMBS; limb += 1) {
      const over = (h[limb] ?? 0) >> bits(limb);
      h[limb] = (h[limb] ?? 0) - (over << bits(limb));
      if (limb + 1 < LIMBS) h[limb + 1] = (h[limb + 1] ?? 0) + over;
    }
    let held = 0;
    let heldBits = 0;
    let at = 0;
    for (let limb = 0; limb < LIMBS; limb += 1) {
      held += (h[limb] ?? 0) * 2 ** heldBits;
      heldBits += bits(limb);
      while (heldBits >= 8 || (limb === LIMBS - 1 && heldBits > 0)) {
        this.#bytes[at] = held % 256;
        held = Math.floor(held / 256);
        heldBits -= 8;
        at += 1;
      }
    }
    return this.#bytes;
  }

  #isNegative(element: number): boolean {
    return ((this.#encoded(element)[0] ?? 0) & 1) === 1;
  }

  #copy(to: number, from: number): void {
    this.#limbs.copyWithin(to / 4, from / 4, from / 4 + LIMBS);
  }

  #negate(element: number): void {
    for (let limb = 0; limb < LIMBS; limb += 1) {
      this.#limbs[element / 4 + limb] = -(this.#limbs[element / 4 + limb] ?? 0);
    }
  }

  /** `a` to 2^250 - 1 in the result, `a` to the 11th in element 12. */
  #chain(a: number): number {
    const { mul, squares } = this.#curve;
    const [two, eleven, t, run, ten, fifty] = [11, 12, 13, 14, 15, 16].map((at) => this.#element(at)) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const raise = (from: number, count: number, by: number, to: number): void => {
      this.#copy(t, from);
      squares(t, count);
      mul(to, t, by);
    };
    mul(two, a, a);
    raise(two, 2, a, run); // 9
    mul(eleven, run, two);
    raise(eleven, 1, run, run); // 2^5 - 1
    raise(run, 5, run, ten);
    raise(ten, 10, ten, run); // 2^20 - 1
    raise(run, 20, run, run);
    raise(run, 10, ten, fifty);
    raise(fifty, 50, fifty, run); // 2^100 - 1
    raise(run, 100, run, run);
    raise(run, 50, fifty, run);
    return run;
  }

  #invert(out: number, a: number): void {
    const run = this.#chain(a);
    this.#curve.squares(run, 5);
    this.#curve.mul(out, run, this.#element(12));
  }

  /** RFC 9496, 4.2: a root of 1/v, or of sqrt(-1)/v where 1/v has none, not negative. */
  #inverseRoot(out: number, v: number): void {
    const { mul, squares } = this.#curve;
    const [v3, v7, check] = [17, 18, 19].map((at) => this.#element(at)) as [number, number, number];
    mul(v3, v, v);
    mul(v3, v3, v);
    mul(v7, v3, v3);
    mul(v7, v7, v);
    const run = this.#chain(v7);
    squares(run, 2);
    mul(run, run, v7);
    mul(out, run, v3);
    mul(check, out, out);
    mul(check, check, v);
    const found = numberOf(this.#encoded(check));
    if (found === P - 1n || found === P - SQRT_M1) mul(out, out, this.#sqrtM1);
    if (this.#isNegative(out)) this.#negate(out);
  }

  /** RFC 9496, 4.3.2: the 32 bytes of a point; overwritten by the next call. */
  #encode(point: number): Uint8Array {
    const { mul, add, sub } = this.#curve;
    const [x, y, z, t] = [0, 1, 2, 3].map((index) => point + index * FIELD_BYTES) as [number, number, number, number];
    const [u1, u2, root, v, den1, den2, inverse, sign] = [8, 9, 10, 20, 21, 22, 23, 24].map((at) =>
      this.#element(at),
    ) as [number, number, number, number, number, number, number, number];
    add(u1, z, y);
    sub(v, z, y);
    mul(u1, u1, v);
    mul(u2, x, y);
    mul(v, u2, u2);
    mul(v, v, u1);
    this.#inverseRoot(root, v);
    mul(den1, root, u1);
    mul(den2, root, u2);
    mul(inverse, den1, den2);
    mul(inverse, inverse, t);
    mul(sign, t, inverse);
    let denominator = den2;
    if (this.#isNegative(sign)) {
      this.#copy(v, x);
      mul(x, y, this.#sqrtM1);
      mul(y, v, this.#sqrtM1);
      mul(den1, den1, this.#inverseRootAMinusD);
      denominator = den1;
    }
    mul(sign, x, inverse);
    if (this.#isNegative(sign)) this.#negate(y);
    sub(v, z, y);
    mul(v, v, denominator);
    if (this.#isNegative(v)) this.#negate(v);
    return this.#encoded(v);
  }
}

/** 64 digits from -8 to 8 in base 16 of a number below 2^253. */
function digitsOf(value: bigint, digits: Int8Array): void {
  const hex = value.toString(16).padStart(64, '0');
  let carry = 0;
  for (let index = 0; index < 64; index += 1) {
    const digit = Number.parseInt(hex[63 - index] ?? '0', 16) + carry;
    carry = index < 63 && digit > 8 ? 1 : 0;
    digits[index] = digit - 16 * carry;
  }
}
