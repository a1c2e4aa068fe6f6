/**
 * Arithmetic of Curve25519 as a WebAssembly module, made when it is loaded.
 * For public data only: nothing here takes the same time for all inputs.
 *
 * A field element is ten signed 32-bit limbs of 26 and 25 bits in turn (40
 * bytes). Results of `mul` have limbs below 1.01 * 2^25 or 2^24; it takes sums
 * and differences of three of these: then every sum of products fits in 63 bits.
 */
import { Body, I64, moduleOf, op } from './emit.ts';
import { Instance, type Memory, Module } from './web-assembly.ts';

export const LIMBS = 10;
export const FIELD_BYTES = 4 * LIMBS;
/** X, Y, Z and T, where x = X/Z, y = Y/Z, x*y = T/Z. */
export const POINT_BYTES = 4 * FIELD_BYTES;
/** y+x, y-x and 2*d*x*y of an affine point. */
export const ENTRY_BYTES = 3 * FIELD_BYTES;

/** What `madd`, `msub` and `double` use beside their arguments: seven elements from address 0 on. */
const SCRATCH = [0, 1, 2, 3, 4, 5, 6].map((index) => index * FIELD_BYTES);
export const SCRATCH_BYTES = SCRATCH.length * FIELD_BYTES;

const bitsOf = (limb: number): number => (limb % 2 === 0 ? 26 : 25);

/** `mul(out, a, b)`; `out` may be `a` or `b`. */
function mul(): Body {
  const body = new Body(3);
  const load = (argument: number): number[] =>
    Array.from({ length: LIMBS }, (_, limb) => {
      const local = body.local(I64);
      body
        .get(argument)
        .emit(op.load32Signed, 2, 4 * limb)
        .set(local);
      return local;
    });
  const scaled = (from: number | undefined, factor: number): number => {
    const local = body.local(I64);
    body
      .get(from ?? 0)
      .const64(factor)
      .emit(op.i64mul)
      .set(local);
    return local;
  };
  const a = load(1);
  const b = load(2);
  // Two odd limbs weigh twice, as 25 + 25 bits are one less than the place they go to; beyond the last limb 2^255 is 19.
  const doubled = a.map((local, limb) => (limb % 2 === 1 ? scaled(local, 2) : local));
  const wrapped = b.map((local, limb) => (limb > 0 ? scaled(local, 19) : local));
  const sums: number[] = [];
  for (let place = 0; place < LIMBS; place += 1) {
    for (let i = 0; i < LIMBS; i += 1) {
      const j = (place - i + LIMBS) % LIMBS;
      const left = i % 2 === 1 && j % 2 === 1 ? doubled[i] : a[i];
      const right = i + j >= LIMBS ? wrapped[j] : b[j];
      body
        .get(left ?? 0)
        .get(right ?? 0)
        .emit(op.i64mul);
      if (i > 0) body.emit(op.i64add);
    }
    const sum = body.local(I64);
    body.set(sum);
    sums.push(sum);
  }
  const carry = body.local(I64);
  /** Rounds, so that limbs stay near zero on both sides. */
  const carryFrom = (limb: number): void => {
    const bits = bitsOf(limb);
    const from = sums[limb] ?? 0;
    const to = sums[(limb + 1) % LIMBS] ?? 0;
    body
      .get(from)
      .const64(2 ** (bits - 1))
      .emit(op.i64add)
      .const64(bits)
      .emit(op.i64shrSigned)
      .set(carry);
    body.get(to).get(carry);
    if (limb === LIMBS - 1) body.const64(19).emit(op.i64mul);
    body.emit(op.i64add).set(to);
    body.get(from).get(carry).const64(bits).emit(op.i64shl, op.i64sub).set(from);
  };
  for (const limb of [0, 4, 1, 5, 2, 6, 3, 7, 4, 8, 9, 0]) carryFrom(limb);
  for (const [limb, sum] of sums.entries())
    body
      .get(0)
      .get(sum)
      .emit(op.store32, 2, 4 * limb);
  return body;
}

