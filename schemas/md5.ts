/** MD5 (RFC 1321), synchronous and without platform modules: the grid's content hash and name hash. */

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
const encoder = new TextEncoder();

/** What one hash needs beside its result; most texts fit. A call ends before the next one begins. */
const scratch = new Uint8Array(16 * 1024);
const state = new Int32Array(4);

/** The 16 hash bytes of some bytes or of a text's UTF-8. */
export function md5(input: string | Uint8Array): Uint8Array {
  const room = typeof input === 'string' ? input.length * 3 : input.length;
  const padded = room + 72 <= scratch.length ? scratch : new Uint8Array(room + 72);
  const view = new DataView(padded.buffer);
  let length = input.length;
  if (typeof input === 'string') length = encoder.encodeInto(input, padded).written;
  else padded.set(input);
  const end = (((length + 8) >> 6) + 1) << 6;
  padded.fill(0, length, end);
  padded[length] = 0x80;
  view.setInt32(end - 8, length << 3, true);
  view.setInt32(end - 4, Math.floor(length / 2 ** 29), true);
  state[0] = 0x67452301;
  state[1] = 0xefcdab89;
  state[2] = 0x98badcfe;
  state[3] = 0x10325476;
  for (let offset = 0; offset < end; offset += 64) block(view, offset);
  const digest = new Uint8Array(16);
  const words = new DataView(digest.buffer);
  for (let i = 0; i < 4; i++) words.setInt32(i * 4, state[i] as number, true);
  return digest;
}

/** MD5 as 32 lower-case hex digits. */
export function md5Hex(input: string | Uint8Array): string {
  let digits = '';
  for (const byte of md5(input)) digits += HEX[byte];
  return digits;
}

