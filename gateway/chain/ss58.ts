/** SS58 addresses of 32-byte accounts. */
import { createHash } from 'node:crypto';

const DIGITS = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
const CONTEXT = new TextEncoder().encode('SS58PRE');
/** Prefix of the grid's chain, one byte. */
const PREFIX = 42;
/** Prefix, account, two bytes of checksum. */
const LENGTH = 35;

function checksum(prefixed: Uint8Array): Uint8Array {
  return createHash('blake2b512').update(CONTEXT).update(prefixed).digest().subarray(0, 2);
}

export function addressFromAccount(account: Uint8Array): string {
  if (account.length !== 32) throw new RangeError(`an account is 32 bytes, not ${account.length}`);
  const prefixed = Buffer.concat([Uint8Array.of(PREFIX), account]);
  const raw = Buffer.concat([prefixed, checksum(prefixed)]);
  let rest = BigInt(`0x${raw.toString('hex')}`);
  let text = '';
  // The first byte is not zero, so no leading digit is lost.
  for (; rest > 0n; rest /= 58n) text = (DIGITS[Number(rest % 58n)] as string) + text;
  return text;
}

/** The account's public key; prefixes of other chains are accepted, wrong checksums are not. */
export function accountFromAddress(address: string): Uint8Array {
  let value = 0n;
  for (const letter of address.slice(0, 64)) {
    const digit = DIGITS.indexOf(letter);
    if (digit < 0) throw new RangeError('not an SS58 address');
    value = value * 58n + BigInt(digit);
  }
  const raw = Buffer.from(value.toString(16).padStart(LENGTH * 2, '0'), 'hex');
  if (raw.length !== LENGTH) throw new RangeError('not an SS58 address of a 32-byte account');
  const prefixed = raw.subarray(0, LENGTH - 2);
  if (Buffer.compare(checksum(prefixed), raw.subarray(LENGTH - 2)) !== 0) {
    throw new RangeError('SS58 checksum does not match');
  }
  return new Uint8Array(prefixed.subarray(1));
}
