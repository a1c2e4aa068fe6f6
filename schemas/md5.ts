/** MD5 (RFC 1321), synchronous and without platform modules: the grid's content hash and name hash. */

const SINES = Int32Array.from({ length: 64 }, (_, i) => Math.floor(Math.abs(Math.sin(i + 1)) * 2 ** 32));
const START = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
const encoder = new TextEncoder();

/** What one hash needs beside its result; most texts fit. A call ends before the next one begins. */
const scratch = new Uint8Array(16 * 1024);
const words = new Int32Array(16);
const state = new Int32Array(4);

/** The 16 hash bytes of some bytes or of a text's UTF-8. */
export function md5(input: string | Uint8Array): Uint8Array {
  const room = typeof input === 'string' ? input.length * 3 : input.length;
  const padded = room + 72 <= scratch.length ? scratch : new Uint8Array(room + 72);
  let length = input.length;
  if (typeof input === 'string') length = encoder.encodeInto(input, padded).written;
  else padded.set(input);
  const end = (((length + 8) >> 6) + 1) << 6;
  padded.fill(0, length, end);
  padded[length] = 0x80;
  writeLittle(padded, end - 8, (length << 3) | 0);
  writeLittle(padded, end - 4, Math.floor(length / 2 ** 29));
  state.set(START);
  for (let offset = 0; offset < end; offset += 64) {
    for (let i = 0; i < 16; i++) words[i] = readLittle(padded, offset + i * 4);
    block();
  }
  const digest = new Uint8Array(16);
  for (let i = 0; i < 4; i++) writeLittle(digest, i * 4, state[i] as number);
  return digest;
}

function readLittle(bytes: Uint8Array, at: number): number {
  const [a, b, c, d] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]] as [number, number, number, number];
  return a | (b << 8) | (c << 16) | (d << 24);
}

function writeLittle(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >> 8;
  bytes[at + 2] = value >> 16;
  bytes[at + 3] = value >> 24;
}

/** MD5 as 32 lower-case hex digits. */
export function md5Hex(input: string | Uint8Array): string {
  let digits = '';
  for (const byte of md5(input)) digits += HEX[byte];
  return digits;
}

/** Four rounds of sixteen steps; four steps a turn, so that no value moves from name to name. */
function block(): void {
  const word = (i: number): number => ((words[i & 15] as number) + (SINES[k++] as number)) | 0;
  let k = 0;
  let a = state[0] as number;
  let b = state[1] as number;
  let c = state[2] as number;
  let d = state[3] as number;
  for (let i = 0; i < 16; i += 4) {
    a = turn(a + ((b & c) | (~b & d)) + word(i), 7, b);
    d = turn(d + ((a & b) | (~a & c)) + word(i + 1), 12, a);
    c = turn(c + ((d & a) | (~d & b)) + word(i + 2), 17, d);
    b = turn(b + ((c & d) | (~c & a)) + word(i + 3), 22, c);
  }
  for (let i = 1; i < 81; i += 20) {
    a = turn(a + ((d & b) | (~d & c)) + word(i), 5, b);
    d = turn(d + ((c & a) | (~c & b)) + word(i + 5), 9, a);
    c = turn(c + ((b & d) | (~b & a)) + word(i + 10), 14, d);
    b = turn(b + ((a & c) | (~a & d)) + word(i + 15), 20, c);
  }
  for (let i = 5; i < 53; i += 12) {
    a = turn(a + (b ^ c ^ d) + word(i), 4, b);
    d = turn(d + (a ^ b ^ c) + word(i + 3), 11, a);
    c = turn(c + (d ^ a ^ b) + word(i + 6), 16, d);
    b = turn(b + (c ^ d ^ a) + word(i + 9), 23, c);
  }
  for (let i = 0; i < 112; i += 28) {
    a = turn(a + (c ^ (b | ~d)) + word(i), 6, b);
    d = turn(d + (b ^ (a | ~c)) + word(i + 7), 10, a);
    c = turn(c + (a ^ (d | ~b)) + word(i + 14), 15, d);
    b = turn(b + (d ^ (c | ~a)) + word(i + 21), 21, c);
  }
  state[0] = ((state[0] as number) + a) | 0;
  state[1] = ((state[1] as number) + b) | 0;
  state[2] = ((state[2] as number) + c) | 0;
  state[3] = ((state[3] as number) + d) | 0;
}

function turn(sum: number, shift: number, add: number): number {
  return (((sum << shift) | ((sum | 0) >>> (32 - shift))) + add) | 0;
}
