import { createPrivateKey, createPublicKey } from 'node:crypto';
import { expect, it } from 'vitest';
import { formatIp, formatPrefix, parsePrefix } from './address.ts';
import { myceliumAddress, overlayAddress, yggdrasilAddress, yggdrasilSubnet } from './overlay.ts';

/** DER header of an ed25519 private key; 32 bytes of seed follow. */
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');

it('derives the Yggdrasil address and subnet of a node key', () => {
  const seed = Buffer.from('0'.repeat(32), 'ascii');
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, seed]), format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32);
  expect(formatIp(yggdrasilAddress(publicKey))).toBe('203:45bf:8a48:8361:c04c:1321:ea32:50ad');
  expect(formatPrefix(yggdrasilSubnet(publicKey))).toBe('303:45bf:8a48:8361::/64');
});

it('derives the address of an object', () => {
  const address = overlayAddress(parsePrefix('303:45bf:8a48:8361::/64'), Buffer.from('0000'));
  expect(formatIp(address)).toBe('303:45bf:8a48:8361:c600:1d5b:2ac3:df31');
});

it('derives the Mycelium address of a machine', () => {
  const subnet = parsePrefix('3b4:ca67:822d:b0c1::/64');
  const address = myceliumAddress(subnet, Buffer.from('001122334455', 'hex'));
  expect(formatIp(address ?? new Uint8Array(4))).toBe('3b4:ca67:822d:b0c1:ff0f:11:2233:4455');
  for (const seed of ['000000000000', 'ffffffffffff', '0011223344', '']) {
    expect(myceliumAddress(subnet, Buffer.from(seed, 'hex'))).toBeUndefined();
  }
});
