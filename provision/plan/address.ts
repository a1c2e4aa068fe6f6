/** IPv4 addresses and prefixes as the planner and the machine's interface need them. */

/** An IPv4 prefix; `address` keeps the host bits that were written. */
export interface Prefix {
  readonly address: number;
  readonly bits: number;
}

/** `a.b.c.d` as an unsigned number, `undefined` when it is not one. */
export function parseIPv4(text: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  let value = 0;
  for (const part of match.slice(1)) {
    const octet = Number(part);
    if (octet > 255 || (part.length > 1 && part.startsWith('0'))) return undefined;
    value = value * 256 + octet;
  }
  return value;
}

/** `a.b.c.d/n`, `undefined` when it is not one. */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const address = parseIPv4(text.slice(0, slash));
  const bits = text.slice(slash + 1);
  if (address === undefined || !/^\d{1,2}$/.test(bits) || Number(bits) > 32) return undefined;
  return { address, bits: Number(bits) };
}

function maskOf(bits: number): number {
  return bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0;
}

export function prefixContains(prefix: Prefix, address: number): boolean {
  const mask = maskOf(prefix.bits);
  return (prefix.address & mask) >>> 0 === (address & mask) >>> 0;
}

/** First and last address of the prefix. */
export function prefixEdges(prefix: Prefix): { readonly first: number; readonly last: number } {
  const mask = maskOf(prefix.bits);
  const first = (prefix.address & mask) >>> 0;
  return { first, last: (first | ~mask) >>> 0 };
}

export function formatIPv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.');
}

/** Four bytes in network order. */
export function ipv4Bytes(address: number): Uint8Array {
  return Uint8Array.from([24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff));
}

export function maskBytes(bits: number): Uint8Array {
  return ipv4Bytes(maskOf(bits));
}
