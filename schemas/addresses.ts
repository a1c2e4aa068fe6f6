/**
 * IP addresses and prefixes parsed and printed as Go's `net` package does, because the deployment
 * hash is taken over the printed form.
 */

export interface Cidr {
  /** 4 or 16 bytes; host bits kept. */
  readonly address: Uint8Array;
  readonly prefix: number;
}

/** Bytes of an address (4 or 16), `undefined` if Go's `net.ParseIP` would refuse it. */
export function parseIp(value: string): Uint8Array | undefined {
  return value.includes(':') ? parseV6(value) : parseV4(value);
}

/** Go's `net.ParseCIDR` with the host bits kept. */
export function parseCidr(value: string): Cidr | undefined {
  const slash = value.indexOf('/');
  if (slash < 0) return undefined;
  const address = parseIp(value.slice(0, slash));
  const digits = value.slice(slash + 1);
  if (address === undefined || !/^\d{1,16}$/.test(digits)) return undefined;
  const prefix = Number(digits);
  return prefix <= address.length * 8 ? { address, prefix } : undefined;
}

/** An address as Go prints it; `undefined` if it is none. IPv4 has one form only. */
export function normaliseIp(value: string): string | undefined {
  if (isV4(value, value.length)) return value;
  const address = parseIp(value);
  return address === undefined ? undefined : printIp(address);
}

/** An address with prefix length as Go prints it, host bits kept; `undefined` if it is none. */
export function normaliseCidr(value: string): string | undefined {
  const slash = value.indexOf('/');
  if (slash > 0 && isV4(value, slash) && /^\/(?:[12]?\d|3[0-2])$/.test(value.slice(slash))) return value;
  const network = parseCidr(value);
  return network === undefined ? undefined : printCidr(network);
}

/** Whether the first `end` characters are a dotted IPv4 address: no leading zeros, no part above 255. */
function isV4(value: string, end: number): boolean {
  let dots = 0;
  let part = 0;
  let digits = 0;
  for (let i = 0; i < end; i++) {
    const unit = value.charCodeAt(i);
    if (unit === 0x2e) {
      if (digits === 0 || ++dots > 3) return false;
      part = digits = 0;
      continue;
    }
    if (unit < 0x30 || unit > 0x39 || (digits > 0 && part === 0)) return false;
    part = part * 10 + unit - 0x30;
    digits++;
    if (part > 255) return false;
  }
  return dots === 3 && digits > 0;
}

/** Go's `net.IP.String`: IPv4 dotted (also when mapped into IPv6), IPv6 compressed and lower case. */
export function printIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  if (isMapped(bytes)) return bytes.subarray(12).join('.');
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] as number) << 8) | (bytes[i + 1] as number));
  let start = -1;
  let longest = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > longest) [start, longest] = [i, end - i];
  }
  const print = (part: number[]) => part.map((group) => group.toString(16)).join(':');
  return start < 0 ? print(groups) : `${print(groups.slice(0, start))}::${print(groups.slice(start + longest))}`;
}

/** Go's `net.IPNet.String`; a prefix of a mapped IPv4 address counts from its own 32 bits. */
export function printCidr({ address, prefix }: Cidr): string {
  const mapped = address.length === 16 && isMapped(address);
  return `${printIp(address)}/${mapped ? Math.max(0, prefix - 96) : prefix}`;
}

function isMapped(bytes: Uint8Array): boolean {
  return bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
}

function parseV4(value: string): Uint8Array | undefined {
  return isV4(value, value.length) ? Uint8Array.from(value.split('.'), Number) : undefined;
}

function parseV6(value: string): Uint8Array | undefined {
  if (value.length > 45) return undefined;
  const halves = value.split('::');
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0] as string, halves.length === 1);
  const tail = halves.length === 2 ? groupsOf(halves[1] as string, true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const used = head.length + tail.length;
  if (halves.length === 2 ? used > 14 : used !== 16) return undefined;
  return Uint8Array.from([...head, ...new Array<number>(16 - used).fill(0), ...tail]);
}

/** Bytes of colon separated groups; the last may be a dotted IPv4 address where `last` allows it. */
function groupsOf(value: string, last: boolean): number[] | undefined {
  if (value === '') return [];
  const parts = value.split(':');
  const bytes: number[] = [];
  for (const [i, part] of parts.entries()) {
    if (part.includes('.')) {
      const v4 = last && i === parts.length - 1 ? parseV4(part) : undefined;
      if (v4 === undefined) return undefined;
      bytes.push(...v4);
      continue;
    }
    if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
    const group = Number.parseInt(part, 16);
    bytes.push(group >> 8, group & 0xff);
  }
  return bytes;
}