/** `add(out, a, b)` and `sub(out, a, b)`, without carries. */
function addOrSub(operation: number): Body {
  const body = new Body(3);
  for (let limb = 0; limb < LIMBS; limb += 1) {
    const at = [2, 4 * limb];
    body
      .get(0)
      .get(1)
      .emit(op.load32Signed, ...at)
      .get(2)
      .emit(op.load32Signed, ...at);
    body.emit(operation, op.store32, ...at);
  }
  return body;
}

const MUL = 0;
const ADD = 1;
const SUB = 2;

type Place = readonly [argument: number | undefined, offset: number];

function step(body: Body, index: number, ...places: readonly Place[]): void {
  for (const [argument, offset] of places) {
    if (argument === undefined) body.const32(offset);
    else body.address(argument, offset);
  }
  body.call(index);
}

const scratch = (index: number): Place => [undefined, SCRATCH[index] ?? 0];
const coordinate = (index: number): Place => [0, index * FIELD_BYTES];
const [X, Y, Z, T] = [coordinate(0), coordinate(1), coordinate(2), coordinate(3)];

/** From the completed form (x = E/G, y = H/F) in the scratch places to the point: E*F, G*H, F*G, E*H. */
function complete(body: Body, e: Place, f: Place, g: Place, h: Place): void {
  step(body, MUL, X, e, f);
  step(body, MUL, Y, g, h);
  step(body, MUL, Z, f, g);
  step(body, MUL, T, e, h);
}

/** `madd(point, entry)`: the point plus a table's entry; `msub` minus it. */
function mixed(subtract: boolean): Body {
  const body = new Body(2);
  const entry = (index: number): Place => [1, index * FIELD_BYTES];
  const [plus, minus] = subtract ? [entry(1), entry(0)] : [entry(0), entry(1)];
  const [sum, difference, a, b, c, d, e] = [0, 1, 2, 3, 4, 5, 6].map(scratch) as [
    Place,
    Place,
    Place,
    Place,
    Place,
    Place,
    Place,
  ];
  step(body, ADD, sum, Y, X);
  step(body, SUB, difference, Y, X);
  step(body, MUL, a, difference, minus);
  step(body, MUL, b, sum, plus);
  step(body, MUL, c, T, entry(2));
  step(body, ADD, d, Z, Z);
  step(body, SUB, e, b, a);
  step(body, ADD, sum, b, a);
  const [f, g] = [difference, a];
  step(body, subtract ? ADD : SUB, f, d, c);
  step(body, subtract ? SUB : ADD, g, d, c);
  complete(body, e, f, g, sum);
  return body;
}

/** `double(point)`. */
function double(): Body {
  const body = new Body(1);
  const [xx, yy, zz, both, e, f, g] = [0, 1, 2, 3, 4, 5, 6].map(scratch) as [
    Place,
    Place,
    Place,
    Place,
    Place,
    Place,
    Place,
  ];
  step(body, MUL, xx, X, X);
  step(body, MUL, yy, Y, Y);
  step(body, ADD, zz, Z, Z);
  // Not the sum of two squares: with what is taken from it that would be one term too many.
  step(body, MUL, zz, zz, Z);
  step(body, ADD, both, X, Y);
  step(body, MUL, both, both, both);
  const h = f;
  step(body, ADD, h, yy, xx);
  step(body, SUB, g, yy, xx);
  step(body, SUB, e, both, h);
  step(body, SUB, both, zz, g);
  complete(body, e, both, g, h);
  return body;
}

/** `squares(a, count)`: squares in place, at least once. */
function squares(): Body {
  const body = new Body(2);
  return body.repeat(1, () => body.get(0).get(0).get(0).call(MUL));
}

export interface CurveFunctions {
  mul(out: number, a: number, b: number): void;
  add(out: number, a: number, b: number): void;
  sub(out: number, a: number, b: number): void;
  squares(a: number, count: number): void;
  madd(point: number, entry: number): void;
  msub(point: number, entry: number): void;
  double(point: number): void;
}

export function loadCurve(memory: Memory): CurveFunctions {
  const bytes = moduleOf({
    mul: mul(),
    add: addOrSub(op.i64add),
    sub: addOrSub(op.i64sub),
    squares: squares(),
    madd: mixed(false),
    msub: mixed(true),
    double: double(),
  });
  const { exports } = new Instance(new Module(bytes), { env: { memory } });
  return exports as unknown as CurveFunctions;
}
