/** Random changes of bytes, the same for the same seed. */

/** A small generator of 32-bit numbers (xorshift); good enough to choose bytes with. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed ^ 0x9e3779b9) | 0 || 1;
  }

  /** An integer from 0 to `below` - 1. */
  roll(below: number): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state;
    return (state >>> 0) % below;
  }

  one<T>(list: readonly T[]): T {
    return list[this.roll(list.length)] as T;
  }
}

const EDGES = [0, 1, 0x0a, 0x20, 0x22, 0x2e, 0x30, 0x39, 0x5b, 0x5c, 0x7b, 0x7d, 0x7f, 0x80, 0xc2, 0xe2, 0xff];
const MAX_BYTES = 4096;

type Change = (bytes: Uint8Array, dice: Dice, pool: Pool) => Uint8Array;

export interface Pool {
  /** What has been worth keeping. */
  readonly inputs: readonly Uint8Array[];
  /** Pieces that mean something to the target. */
  readonly words: readonly Uint8Array[];
  readonly reshape?: Reshape | undefined;
}

/** Changes a part and makes the whole fit it again; `undefined` where the bytes have not that form. */
export type Reshape = (
  bytes: Uint8Array,
  dice: Dice,
  scramble: (part: Uint8Array) => Uint8Array,
) => Uint8Array | undefined;

const splice = (bytes: Uint8Array, at: number, drop: number, put: Uint8Array): Uint8Array =>
  Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + drop)]);

const set = (bytes: Uint8Array, at: number, value: number): Uint8Array => {
  const changed = Uint8Array.from(bytes);
  if (changed.length > 0) changed[at] = value;
  return changed;
};

const changes: readonly Change[] = [
  (bytes, dice) => {
    const at = dice.roll(bytes.length || 1);
    return set(bytes, at, (bytes[at] ?? 0) ^ (1 << dice.roll(8)));
  },
  (bytes, dice) => set(bytes, dice.roll(bytes.length || 1), dice.one(EDGES)),
  (bytes, dice) => set(bytes, dice.roll(bytes.length || 1), dice.roll(256)),
  (bytes, dice) => {
    const at = dice.roll(bytes.length || 1);
    return set(bytes, at, ((bytes[at] ?? 0) + dice.roll(9) - 4) & 0xff);
  },
  (bytes, dice) => splice(bytes, dice.roll(bytes.length + 1), 0, Uint8Array.of(dice.one(EDGES))),
  (bytes, dice) => splice(bytes, dice.roll(bytes.length + 1), 1 + dice.roll(8), new Uint8Array(0)),
  (bytes, dice, { words }) => splice(bytes, dice.roll(bytes.length + 1), dice.roll(3) * dice.roll(5), dice.one(words)),
  (bytes, dice) => {
    const from = dice.roll(bytes.length + 1);
    const piece = bytes.subarray(from, from + 1 + dice.roll(32));
    return splice(bytes, dice.roll(bytes.length + 1), 0, piece);
  },
  (bytes, dice, { inputs }) => {
    const other = dice.one(inputs);
    return Buffer.concat([bytes.subarray(0, dice.roll(bytes.length + 1)), other.subarray(dice.roll(other.length + 1))]);
  },
  (bytes, dice) => {
    const from = dice.roll(bytes.length + 1);
    const piece = bytes.subarray(from, from + 1 + dice.roll(6));
    return splice(bytes, from, 0, Buffer.concat(Array.from({ length: 1 + dice.roll(100) }, () => piece)));
  },
];

/** One of the pool with one to five changes, half of the time in the form of what is read. */
export function mutate(dice: Dice, pool: Pool): Uint8Array {
  const first = dice.one(pool.inputs);
  const bytes =
    (dice.roll(2) === 0 ? pool.reshape?.(first, dice, (part) => scramble(part, dice, pool)) : undefined) ??
    scramble(first, dice, pool);
  return bytes.length > MAX_BYTES ? bytes.subarray(0, MAX_BYTES) : bytes;
}

function scramble(bytes: Uint8Array, dice: Dice, pool: Pool): Uint8Array {
  let changed = bytes;
  for (let left = 1 + dice.roll(5); left > 0; left -= 1) changed = dice.one(changes)(changed, dice, pool);
  return changed;
}
