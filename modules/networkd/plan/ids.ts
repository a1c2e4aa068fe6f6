/** Ids made from names: the first 13 characters of base58 of an MD5. They name interfaces, so they are short. */
import { createHash } from 'node:crypto';

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
const ID_CHARACTERS = 13;

function base58(bytes: Uint8Array): string {
  let number = BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
  let text = '';
  for (; number > 0n; number /= 58n) text = ALPHABET[Number(number % 58n)] + text;
  const zeros = bytes.findIndex((byte) => byte !== 0);
  return '1'.repeat(zeros < 0 ? bytes.length : zeros) + text;
}

function shortId(text: string): string {
  return base58(createHash('md5').update(text).digest()).slice(0, ID_CHARACTERS);
}

/** The id of a twin's network: every node derives the same one. */
export function networkId(twin: number, name: string): string {
  return shortId(`${twin}:${name}`);
}

/** A workload's id for one of its parts, as a tap's name; `workload` is `<twin>-<contract>-<name>`. */
export function uniqueId(workload: string, part: string): string {
  return shortId(`${workload}:${part}`);
}

/** Whether a text can be a network id: base58 characters, short enough to carry a two-character prefix in 15. */
export function isNetworkId(text: string): boolean {
  return /^[1-9A-HJ-NP-Za-km-z]{1,13}$/.test(text);
}
