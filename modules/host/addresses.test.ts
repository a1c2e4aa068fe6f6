/** Which hosts a stranger's address may name. */
import { execFileSync } from 'node:child_process';
import type { LookupAddress } from 'node:dns';
import { BlockList } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AddressGuard, type AddressRules, type Resolve, UnusableAddressError } from './addresses.ts';

const isRoot = process.getuid?.() === 0;
const nothing = (): BlockList => new BlockList();

function guardOf(rules: Partial<AddressRules> = {}, own = nothing, resolve?: Resolve): AddressGuard {
  return new AddressGuard({ allowed: [], denyPrivate: false, ...rules }, own, resolve);
}

function isRefused(url: string, guard: AddressGuard): boolean {
  try {
    guard.check(new URL(url));
    return false;
  } catch (error) {
    expect(error).toBeInstanceOf(UnusableAddressError);
    expect((error as Error).message).not.toMatch(/\d/);
    return true;
  }
}

/** What a connection would get for a name. */
function resolved(guard: AddressGuard, name: string, all: boolean): Promise<unknown> {
  return new Promise((resolve, reject) => {
    guard.lookup(name, { all }, (error, ...found) => (error === null ? resolve(found) : reject(error)));
  });
}

const named =
  (...addresses: string[]): Resolve =>
  async () =>
    addresses.map((address): LookupAddress => ({ address, family: address.includes(':') ? 6 : 4 }));

describe('hosts that are addresses', () => {
  it.each([
    ...['127.0.0.1', '127.1', '2130706433', '0x7f.0.0.1', '0177.0.0.1', '127.255.255.254', '127.0.0.1.', '①②⑦.0.0.1'],
    ...['0.0.0.0', '0', '0.1.2.3', '169.254.169.254', '100.100.100.200', '224.0.0.1', '239.1.2.3', '240.0.0.1'],
    ...['255.255.255.255', '[::]', '[::1]', '[::127.0.0.1]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[::ffff:0:0]'],
    ...['[::ffff:169.254.169.254]', '[64:ff9b::127.0.0.1]', '[64:ff9b::a9fe:a9fe]', '[2002:7f00:1::1]'],
    ...['[2002:a9fe:a9fe::]', '[fe80::1]', '[febf::1]', '[fec0::1]', '[feff::1]', '[ff02::1]', '[fd00:ec2::254]'],
  ])('refuses %s', (host) => {
    expect(isRefused(`http://${host}/x.fl`, guardOf())).toBe(true);
    expect(isRefused(`https://${host}:8443/x.fl`, guardOf())).toBe(true);
  });

  it.each([
    ...['10.213.0.1', '192.168.1.1', '172.16.0.1', '100.64.0.1', '100.100.100.201', '1.1.1.1', '126.255.255.255'],
    ...[
      '128.0.0.1',
      '169.253.255.255',
      '169.255.0.0',
      '223.255.255.255',
      '[fd00:ec2::253]',
      '[fc00::1]',
      '[2001:db8::1]',
    ],
    ...[
      '[::ffff:10.0.0.1]',
      '[64:ff9b::1.1.1.1]',
      '[2002:101:101::1]',
      '[fe7f::1]',
      '[2a00:1450::]',
      'localhost',
      'a.b',
    ],
  ])('lets %s pass', (host) => {
    expect(isRefused(`http://${host}/x.fl`, guardOf())).toBe(false);
  });

  it('refuses private ranges where that is asked for', () => {
    const guard = guardOf({ denyPrivate: true, allowed: ['10.1.0.0/16', 'fd01::/16'] });
    const hosts = ['10.0.0.1', '172.31.255.255', '192.168.0.1', '[fc00::1]', '[fd00::1]', '[::ffff:10.0.0.1]'];
    for (const host of [...hosts, '[2002:a00:1::]']) expect(isRefused(`http://${host}/`, guard), host).toBe(true);
    for (const host of ['172.32.0.1', '1.1.1.1', '[2001:db8::1]', '10.1.2.3', '[fd01::7]', '[::ffff:10.1.2.3]']) {
      expect(isRefused(`http://${host}/`, guard), host).toBe(false);
    }
  });

  it('makes the exceptions that were asked for, and no others', () => {
    const guard = guardOf({ allowed: ['127.0.0.0/30', '::1/128', '169.254.169.254/32'] });
    for (const host of ['127.0.0.1', '127.1', '[::1]', '[::ffff:127.0.0.2]', '169.254.169.254']) {
      expect(isRefused(`http://${host}/`, guard), host).toBe(false);
    }
    for (const host of ['127.0.0.4', '[::2]', '[::]', '169.254.169.253', '0.0.0.0']) {
      expect(isRefused(`http://${host}/`, guard), host).toBe(true);
    }
  });

  it.each([
    '127.0.0.1',
    '127.0.0.0/33',
    '::1/129',
    'localhost/8',
    '10.0.0.0/x',
    '/8',
    '10.0.0.0/8/8',
    'fe80::%a/10',
    '',
  ])('takes no exception %j', (range) => {
    expect(() => guardOf({ allowed: [range] })).toThrow(`'${range}' is no range`);
  });
});

