/** MD5 (RFC 1321), synchronous and without platform modules: the grid's content hash and name hash. */

const SHIFTS = [
  [7, 12, 17, 22],
  [5, 9, 14, 20],
  [4, 11, 16, 23],
  [6, 10, 15, 21],
] as const;
const SINES = Uint32Array.from({ length: 64 }, (_, i) => Math.floor(Math.abs(Math.sin(i + 1)) * 2 ** 32));

/** The 16 hash bytes of some bytes or of a text's UTF-8. */
export function md5(input: string | Uint8Array): Uint8Array {
  const message = typeof input === 'string' ? new TextEncoder().encode(input) : input;
  const padded = new Uint8Array((((message.length + 8) >> 6) + 1) << 6);
  padded.set(message);
  padded[message.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(message.length) * 8n, true);
  const state = Uint32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476);
  const words = new Uint32Array(16);
  for (let offset = 0; offset < padded.length; offset += 64) {
    for (let i = 0; i < 16; i++) words[i] = view.getUint32(offset + i * 4, true);
    block(state, words);
  }
  const digest = new Uint8Array(16);
  const out = new DataView(digest.buffer);
  for (let i = 0; i < 4; i++) out.setUint32(i * 4, state[i] as number, true);
  return digest;
}

/** MD5 as 32 lower-case hex digits. */
export function md5Hex(input: string | Uint8Array): string {
  return Array.from(md5(input), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function block(state: Uint32Array, words: Uint32Array): void {
  let [a, b, c, d] = state as unknown as [number, number, number, number];
  for (let i = 0; i < 64; i++) {
    const round = i >> 4;
    let mix: number;
    let word: number;
    if (round === 0) [mix, word] = [(b & c) | (~b & d), i];
    else if (round === 1) [mix, word] = [(d & b) | (~d & c), (5 * i + 1) & 15];
    else if (round === 2) [mix, word] = [b ^ c ^ d, (3 * i + 5) & 15];
    else [mix, word] = [c ^ (b | ~d), (7 * i) & 15];
    const sum = (a + mix + (SINES[i] as number) + (words[word] as number)) | 0;
    const shift = (SHIFTS[round] as readonly number[])[i & 3] as number;
    [a, d, c, b] = [d, c, b, (b + ((sum << shift) | (sum >>> (32 - shift)))) | 0];
  }
  state[0] = (state[0] as number) + a;
  state[1] = (state[1] as number) + b;
  state[2] = (state[2] as number) + c;
  state[3] = (state[3] as number) + d;
}
