/** Decoder of the LZ4 legacy format, in which Debian compresses its kernels. */

const MAGIC = 0x184c2102;
/** Size of every block but the last after decompression, fixed by the format. */
const BLOCK_BYTES = 8 * 1024 * 1024;

/** The four bytes every legacy stream begins with. */
export const LZ4_LEGACY_MAGIC = Buffer.from([0x02, 0x21, 0x4c, 0x18]);

/**
 * Decompresses a legacy stream. What follows the last whole block is ignored:
 * a kernel image appends its own trailer. Throws on a stream that breaks the
 * format and on one that would grow past `limitBytes`.
 */
export function decodeLz4Legacy(stream: Uint8Array, limitBytes: number): Buffer {
  const input = Buffer.from(stream.buffer, stream.byteOffset, stream.byteLength);
  if (input.length < 4 || input.readUInt32LE(0) !== MAGIC) throw new Error('no LZ4 legacy stream');
  const blocks: Buffer[] = [];
  let total = 0;
  let at = 4;
  while (at + 4 <= input.length) {
    const size = input.readUInt32LE(at);
    at += 4;
    if (size === MAGIC) continue;
    if (size === 0 || at + size > input.length) break;
    const block = decodeBlock(input.subarray(at, at + size));
    total += block.length;
    if (total > limitBytes) throw new Error(`LZ4 stream is larger than ${limitBytes} bytes`);
    blocks.push(block);
    at += size;
    if (block.length < BLOCK_BYTES) break;
  }
  return Buffer.concat(blocks, total);
}

/** One block: tokens of literals and back references, at most `BLOCK_BYTES` of output. */
function decodeBlock(input: Uint8Array): Buffer {
  const output = Buffer.allocUnsafe(BLOCK_BYTES);
  let from = 0;
  let to = 0;
  const byte = (): number => {
    const value = input[from++];
    if (value === undefined) throw new Error('LZ4 block ends early');
    return value;
  };
  const length = (nibble: number): number => {
    if (nibble < 15) return nibble;
    let sum = nibble;
    for (;;) {
      const more = byte();
      sum += more;
      if (more < 255) return sum;
    }
  };
  while (from < input.length) {
    const token = byte();
    const literals = length(token >> 4);
    if (from + literals > input.length || to + literals > BLOCK_BYTES) throw new Error('LZ4 literals leave the block');
    output.set(input.subarray(from, from + literals), to);
    from += literals;
    to += literals;
    if (from >= input.length) break;
    const distance = byte() | (byte() << 8);
    const count = length(token & 15) + 4;
    if (distance === 0 || distance > to || to + count > BLOCK_BYTES) throw new Error('LZ4 reference leaves the block');
    if (distance >= count) {
      output.copyWithin(to, to - distance, to - distance + count);
    } else {
      for (let index = 0; index < count; index += 1) output[to + index] = output[to + index - distance] as number;
    }
    to += count;
  }
  return output.subarray(0, to);
}
