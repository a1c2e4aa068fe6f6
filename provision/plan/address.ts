/** IPv4 addresses and prefixes as numbers, for the planner's comparisons. */
import { parseCidr, parseIp } from '../../schemas/addresses.ts';

/** An IPv4 prefix; `address` keeps the host bits that were written. */
export interface Prefix {
  readonly address: number;
  readonly bits: number;
}

/** `a.b.c.d` as an unsigned number, `undefined` when it is not one. */
export function parseIPv4(text: string): number | undefined {
  return numberOf(parseIp(text));
}

/** `a.b.c.d/n`, `undefined` when it is not one. */
export function parsePrefix(text: string): Prefix | undefined {
  const cidr = parseCidr(text);
  const address = numberOf(cidr?.address);
  return cidr === undefined || address === undefined ? undefined : { address, bits: cidr.prefix };
}

function numberOf(bytes: Uint8Array | undefined): number | undefined {
  if (bytes?.length !== 4) return undefined;
  return bytes.reduce((value, byte) => value * 256 + byte, 0);
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
