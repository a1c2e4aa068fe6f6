/** Addresses between Go's bytes, the kernel's files and text. */
import { isIPv4 } from 'node:net';

/** A 4 or 16 byte address as text, `undefined` for nil; IPv4 in IPv6 form becomes IPv4. */
export function addressText(address: Uint8Array | null): string | undefined {
  if (address === null || address.length === 0) return undefined;
  if (address.length === 4) return address.join('.');
  if (address.length !== 16) throw new RangeError(`an address has 4 or 16 bytes, not ${address.length}`);
  const mapped = address.subarray(0, 10).every((byte) => byte === 0) && address[10] === 0xff && address[11] === 0xff;
  if (mapped) return address.subarray(12).join('.');
  const groups = Array.from({ length: 8 }, (_, index) =>
    (((address[index * 2] ?? 0) << 8) | (address[index * 2 + 1] ?? 0)).toString(16),
  );
  // The URL parser shortens the longest run of zeros as RFC 5952 asks.
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

/** Address and mask in CIDR notation. */
export function networkText(network: { readonly IP: Uint8Array | null; readonly Mask: Uint8Array | null }): string {
  const address = addressText(network.IP);
  if (address === undefined) throw new RangeError('a network has no address');
  const ones = prefixLength(network.Mask ?? new Uint8Array());
  // Go keeps an IPv4 network's mask in 16 bytes now and then.
  return `${address}/${isIPv4(address) && network.Mask?.length === 16 ? ones - 96 : ones}`;
}

function prefixLength(mask: Uint8Array): number {
  const bits = [...mask].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const ones = bits.indexOf('0') === -1 ? bits.length : bits.indexOf('0');
  if (bits.slice(ones).includes('1') || mask.length === 0) throw new RangeError('not a network mask');
  return ones;
}
