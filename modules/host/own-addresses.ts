/** Addresses at which this host answers itself, read anew with each call. */
import { readFileSync } from 'node:fs';
import { BlockList } from 'node:net';
import { networkInterfaces } from 'node:os';

function lines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch (error) {
    // A kernel without this family. Whatever else fails must not make the node's own addresses unknown.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/**
 * Every address of every interface in this network namespace. The kernel's
 * tables are read besides, because Node leaves out interfaces without a
 * carrier, whose addresses answer all the same.
 */
export function ownAddresses(): BlockList {
  const own = new BlockList();
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address, family } of addresses ?? []) own.addAddress(address, family === 'IPv4' ? 'ipv4' : 'ipv6');
  }
  let leaf = '';
  for (const line of lines('/proc/net/fib_trie')) {
    leaf = /\|-- ([\d.]+)$/.exec(line)?.[1] ?? leaf;
    const bits = /^\s*\/(\d+) host LOCAL/.exec(line)?.[1];
    if (bits !== undefined) own.addSubnet(leaf, Number(bits), 'ipv4');
  }
  for (const line of lines('/proc/net/if_inet6')) {
    const groups = /^[0-9a-f]{32} /.test(line) ? line.slice(0, 32).match(/.{4}/g) : null;
    if (groups !== null) own.addAddress(groups.join(':'), 'ipv6');
  }
  return own;
}
