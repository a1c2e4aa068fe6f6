/** Addresses and prefixes: bytes as they cross the bus, text as the host's tools take it. */
import { createHash } from 'node:crypto';
import { isIP } from 'node:net';

/** An address with its prefix length; 4 or 16 bytes. */
export interface Prefix {
  readonly ip: Uint8Array;
  readonly length: number;
}

/** Four or sixteen bytes; Go writes IPv4 either way. `undefined` for anything else. */
export function normalizeIp(bytes: Uint8Array | null): Uint8Array | undefined {
  if (bytes === null) return undefined;
  if (bytes.length === 4) return bytes;
  if (bytes.length !== 16) return undefined;
  const mapped = bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  return mapped ? bytes.subarray(12) : bytes;
}

/** The prefix of a Go `net.IPNet`; `undefined` where address or mask is missing or no prefix. */
export function prefixOf(net: {
  readonly IP: Uint8Array | null;
  readonly Mask: Uint8Array | null;
}): Prefix | undefined {
  const ip = normalizeIp(net.IP);
  if (ip === undefined || net.Mask === null) return undefined;
  const mask = net.Mask.length === 16 && ip.length === 4 ? net.Mask.subarray(12) : net.Mask;
  if (mask.length !== ip.length) return undefined;
  const bits = [...mask].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return /^1*0*$/.test(bits) ? { ip, length: bits.lastIndexOf('1') + 1 } : undefined;
}

/** The Go `net.IPNet` of a prefix. */
export function toIpNet(prefix: Prefix): { IP: Uint8Array; Mask: Uint8Array } {
  return { IP: prefix.ip, Mask: maskOf(prefix) };
}

function maskOf(prefix: Prefix): Uint8Array {
  return Uint8Array.from(prefix.ip, (_, index) => {
    const bits = Math.min(8, Math.max(0, prefix.length - index * 8));
    return (0xff << (8 - bits)) & 0xff;
  });
}

/** The same prefix without host bits. */
export function networkOf(prefix: Prefix): Prefix {
  const mask = maskOf(prefix);
  return { ip: prefix.ip.map((byte, index) => byte & (mask[index] ?? 0)), length: prefix.length };
}

/** Whether an address lies in a prefix of its family. */
export function contains(prefix: Prefix, ip: Uint8Array): boolean {
  if (ip.length !== prefix.ip.length) return false;
  const masked = networkOf({ ip, length: prefix.length }).ip;
  return Buffer.compare(masked, networkOf(prefix).ip) === 0;
}

export function overlaps(one: Prefix, other: Prefix): boolean {
  const wider = one.length <= other.length ? one : other;
  return contains(wider, wider === one ? other.ip : one.ip);
}

/** `10.1.2.3`, or the shortest form of an IPv6 address. */
export function formatIp(ip: Uint8Array): string {
  if (ip.length === 4) return ip.join('.');
  const groups = Array.from({ length: 8 }, (_, i) => (((ip[2 * i] ?? 0) << 8) | (ip[2 * i + 1] ?? 0)).toString(16));
  return new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1);
}

export function formatPrefix(prefix: Prefix): string {
  return `${formatIp(prefix.ip)}/${prefix.length}`;
}

/** The bytes of a textual address; throws where it is none. */
export function parseIp(text: string): Uint8Array {
  const family = isIP(text);
  if (family === 4) return Uint8Array.from(text.split('.'), Number);
  if (family !== 6) throw new RangeError(`${JSON.stringify(text)} is no IP address`);
  const full = new URL(`http://[${text}]/`).hostname.slice(1, -1);
  const [head = '', tail] = full.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = tail === undefined ? left : [...left, ...Array(8 - left.length - right.length).fill('0'), ...right];
  return Uint8Array.from(
    groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]),
  );
}

export function parsePrefix(text: string): Prefix {
  const [ip = '', length = ''] = text.split('/');
  const bytes = parseIp(ip);
  const bits = /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
  if (!(bits <= bytes.length * 8)) throw new RangeError(`${JSON.stringify(text)} is no address with prefix length`);
  return { ip: bytes, length: bits };
}

/** The gateway of a network on this node: the subnet with its last octet set to 1. */
export function gatewayOf(subnet: Prefix): Prefix {
  const ip = Uint8Array.from(subnet.ip);
  ip[3] = 1;
  return { ip, length: subnet.length };
}

/** Where a node's end of the WireGuard mesh sits: subnet `a.b.c.0` gives `100.64.b.c/16`. */
export function wireguardAddressOf(subnet: Prefix): Prefix {
  return { ip: Uint8Array.of(100, 64, subnet.ip[1] ?? 0, subnet.ip[2] ?? 0), length: 16 };
}

/** IPv6 of an address on the link between networks and the router namespace: 100.127.1.1 gives fd00::101. */
export function uplinkIpv6Of(lease: Uint8Array): Prefix {
  const ip = new Uint8Array(16);
  ip[0] = 0xfd;
  ip[14] = lease[2] ?? 0;
  ip[15] = lease[3] ?? 0;
  return { ip, length: 64 };
}

/**
 * The private IPv6 of a private IPv4. Existing nodes use the first five
 * characters of the network id as they stand, not their hash, and fill up
 * from the hash of nothing; so do we.
 */
export function ipv6Of(netid: string, ipv4: Uint8Array): Prefix {
  const id = Buffer.concat([Buffer.from(netid), createHash('md5').digest()]);
  const ip = new Uint8Array(16);
  ip.set([0xfd, id[0] ?? 0, id[1] ?? 0, id[2] ?? 0, id[3] ?? 0, id[4] ?? 0, 0, ipv4[2] ?? 0]);
  ip[15] = ipv4[3] ?? 0;
  return { ip, length: 64 };
}

/** An address in a /64 by the hardware address: second-lowest bit of the first byte flipped, ff:fe in the middle. */
export function eui64(prefix: Prefix, mac: Uint8Array): Prefix {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac;
  const ip = Uint8Array.from(prefix.ip);
  ip.set([a ^ 0x02, b, c, 0xff, 0xfe, d, e, f], 8);
  return { ip, length: 64 };
}
