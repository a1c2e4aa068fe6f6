import { isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseCidr, parseIp, printCidr, printIp } from './addresses.ts';

const ip = (value: string) => {
  const bytes = parseIp(value);
  return bytes && printIp(bytes);
};
const cidr = (value: string) => {
  const network = parseCidr(value);
  return network && printCidr(network);
};

describe('addresses as Go reads and prints them', () => {
  it.each([
    ['10.20.2.5', '10.20.2.5'],
    ['2A02:0000::00AB', '2a02::ab'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['1:0:0:2:3:0:0:4', '1::2:3:0:0:4'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['::ffff:0102:0304', '1.2.3.4'],
    ['::1.2.3.4', '::102:304'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ])('prints %s as %s', (value, printed) => {
    expect(ip(value)).toBe(printed);
  });

  it.each([
    '10.20.2',
    '10.20.2.5.6',
    '10.20.2.256',
    '10.020.2.5',
    ' 10.0.0.1',
    '1.2.3.',
    '0x1.2.3.4',
    ':',
    ':::',
    '1:::2',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7::8:9',
    '12345::',
    '::g',
    '1.2.3.4::',
    '1:2:3:4:5:6:7:1.2.3.4',
    'fe80::1%eth0',
    'a'.repeat(1000),
    '',
  ])('refuses %j', (value) => {
    expect(ip(value)).toBeUndefined();
  });

  it.each([
    ['10.20.2.5/24', '10.20.2.5/24'],
    ['10.20.0.0/016', '10.20.0.0/16'],
    ['2A02:0:0::1/64', '2a02::1/64'],
    ['::ffff:1.2.3.4/120', '1.2.3.4/24'],
    ['::ffff:1.2.3.4/64', '1.2.3.4/0'],
    ['0.0.0.0/0', '0.0.0.0/0'],
  ])('prints %s as %s', (value, printed) => {
    expect(cidr(value)).toBe(printed);
  });

  it.each(['10.20.2.0', '10.20.2.0/33', '10.0.0.0/', '10.0.0.0/-1', '10.0.0.0/8x', '/8', '::/129', '10.0.0.0/8/8'])(
    'refuses the prefix %j',
    (value) => {
      expect(cidr(value)).toBeUndefined();
    },
  );

  it('accepts what the platform accepts and prints a fixed point', () => {
    const group = fc.constantFrom('0', '0', '1', 'ab', 'FFFF', '0db8', '10000', '');
    const v6 = fc.array(group, { minLength: 1, maxLength: 9 }).map((parts) => parts.join(':'));
    fc.assert(
      fc.property(fc.oneof(v6, fc.ipV4(), fc.ipV6(), fc.ipV4Extended()), (value) => {
        const printed = ip(value);
        expect(printed !== undefined).toBe(isIP(value) !== 0);
        if (printed !== undefined) expect(ip(printed)).toBe(printed);
      }),
      { numRuns: 2000 },
    );
  });
});
