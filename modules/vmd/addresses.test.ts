import { expect, it } from 'vitest';
import { addressText, networkText } from './addresses.ts';

it('prints addresses as the grid does', () => {
  expect(addressText(null)).toBeUndefined();
  expect(addressText(new Uint8Array())).toBeUndefined();
  expect(addressText(Uint8Array.of(10, 3, 1, 2))).toBe('10.3.1.2');
  const mapped = new Uint8Array(16);
  mapped.set([0xff, 0xff, 10, 3, 1, 2], 10);
  expect(addressText(mapped)).toBe('10.3.1.2');
  const v6 = new Uint8Array(16);
  v6.set([0x20, 0x01, 0x0d, 0xb8]);
  v6[15] = 0x2a;
  expect(addressText(v6)).toBe('2001:db8::2a');
  expect(() => addressText(new Uint8Array(5))).toThrow(RangeError);
});

it('prints networks with masks of either length', () => {
  expect(networkText({ IP: Uint8Array.of(10, 0, 0, 1), Mask: Uint8Array.of(255, 255, 128, 0) })).toBe('10.0.0.1/17');
  const long = new Uint8Array(16).fill(255, 0, 15);
  expect(networkText({ IP: Uint8Array.of(10, 0, 0, 1), Mask: long })).toBe('10.0.0.1/24');
  expect(networkText({ IP: Uint8Array.of(10, 0, 0, 1), Mask: Uint8Array.of(0, 0, 0, 0) })).toBe('10.0.0.1/0');
  const sixtyFour = new Uint8Array(16).fill(255, 0, 8);
  const local = new Uint8Array(16);
  local.set([0xfd], 0);
  local[15] = 1;
  expect(networkText({ IP: local, Mask: sixtyFour })).toBe('fd00::1/64');
  expect(() => networkText({ IP: null, Mask: null })).toThrow(RangeError);
});
