/** Whether what was told up to some block can be gone on from: is that block still on this chain? */
import type { ChainConnection } from './connection.ts';
import type { Cursor, Mark } from './store.ts';

export type CursorVerdict =
  | { readonly kind: 'good' }
  /** The endpoint has not come so far: it is the same chain, and it is waited for. */
  | { readonly kind: 'ahead'; readonly final: number }
  /** Another chain, or another history of this one: nothing that is kept holds. */
  | { readonly kind: 'foreign'; readonly reason: string };

const READ_MS = 20_000;

/** @throws GridError when the chain cannot be asked */
export async function judgeCursor(connection: ChainConnection, cursor: Cursor): Promise<CursorVerdict> {
  const limits = { deadlineMs: READ_MS };
  const genesis = await connection.ask('the genesis', limits, async (api) => api.genesisHash.toHex());
  if (genesis !== cursor.genesis) {
    return { kind: 'foreign', reason: `the chain's genesis is ${genesis}, what is kept is of ${cursor.genesis}` };
  }
  const final = await connection.finalNumber(limits);
  const hashAt = (number: number): Promise<string> => connection.hashAt(number, limits);
  if (final >= cursor.number) {
    const found = await hashAt(cursor.number);
    if (found === cursor.hash) return { kind: 'good' };
    return { kind: 'foreign', reason: `block ${cursor.number} is ${found}, what is kept goes up to ${cursor.hash}` };
  }
  // Above its final block an endpoint may be on a fork: earlier blocks tell whether it only lags.
  const mark = cursor.marks.find(({ number }) => number <= final);
  if (mark === undefined) {
    return { kind: 'foreign', reason: `the chain ends at block ${final}, what is kept goes up to ${cursor.number}` };
  }
  const found = await hashAt(mark.number);
  if (found === mark.hash) return { kind: 'ahead', final };
  return { kind: 'foreign', reason: `block ${mark.number} is ${found}, it was ${mark.hash}` };
}

/** The marks of a cursor that has moved on to `newest`, newest first: the first one ever, and one about every power of two back. */
export function marksAfter(marks: readonly Mark[], newest: Mark): Mark[] {
  const power = ({ number }: Mark): number => Math.floor(Math.log2(newest.number - number));
  const earlier = marks.filter(({ number }) => number < newest.number);
  return [newest, ...earlier.filter((mark, index) => power(mark) !== power(earlier[index + 1] ?? newest))];
}