/** Four rounds of sixteen steps, written out: looked up in a loop, words, sines and shifts cost as much again. */
function block(view: DataView, at: number): void {
  const w0 = view.getInt32(at + 0, true);
  const w1 = view.getInt32(at + 4, true);
  const w2 = view.getInt32(at + 8, true);
  const w3 = view.getInt32(at + 12, true);
  const w4 = view.getInt32(at + 16, true);
  const w5 = view.getInt32(at + 20, true);
  const w6 = view.getInt32(at + 24, true);
  const w7 = view.getInt32(at + 28, true);
  const w8 = view.getInt32(at + 32, true);
  const w9 = view.getInt32(at + 36, true);
  const w10 = view.getInt32(at + 40, true);
  const w11 = view.getInt32(at + 44, true);
  const w12 = view.getInt32(at + 48, true);
  const w13 = view.getInt32(at + 52, true);
  const w14 = view.getInt32(at + 56, true);
  const w15 = view.getInt32(at + 60, true);
  let a = state[0] as number;
  let b = state[1] as number;
  let c = state[2] as number;
  let d = state[3] as number;

  a = (a + w0 - 0x28955b88 + (d ^ (b & (c ^ d)))) | 0;
  a = (((a << 7) | (a >>> 25)) + b) | 0;
  d = (d + w1 - 0x173848aa + (c ^ (a & (b ^ c)))) | 0;
  d = (((d << 12) | (d >>> 20)) + a) | 0;
  c = (c + w2 + 0x242070db + (b ^ (d & (a ^ b)))) | 0;
  c = (((c << 17) | (c >>> 15)) + d) | 0;
  b = (b + w3 - 0x3e423112 + (a ^ (c & (d ^ a)))) | 0;
  b = (((b << 22) | (b >>> 10)) + c) | 0;
  a = (a + w4 - 0x0a83f051 + (d ^ (b & (c ^ d)))) | 0;
  a = (((a << 7) | (a >>> 25)) + b) | 0;
  d = (d + w5 + 0x4787c62a + (c ^ (a & (b ^ c)))) | 0;
  d = (((d << 12) | (d >>> 20)) + a) | 0;
  c = (c + w6 - 0x57cfb9ed + (b ^ (d & (a ^ b)))) | 0;
  c = (((c << 17) | (c >>> 15)) + d) | 0;
  b = (b + w7 - 0x02b96aff + (a ^ (c & (d ^ a)))) | 0;
  b = (((b << 22) | (b >>> 10)) + c) | 0;
  a = (a + w8 + 0x698098d8 + (d ^ (b & (c ^ d)))) | 0;
  a = (((a << 7) | (a >>> 25)) + b) | 0;
  d = (d + w9 - 0x74bb0851 + (c ^ (a & (b ^ c)))) | 0;
  d = (((d << 12) | (d >>> 20)) + a) | 0;
  c = (c + w10 - 0x0000a44f + (b ^ (d & (a ^ b)))) | 0;
  c = (((c << 17) | (c >>> 15)) + d) | 0;
  b = (b + w11 - 0x76a32842 + (a ^ (c & (d ^ a)))) | 0;
  b = (((b << 22) | (b >>> 10)) + c) | 0;
  a = (a + w12 + 0x6b901122 + (d ^ (b & (c ^ d)))) | 0;
  a = (((a << 7) | (a >>> 25)) + b) | 0;
  d = (d + w13 - 0x02678e6d + (c ^ (a & (b ^ c)))) | 0;
  d = (((d << 12) | (d >>> 20)) + a) | 0;
  c = (c + w14 - 0x5986bc72 + (b ^ (d & (a ^ b)))) | 0;
  c = (((c << 17) | (c >>> 15)) + d) | 0;
  b = (b + w15 + 0x49b40821 + (a ^ (c & (d ^ a)))) | 0;
  b = (((b << 22) | (b >>> 10)) + c) | 0;

  a = (a + w1 - 0x09e1da9e + (c ^ (d & (b ^ c)))) | 0;
  a = (((a << 5) | (a >>> 27)) + b) | 0;
  d = (d + w6 - 0x3fbf4cc0 + (b ^ (c & (a ^ b)))) | 0;
  d = (((d << 9) | (d >>> 23)) + a) | 0;
  c = (c + w11 + 0x265e5a51 + (a ^ (b & (d ^ a)))) | 0;
  c = (((c << 14) | (c >>> 18)) + d) | 0;
  b = (b + w0 - 0x16493856 + (d ^ (a & (c ^ d)))) | 0;
  b = (((b << 20) | (b >>> 12)) + c) | 0;
  a = (a + w5 - 0x29d0efa3 + (c ^ (d & (b ^ c)))) | 0;
  a = (((a << 5) | (a >>> 27)) + b) | 0;
  d = (d + w10 + 0x02441453 + (b ^ (c & (a ^ b)))) | 0;
  d = (((d << 9) | (d >>> 23)) + a) | 0;
  c = (c + w15 - 0x275e197f + (a ^ (b & (d ^ a)))) | 0;
  c = (((c << 14) | (c >>> 18)) + d) | 0;
  b = (b + w4 - 0x182c0438 + (d ^ (a & (c ^ d)))) | 0;
  b = (((b << 20) | (b >>> 12)) + c) | 0;
  a = (a + w9 + 0x21e1cde6 + (c ^ (d & (b ^ c)))) | 0;
  a = (((a << 5) | (a >>> 27)) + b) | 0;
  d = (d + w14 - 0x3cc8f82a + (b ^ (c & (a ^ b)))) | 0;
  d = (((d << 9) | (d >>> 23)) + a) | 0;
  c = (c + w3 - 0x0b2af279 + (a ^ (b & (d ^ a)))) | 0;
  c = (((c << 14) | (c >>> 18)) + d) | 0;
  b = (b + w8 + 0x455a14ed + (d ^ (a & (c ^ d)))) | 0;
  b = (((b << 20) | (b >>> 12)) + c) | 0;
  a = (a + w13 - 0x561c16fb + (c ^ (d & (b ^ c)))) | 0;
  a = (((a << 5) | (a >>> 27)) + b) | 0;
  d = (d + w2 - 0x03105c08 + (b ^ (c & (a ^ b)))) | 0;
  d = (((d << 9) | (d >>> 23)) + a) | 0;
  c = (c + w7 + 0x676f02d9 + (a ^ (b & (d ^ a)))) | 0;
  c = (((c << 14) | (c >>> 18)) + d) | 0;
  b = (b + w12 - 0x72d5b376 + (d ^ (a & (c ^ d)))) | 0;
  b = (((b << 20) | (b >>> 12)) + c) | 0;

  a = (a + w5 - 0x0005c6be + (b ^ c ^ d)) | 0;
  a = (((a << 4) | (a >>> 28)) + b) | 0;
  d = (d + w8 - 0x788e097f + (a ^ b ^ c)) | 0;
  d = (((d << 11) | (d >>> 21)) + a) | 0;
  c = (c + w11 + 0x6d9d6122 + (d ^ a ^ b)) | 0;
  c = (((c << 16) | (c >>> 16)) + d) | 0;
  b = (b + w14 - 0x021ac7f4 + (c ^ d ^ a)) | 0;
  b = (((b << 23) | (b >>> 9)) + c) | 0;
  a = (a + w1 - 0x5b4115bc + (b ^ c ^ d)) | 0;
  a = (((a << 4) | (a >>> 28)) + b) | 0;
  d = (d + w4 + 0x4bdecfa9 + (a ^ b ^ c)) | 0;
  d = (((d << 11) | (d >>> 21)) + a) | 0;
  c = (c + w7 - 0x0944b4a0 + (d ^ a ^ b)) | 0;
  c = (((c << 16) | (c >>> 16)) + d) | 0;
  b = (b + w10 - 0x41404390 + (c ^ d ^ a)) | 0;
  b = (((b << 23) | (b >>> 9)) + c) | 0;
  a = (a + w13 + 0x289b7ec6 + (b ^ c ^ d)) | 0;
  a = (((a << 4) | (a >>> 28)) + b) | 0;
  d = (d + w0 - 0x155ed806 + (a ^ b ^ c)) | 0;
  d = (((d << 11) | (d >>> 21)) + a) | 0;
  c = (c + w3 - 0x2b10cf7b + (d ^ a ^ b)) | 0;
  c = (((c << 16) | (c >>> 16)) + d) | 0;
  b = (b + w6 + 0x04881d05 + (c ^ d ^ a)) | 0;
  b = (((b << 23) | (b >>> 9)) + c) | 0;
  a = (a + w9 - 0x262b2fc7 + (b ^ c ^ d)) | 0;
  a = (((a << 4) | (a >>> 28)) + b) | 0;
  d = (d + w12 - 0x1924661b + (a ^ b ^ c)) | 0;
  d = (((d << 11) | (d >>> 21)) + a) | 0;
  c = (c + w15 + 0x1fa27cf8 + (d ^ a ^ b)) | 0;
  c = (((c << 16) | (c >>> 16)) + d) | 0;
  b = (b + w2 - 0x3b53a99b + (c ^ d ^ a)) | 0;
  b = (((b << 23) | (b >>> 9)) + c) | 0;

  a = (a + w0 - 0x0bd6ddbc + (c ^ (b | ~d))) | 0;
  a = (((a << 6) | (a >>> 26)) + b) | 0;
  d = (d + w7 + 0x432aff97 + (b ^ (a | ~c))) | 0;
  d = (((d << 10) | (d >>> 22)) + a) | 0;
  c = (c + w14 - 0x546bdc59 + (a ^ (d | ~b))) | 0;
  c = (((c << 15) | (c >>> 17)) + d) | 0;
  b = (b + w5 - 0x036c5fc7 + (d ^ (c | ~a))) | 0;
  b = (((b << 21) | (b >>> 11)) + c) | 0;
  a = (a + w12 + 0x655b59c3 + (c ^ (b | ~d))) | 0;
  a = (((a << 6) | (a >>> 26)) + b) | 0;
  d = (d + w3 - 0x70f3336e + (b ^ (a | ~c))) | 0;
  d = (((d << 10) | (d >>> 22)) + a) | 0;
  c = (c + w10 - 0x00100b83 + (a ^ (d | ~b))) | 0;
  c = (((c << 15) | (c >>> 17)) + d) | 0;
  b = (b + w1 - 0x7a7ba22f + (d ^ (c | ~a))) | 0;
  b = (((b << 21) | (b >>> 11)) + c) | 0;
  a = (a + w8 + 0x6fa87e4f + (c ^ (b | ~d))) | 0;
  a = (((a << 6) | (a >>> 26)) + b) | 0;
  d = (d + w15 - 0x01d31920 + (b ^ (a | ~c))) | 0;
  d = (((d << 10) | (d >>> 22)) + a) | 0;
  c = (c + w6 - 0x5cfebcec + (a ^ (d | ~b))) | 0;
  c = (((c << 15) | (c >>> 17)) + d) | 0;
  b = (b + w13 + 0x4e0811a1 + (d ^ (c | ~a))) | 0;
  b = (((b << 21) | (b >>> 11)) + c) | 0;
  a = (a + w4 - 0x08ac817e + (c ^ (b | ~d))) | 0;
  a = (((a << 6) | (a >>> 26)) + b) | 0;
  d = (d + w11 - 0x42c50dcb + (b ^ (a | ~c))) | 0;
  d = (((d << 10) | (d >>> 22)) + a) | 0;
  c = (c + w2 + 0x2ad7d2bb + (a ^ (d | ~b))) | 0;
  c = (((c << 15) | (c >>> 17)) + d) | 0;
  b = (b + w9 - 0x14792c6f + (d ^ (c | ~a))) | 0;
  b = (((b << 21) | (b >>> 11)) + c) | 0;

  state[0] = (state[0] as number) + a;
  state[1] = (state[1] as number) + b;
  state[2] = (state[2] as number) + c;
  state[3] = (state[3] as number) + d;
}
