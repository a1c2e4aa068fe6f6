/** Addresses on the overlay networks, derived from keys and ids; other nodes and clients derive the same. */
import { createHash } from 'node:crypto';
import type { Prefix } from './address.ts';

/** Number of leading one bits, and the 14 bytes that follow the first zero bit. */
function compress(key: Uint8Array): { readonly ones: number; readonly rest: Uint8Array } {
  const bits = Array.from(key, (byte) => (~byte & 0xff).toString(2).padStart(8, '0')).join('');
  const ones = bits.indexOf('0');
  const rest = bits.slice(ones + 1).padEnd(14 * 8, '0');
  return { ones, rest: Uint8Array.from({ length: 14 }, (_, at) => Number.parseInt(rest.slice(at * 8, at * 8 + 8), 2)) };
}

/** The Yggdrasil address of an ed25519 public key (32 bytes). */
export function yggdrasilAddress(publicKey: Uint8Array): Uint8Array {
  const { ones, rest } = compress(publicKey);
  return Uint8Array.of(0x02, ones, ...rest);
}

/** The /64 that a Yggdrasil node may give to others; its gateway is ::1. */
export function yggdrasilSubnet(publicKey: Uint8Array): Prefix {
  const ip = new Uint8Array(16);
  ip.set(yggdrasilAddress(publicKey).subarray(0, 8));
  ip[0] = 0x03;
  return { ip, length: 64 };
}

/** The address of an object in an overlay /64, by what names the object. */
export function overlayAddress(subnet: Prefix, object: Uint8Array): Uint8Array {
  const ip = Uint8Array.from(subnet.ip);
  ip.set(createHash('sha512').update(object).digest().subarray(0, 8), 8);
  return ip;
}

/** A machine's Mycelium address: the network's /64, `ff0f`, and the 6 bytes its owner chose; `undefined` for seeds that are refused. */
export function myceliumAddress(subnet: Prefix, seed: Uint8Array): Uint8Array | undefined {
  if (seed.length !== 6 || seed.every((byte) => byte === 0) || seed.every((byte) => byte === 0xff)) return undefined;
  const ip = Uint8Array.from(subnet.ip);
  ip.set([0xff, 0x0f, ...seed], 8);
  return ip;
}
