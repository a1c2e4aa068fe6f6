/** Addresses of the bus as the texts that clients read. */
import type { IPNet } from '../../modules/networkd/interface.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import { printCidr, printIp } from '../../schemas/index.ts';

/** An address with prefix length, empty where there is none. */
export function networkText({ IP, Mask }: Infer<typeof IPNet>): string {
  if (IP === null || Mask === null || IP.length === 0) return '';
  return printCidr({ address: IP, prefix: prefixLength(Mask) });
}

/** An address, empty where there is none. */
export function addressText(ip: Uint8Array | null): string {
  return ip === null || ip.length === 0 ? '' : printIp(ip);
}

function prefixLength(mask: Uint8Array): number {
  return mask.reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0);
}
