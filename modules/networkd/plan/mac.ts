/** Hardware addresses derived from names, so that a machine keeps its address for life. */
import { createHash } from 'node:crypto';

const HASH_BYTES = 16;
const MAC_BYTES = 6;

/** Existing nodes compare the upper bounds with the last three bytes; the rule is kept to give the same addresses. */
function isUsable(mac: Buffer): boolean {
  const first = mac.readUIntBE(0, 2);
  const last = mac.readUIntBE(3, 3);
  if (last <= 0x0051ff) return first >= 0x0003;
  if (last <= 0x9000ff) return first >= 0x0054 && first !== 0x3333;
  return mac.readUIntBE(0, 6) <= 0xfffffffffffe && first >= 0x9002;
}

/** The 6 bytes of the hardware address that belongs to a name. */
export function macBytes(input: string | Uint8Array): Buffer {
  let source: string | Uint8Array = input;
  for (;;) {
    const hash = createHash('md5').update(source).digest();
    for (let offset = 0; offset <= HASH_BYTES - MAC_BYTES; offset++) {
      // Locally administered, not multicast; the byte stays changed for the offsets that follow.
      hash[offset] = ((hash[offset] ?? 0) | 0x02) & 0xfe;
      const candidate = hash.subarray(offset, offset + MAC_BYTES);
      if (isUsable(candidate)) return Buffer.from(candidate);
    }
    source = hash;
  }
}

/** Six bytes as `02:00:00:00:00:01`. */
function formatMac(mac: Uint8Array): string {
  return Buffer.from(mac).toString('hex').match(/../g)?.join(':') ?? '';
}

export function macOf(input: string | Uint8Array): string {
  return formatMac(macBytes(input));
}
