/**
 * Which hosts a stranger's address may make this node ask: not the node itself,
 * not what only it can reach beside its networks, such as the services that
 * clouds offer to their machines at link-local addresses.
 */
import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { BlockList, type IPVersion, isIP, type LookupFunction } from 'node:net';
import { ownAddresses } from './own-addresses.ts';

/** No request is ever made to this address. */
export class UnusableAddressError extends Error {
  override readonly name = 'UnusableAddressError';
}

export interface AddressRules {
  /** Ranges as `ADDRESS/BITS` that are exceptions, whatever else forbids them. */
  readonly allowed: readonly string[];
  /** Forbids private ranges (RFC 1918, RFC 4193) too. */
  readonly denyPrivate: boolean;
}

/** All addresses of a name. */
export type Resolve = (hostname: string) => Promise<LookupAddress[]>;

/** The last two are where clouds answer their machines. */
const NEVER = ranges([
  ...['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '240.0.0.0/4'],
  ...['::/96', 'fe80::/10', 'fec0::/10', 'ff00::/8'],
  ...['100.100.100.200/32', 'fd00:ec2::254/128'],
]);
const PRIVATE = ranges(['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7']);

/** Says nothing about what a name leads to: whoever gave it could read this node's networks from that. */
const REFUSAL = 'its host is one that this node makes no requests to';

interface Judged {
  readonly address: string;
  readonly family: IPVersion;
}

/** @throws Error that names the range which is none */
function ranges(texts: readonly string[]): BlockList {
  const list = new BlockList();
  for (const text of texts) {
    const [, address = '', bits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
    const family = isIP(address);
    if (family === 0 || address.includes('%') || Number(bits) > (family === 4 ? 32 : 128)) {
      throw new Error(`'${text}' is no range of addresses, such as 192.0.2.0/24 or 2001:db8::1/128`);
    }
    list.addSubnet(address, Number(bits), family === 4 ? 'ipv4' : 'ipv6');
  }
  return list;
}

/** The eight numbers of an IPv6 address. */
export function groupsOf(address: string): number[] {
  // In the form that URLs have there are no dots, and `::` stands at most once.
  const [head = '', tail] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split('::');
  const numbers = (text: string): number[] => (text === '' ? [] : text.split(':').map((group) => Number(`0x${group}`)));
  if (tail === undefined) return numbers(head);
  const [before, after] = [numbers(head), numbers(tail)];
  return [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after];
}

function dotted(high = 0, low = 0): string {
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

/** What decides over an address: where an IPv4 address is inside it, that one. */
function judged(text: string): Judged | undefined {
  const address = text.replace(/%.*$/, '');
  if (isIP(address) === 0) return undefined;
  if (isIP(address) === 4) return { address, family: 'ipv4' };
  const groups = groupsOf(address);
  const prefix = groups.slice(0, 6).join(':');
  const isMapped = prefix === '0:0:0:0:0:65535';
  const isTranslated = prefix === [0x64, 0xff9b, 0, 0, 0, 0].join(':');
  if (isMapped || isTranslated) return { address: dotted(groups[6], groups[7]), family: 'ipv4' };
  if (groups[0] === 0x2002) return { address: dotted(groups[1], groups[2]), family: 'ipv4' };
  return { address, family: 'ipv6' };
}

export class AddressGuard {
  readonly #allowed: BlockList;
  readonly #denyPrivate: boolean;
  readonly #own: () => BlockList;
  readonly #resolve: Resolve;

  /** @throws Error when a range is none */
  constructor(
    { allowed, denyPrivate }: AddressRules,
    own: () => BlockList = ownAddresses,
    resolve: Resolve = (hostname) => lookup(hostname, { all: true }),
  ) {
    this.#allowed = ranges(allowed);
    this.#denyPrivate = denyPrivate;
    this.#own = own;
    this.#resolve = resolve;
  }

  #refuses(text: string): boolean {
    const found = judged(text);
    if (found === undefined) return true;
    const { address, family } = found;
    if (this.#allowed.check(address, family)) return false;
    if (NEVER.check(address, family) || this.#own().check(address, family)) return true;
    return this.#denyPrivate && PRIVATE.check(address, family);
  }

  /** Checks a host that is an address already, for which no name is looked up. @throws UnusableAddressError */
  check({ hostname }: URL): void {
    const host = hostname.replace(/^\[|\]$/g, '');
    if (isIP(host) !== 0 && this.#refuses(host)) throw new UnusableAddressError(REFUSAL);
  }

  /**
   * Resolves a name for a connection, which goes to the very addresses that
   * were checked. One that is refused refuses the name: with a good one beside
   * it, it was meant to slip through.
   */
  readonly lookup: LookupFunction = (hostname, options, callback) => {
    this.#checked(hostname).then(
      (found) => {
        const [first] = found;
        if (options.all === true || first === undefined) callback(null, found);
        else callback(null, first.address, first.family);
      },
      (error: Error) => callback(error, []),
    );
  };

  async #checked(hostname: string): Promise<LookupAddress[]> {
    const found = await this.#resolve(hostname);
    if (found.length === 0) throw new Error(`no address for ${hostname}`);
    if (found.some(({ address }) => this.#refuses(address))) throw new UnusableAddressError(REFUSAL);
    return found;
  }
}
