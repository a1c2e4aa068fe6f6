/** Numbers modulo P, for what is done once for a key: points and their encodings. For public data only. */

export const P = 2n ** 255n - 19n;
/** Of the group: so many times any point is none. */
export const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
/** Of the curve -x^2 + y^2 = 1 + d x^2 y^2. */
export const D = mod(-121665n * power(121666n, P - 2n));
export const SQRT_M1 = power(2n, (P - 1n) / 4n);

export interface Affine {
  readonly x: bigint;
  readonly y: bigint;
}

/** RFC 9496, 4.3.1; `undefined` where the bytes are no point. */
export function decode(bytes: Uint8Array): Affine | undefined {
  if (bytes.length !== 32) return undefined;
  const s = numberOf(bytes);
  if (s >= P || (s & 1n) === 1n) return undefined;
  const ss = mod(s * s);
  const [u1, u2] = [mod(1n - ss), mod(1n + ss)];
  const v = mod(-D * mod(u1 * u1) - u2 * u2);
  const { root, square } = inverseRoot(mod(v * mod(u2 * u2)));
  const denX = mod(root * u2);
  const denY = mod(mod(root * denX) * v);
  const x = absolute(mod(2n * s * denX));
  const y = mod(u1 * denY);
  if (!square || (mod(x * y) & 1n) === 1n || y === 0n) return undefined;
  return { x, y };
}

export function inverseRoot(v: bigint): { readonly root: bigint; readonly square: boolean } {
  const v3 = mod(mod(v * v) * v);
  const v7 = mod(mod(v3 * v3) * v);
  let root = mod(v3 * power(v7, (P - 5n) / 8n));
  const check = mod(v * mod(root * root));
  const flipped = check === P - 1n;
  if (flipped || check === mod(-SQRT_M1)) root = mod(root * SQRT_M1);
  return { root: absolute(root), square: check === 1n || flipped };
}

/** The x that is not negative of the curve's point with this y. */
function rootOfRatio(y: bigint): bigint {
  const yy = mod(y * y);
  const u = mod(yy - 1n);
  const v = mod(D * yy + 1n);
  // u/v = u^2 / (u v)
  const { root } = inverseRoot(mod(u * v));
  return absolute(mod(u * root));
}

function absolute(value: bigint): bigint {
  return (value & 1n) === 1n ? P - value : value;
}

export function mod(value: bigint): bigint {
  const rest = value % P;
  return rest < 0n ? rest + P : rest;
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  let square = base;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = (result * square) % P;
    square = (square * square) % P;
  }
  return result;
}

/** Little-endian bytes as a number. */
export function numberOf(bytes: Uint8Array): bigint {
  const reversed = Buffer.from(bytes).reverse();
  return BigInt(`0x${reversed.toString('hex')}`);
}

/** The base point. */
const baseY = mod(4n * power(5n, P - 2n));
export const BASE: Affine = { x: rootOfRatio(baseY), y: baseY };
