/** Finds the uncompressed kernel inside a bzImage. */
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { decodeLz4Legacy, LZ4_LEGACY_MAGIC } from './lz4.ts';

const ELF_MAGIC = Buffer.from([0x7f, 0x45, 0x4c, 0x46]);
const LIMIT_BYTES = 256 * 1024 * 1024;

interface Compression {
  readonly magic: Buffer;
  readonly decode: (stream: Buffer) => Buffer;
}

/** What Debian and other distributions compress kernels with and Node can undo. */
const compressions: readonly Compression[] = [
  { magic: LZ4_LEGACY_MAGIC, decode: (stream) => decodeLz4Legacy(stream, LIMIT_BYTES) },
  {
    magic: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]),
    decode: (stream) => zstdDecompressSync(stream, { maxOutputLength: LIMIT_BYTES }),
  },
  {
    magic: Buffer.from([0x1f, 0x8b, 0x08]),
    decode: (stream) => gunzipSync(stream, { maxOutputLength: LIMIT_BYTES }),
  },
];

/**
 * The ELF kernel inside a bzImage, `undefined` where it is packed in a way not
 * known here; the bzImage itself boots as well, only slower.
 */
export function extractVmlinux(image: Buffer): Buffer | undefined {
  if (image.subarray(0, 4).equals(ELF_MAGIC)) return image;
  for (const { magic, decode } of compressions) {
    for (let at = image.indexOf(magic); at !== -1; at = image.indexOf(magic, at + 1)) {
      const kernel = attempt(() => decode(image.subarray(at)));
      if (kernel?.subarray(0, 4).equals(ELF_MAGIC)) return kernel;
    }
  }
  return undefined;
}

/** Magic bytes also occur by chance; what does not decode there was no stream. */
function attempt<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch {
    return undefined;
  }
}
