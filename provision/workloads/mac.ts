/** The hardware address that the grid's nodes derive from a name. */
import { createHash } from 'node:crypto';

/**
 * From the MD5 of `input`: six bytes with the local bit set and the multicast
 * bit clear, shifted until they are in an allowed range, hashed again if none
 * is. The range test looks at the last three bytes first, as Go's does.
 */
export function macOf(input: string | Uint8Array): string {
  let source: Uint8Array = typeof input === 'string' ? Buffer.from(input) : input;
  for (;;) {
    const hash = createHash('md5').update(source).digest();
    for (let offset = 0; offset <= 10; offset++) {
      hash[offset] = ((hash[offset] ?? 0) | 0x02) & 0xfe;
      const candidate = hash.subarray(offset, offset + 6);
      if (isAllowed(candidate)) return [...candidate].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
    }
    source = hash;
  }
}

function isAllowed(mac: Buffer): boolean {
  const first = mac.readUInt16BE(0);
  const last = mac.readUIntBE(3, 3);
  if (last <= 0x0051ff) return first >= 0x0003;
  if (last <= 0x9000ff) return first >= 0x0054 && first !== 0x3333;
  return first >= 0x9002 && mac.readUIntBE(0, 6) <= 0xfffffffffffe;
}