describe('addresses of the node itself', () => {
  it('are refused as they are at each request', () => {
    const own = new BlockList();
    const guard = guardOf({}, () => own);
    const hosts = ['10.9.9.1', '[::ffff:10.9.9.1]', '[fd11::1]'];
    for (const host of hosts) expect(isRefused(`http://${host}/`, guard), host).toBe(false);
    own.addAddress('10.9.9.1');
    own.addAddress('fd11:0:0:0:0:0:0:1', 'ipv6');
    for (const host of hosts) expect(isRefused(`http://${host}/`, guard), host).toBe(true);
    expect(isRefused('http://10.9.9.2/', guard)).toBe(false);
    expect(
      isRefused(
        'http://10.9.9.1/',
        guardOf({ allowed: ['10.9.9.0/24'] }, () => own),
      ),
    ).toBe(false);
  });

  it('are those of its interfaces', () => {
    const guard = new AddressGuard({ allowed: [], denyPrivate: false });
    const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
    expect(addresses.length).toBeGreaterThan(0);
    for (const { address, family } of addresses) {
      expect(isRefused(`http://${family === 'IPv4' ? address : `[${address}]`}/`, guard), address).toBe(true);
    }
  });

  it.skipIf(!isRoot)('are those of an interface without a carrier, too', () => {
    const program = `
      const { ownAddresses } = await import(${JSON.stringify(join(import.meta.dirname, 'own-addresses.ts'))});
      const own = ownAddresses();
      const asked = [['10.9.9.1', 'ipv4'], ['10.9.9.2', 'ipv4'], ['fd11::1', 'ipv6'], ['127.3.2.1', 'ipv4']];
      console.log(JSON.stringify(asked.map(([address, family]) => own.check(address, family))));`;
    const links = 'ip link set lo up; ip link add va type veth peer name vb; ip link set va up';
    const addresses = 'ip address add 10.9.9.1/24 dev va; ip address add fd11::1/64 dev va nodad';
    const script = `set -e; ${links}; ${addresses}; exec "$0" --input-type=module --eval "$1"`;
    const args = ['--net', 'sh', '-c', script, process.execPath, program];
    expect(JSON.parse(execFileSync('unshare', args, { encoding: 'utf8' }))).toEqual([true, false, true, true]);
  });
});

describe('hosts that are names', () => {
  it('lead to the very addresses that were checked', async () => {
    const guard = guardOf({}, nothing, named('192.0.2.1', '2001:db8::1'));
    const all = [
      { address: '192.0.2.1', family: 4 },
      { address: '2001:db8::1', family: 6 },
    ];
    expect(await resolved(guard, 'hub.example', true)).toEqual([all]);
    expect(await resolved(guard, 'hub.example', false)).toEqual(['192.0.2.1', 4]);
  });

  it.each([
    [['127.0.0.1']],
    [['192.0.2.1', '127.0.0.1']],
    [['169.254.169.254', '192.0.2.1']],
    [['2001:db8::1', '::1']],
    [['192.0.2.1', '::ffff:127.0.0.1']],
    [['fe80::1%eth0']],
    [['nonsense']],
  ])('are refused where they lead to %j', async (addresses) => {
    const guard = guardOf({}, nothing, named(...addresses));
    for (const all of [true, false]) {
      const error = await resolved(guard, 'hub.example', all).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(UnusableAddressError);
      expect((error as Error).message).not.toMatch(/\d|hub/);
    }
  });

  it('are looked up for real', async () => {
    await expect(resolved(guardOf(), 'localhost', true)).rejects.toBeInstanceOf(UnusableAddressError);
    const guard = guardOf({ allowed: ['127.0.0.0/8', '::1/128'] });
    expect(await resolved(guard, 'localhost', false)).toEqual([
      expect.stringMatching(/^(127\.|::1)/),
      expect.any(Number),
    ]);
  });

  it('fail as the look-up does, or when it finds nothing', async () => {
    const failing = guardOf({}, nothing, () => Promise.reject(new Error('getaddrinfo EAI_AGAIN hub')));
    await expect(resolved(failing, 'hub', true)).rejects.toThrow('getaddrinfo EAI_AGAIN hub');
    await expect(resolved(guardOf({}, nothing, named()), 'hub', true)).rejects.toThrow('no address for hub');
  });
});
