import { expect, it } from 'vitest';
import {
  eui64,
  formatIp,
  formatPrefix,
  gatewayOf,
  ipv6Of,
  normalizeIp,
  overlaps,
  parseIp,
  parsePrefix,
  prefixOf,
  uplinkIpv6Of,
  wireguardAddressOf,
} from './address.ts';
import { isNetworkId, networkId, uniqueId } from './ids.ts';
import { macOf } from './mac.ts';

it('derives network ids as every node does', () => {
  expect(networkId(29, 'mynet')).toBe('SVD9N531Ee4tp');
  expect(networkId(1, 'net')).toBe('Vp6mnP5Nd8BVD');
  expect(networkId(35, 'mynet')).toBe('8SX12nxnWotTr');
});

it('derives the ids of a workload', () => {
  expect(['mynet', 'ygg', 'mycelium', 'pub'].map((part) => uniqueId('29-1234-vm1', part))).toEqual([
    'T3WxTRCTPFo6w',
    '2SQdsoppdGZMy',
    'RsLfS6NSDYmmD',
    'XfWnyXiRPAARC',
  ]);
  expect(uniqueId('35-1001-vm1', 'mynet')).toBe('LAKs1wHWHxCa9');
  expect(uniqueId('35-1001-vm1', 'ygg')).toBe('MxZEAqH6KPNAJ');
  expect(uniqueId('35-1001-vm1', 'mycelium')).toBe('93BkajgnPmGD5');
  expect(uniqueId('35-1001-ip1', 'pub')).toBe('7fgsra7TWcXJF');
});

it('takes only ids that can name an interface', () => {
  for (const good of ['SVD9N531Ee4tp', '1', 'net']) expect(isNetworkId(good)).toBe(true);
  for (const bad of ['', 'SVD9N531Ee4tpX', '../x', 'a b', 'a0', 'näme', 'x\n', 'a;b'])
    expect(isNetworkId(bad)).toBe(false);
});

it('derives hardware addresses', () => {
  expect(macOf('')).toBe('d6:1d:8c:d9:8f:00');
  expect(macOf(Uint8Array.of(0x42))).toBe('9e:5e:d6:78:fe:57');
  expect(macOf('A34YUGenHKyhjDMAUKZe4cVDtJM2wQ4n4XRkfGUUEYdy')).toBe('8a:d3:36:10:7e:e9');
});

it('derives addresses', () => {
  expect(formatPrefix(ipv6Of('networkdID', parseIp('100.127.2.16')))).toBe('fd6e:6574:776f:2::10/64');
  expect(formatPrefix(uplinkIpv6Of(parseIp('100.127.1.1')))).toBe('fd00::101/64');
  expect(formatPrefix(gatewayOf(parsePrefix('10.20.2.0/24')))).toBe('10.20.2.1/24');
  expect(formatPrefix(wireguardAddressOf(parsePrefix('10.3.1.0/24')))).toBe('100.64.3.1/16');
  expect(formatPrefix(eui64(parsePrefix('2001:db8::/64'), Buffer.from('8ad336107ee9', 'hex')))).toBe(
    '2001:db8::88d3:36ff:fe10:7ee9/64',
  );
});

it('reads Go addresses in either length and refuses what is no prefix', () => {
  const mapped = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 1, 2, 3);
  expect(formatIp(normalizeIp(mapped) ?? new Uint8Array())).toBe('10.1.2.3');
  expect(prefixOf({ IP: mapped, Mask: Uint8Array.of(255, 255, 0, 0) })?.length).toBe(16);
  expect(prefixOf({ IP: parseIp('10.0.0.0'), Mask: Uint8Array.of(0, 0, 0, 0) })?.length).toBe(0);
  expect(prefixOf({ IP: parseIp('10.0.0.0'), Mask: Uint8Array.of(255, 0, 255, 0) })).toBeUndefined();
  expect(prefixOf({ IP: null, Mask: null })).toBeUndefined();
  expect(prefixOf({ IP: new Uint8Array(3), Mask: new Uint8Array(3) })).toBeUndefined();
  for (const bad of ['', '10.0.0.0', '10.0.0.0/33', '10.0.0/8', '::/129', 'a/8', '10.0.0.0/-1', '10.0.0.0/1e1']) {
    expect(() => parsePrefix(bad)).toThrow(RangeError);
  }
});

it('sees overlapping ranges', () => {
  expect(overlaps(parsePrefix('10.0.0.0/8'), parsePrefix('10.1.1.0/24'))).toBe(true);
  expect(overlaps(parsePrefix('10.1.1.0/24'), parsePrefix('10.0.0.0/8'))).toBe(true);
  expect(overlaps(parsePrefix('10.1.1.0/24'), parsePrefix('10.1.2.0/24'))).toBe(false);
  expect(overlaps(parsePrefix('10.0.0.0/8'), parsePrefix('fd00::/8'))).toBe(false);
});
