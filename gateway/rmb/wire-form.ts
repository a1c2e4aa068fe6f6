/**
 * Whether bytes are protobuf of the envelope's form, strictly. Our decoder reads
 * a field by its number whatever its wire type; peers in other languages do
 * not, and older ones stop for ever at a message they cannot decode. So such
 * bytes must be neither believed nor passed on.
 */
const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** Field number to wire type, or to the form of the message in it. */
type Form = ReadonlyMap<number, typeof VARINT | typeof BYTES | Form>;

const address: Form = new Map<number, typeof VARINT | typeof BYTES>([
  [1, VARINT],
  [2, BYTES],
]);
const error: Form = new Map<number, typeof VARINT | typeof BYTES>([
  [1, VARINT],
  [2, BYTES],
]);
const empty: Form = new Map();
const envelope: Form = new Map<number, typeof VARINT | typeof BYTES | Form>([
  [1, BYTES],
  [2, BYTES],
  [3, VARINT],
  [4, VARINT],
  [5, address],
  [6, address],
  [7, new Map([[1, BYTES]])],
  [8, empty],
  [9, BYTES],
  [10, BYTES],
  [11, BYTES],
  [12, error],
  [13, BYTES],
  [14, BYTES],
  [15, empty],
  [16, empty],
  [17, BYTES],
]);

/**
 * Fields of a message and of the messages in it. Peers write some twenty. Each
 * costs a decoder time and memory whatever its size: sixteen MiB of the
 * smallest ones would hold a relay up for seconds.
 */
const MAX_FIELDS = 512;

/** What is wrong with the bytes, or `undefined`. */
export function findWireProblem(bytes: Uint8Array): string | undefined {
  return walk(bytes, 0, bytes.length, envelope, { fields: 0 });
}

function walk(bytes: Uint8Array, start: number, end: number, form: Form, seen: { fields: number }): string | undefined {
  let at = start;
  while (at < end) {
    seen.fields += 1;
    if (seen.fields > MAX_FIELDS) return `more than ${MAX_FIELDS} fields`;
    const tagEnd = skipVarint(bytes, at, end);
    if (tagEnd < 0 || tagEnd - at > 5) return `bad tag at byte ${at}`;
    const begin = at;
    const tag = readSmallVarint(bytes, at, tagEnd);
    const number = Math.floor(tag / 8);
    const type = tag % 8;
    if (number === 0 || number > 0x1fff_ffff) return `bad field number at byte ${at}`;
    const expected = form.get(number);
    const wanted = expected === undefined ? type : expected === VARINT ? VARINT : BYTES;
    if (type !== wanted) return `field ${number} at byte ${begin} has wire type ${type}, not ${wanted}`;
    at = tagEnd;
    if (type === VARINT) {
      at = skipVarint(bytes, at, end);
      if (at < 0) return `field ${number} at byte ${begin} has a bad or cut off number`;
    } else if (type === BYTES) {
      const lengthEnd = skipVarint(bytes, at, end);
      if (lengthEnd < 0 || lengthEnd - at > 5) return `field ${number} at byte ${begin} has a bad or cut off length`;
      const stop = lengthEnd + readSmallVarint(bytes, at, lengthEnd);
      if (stop > end) return cutOff(number, begin, stop, end);
      if (typeof expected === 'object') {
        const inner = walk(bytes, lengthEnd, stop, expected, seen);
        if (inner !== undefined) return `in field ${number}: ${inner}`;
      }
      at = stop;
    } else if (type === FIXED64 || type === FIXED32) {
      at += type === FIXED64 ? 8 : 4;
      if (at > end) return cutOff(number, begin, at, end);
    } else return `field ${number} at byte ${begin} has wire type ${type}`;
  }
  return undefined;
}

function cutOff(number: number, begin: number, stop: number, end: number): string {
  return `field ${number} at byte ${begin} is cut off: it reaches to byte ${stop}, there are ${end}`;
}

/** Index behind a varint of at most 64 bits, -1 where there is none. */
function skipVarint(bytes: Uint8Array, start: number, end: number): number {
  for (let at = start; at < end && at < start + 10; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte < 0x80) return at === start + 9 && byte > 1 ? -1 : at + 1;
  }
  return -1;
}

/** A varint of at most 5 bytes. */
function readSmallVarint(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let at = end - 1; at >= start; at -= 1) value = value * 128 + ((bytes[at] ?? 0) & 0x7f);
  return value;
}
