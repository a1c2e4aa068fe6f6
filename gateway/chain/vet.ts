/** Whether an endpoint may be used: the right chain, in step with the others, with the state that is needed. */
import type { ChainOrigin, EndpointBook, Verdict } from './endpoints.ts';
import { type EndpointLine, RpcFailure } from './line.ts';

/** Where the number of the block is stored: `System.Number`. */
const BLOCK_NUMBER_KEY = '0x26aa394eea5630e07c48ae0c9558cef702a5c1b19ab7a04f536c519aca4983ac';

export interface Finding extends Verdict {
  readonly reason: string;
}

/** Asks the endpoint. `origin` is what its chain must begin with, as far as that is known. Throws when the line does not answer. */
export async function vet(line: EndpointLine, book: EndpointBook, origin: Partial<ChainOrigin>): Promise<Finding> {
  const genesis = String(await line.request('chain_getBlockHash', [0]));
  if (origin.genesis !== undefined && genesis !== origin.genesis) {
    const reason = `it serves the chain ${genesis}, not ${origin.genesis}`;
    return { genesis, first: '', final: 0, problem: 'genesis', reason };
  }
  const [isSyncing, head] = await Promise.all([
    line.request('system_health', []).then(
      (health) => (health as { isSyncing?: unknown } | null)?.isSyncing === true,
      // Not every endpoint lets everyone ask.
      (error: unknown) => unlessRefused(error, false),
    ),
    newestFinal(line),
  ]);
  const first = await firstBlock(line, head.number);
  // A chain that began anew is lower than what was seen of the old one: it would be waited for as if it lagged.
  if (origin.first !== undefined && first !== '' && first !== origin.first) {
    const reason = `its chain began anew: block 1 is ${first}, it was ${origin.first}`;
    return { genesis, first, final: 0, problem: 'restarted', reason };
  }
  const known = { genesis, first, final: head.number };
  if (isSyncing) return { ...known, problem: 'syncing', reason: `it is still loading the chain, at ${head.number}` };
  const keepsState = await line.request('state_getStorage', [BLOCK_NUMBER_KEY, head.hash]).then(
    (value) => value !== null || head.number === 0,
    (error: unknown) => unlessRefused(error, false),
  );
  if (!keepsState) return { ...known, problem: 'pruned', reason: `it has no state of its final block ${head.number}` };
  if (book.isLagging(head.number)) {
    const reason = `its final block is ${head.number}, another endpoint's ${book.best}`;
    return { ...known, problem: 'lagging', reason };
  }
  return { ...known, problem: undefined, reason: '' };
}

/** Its newest final block. */
export async function newestFinal(
  line: EndpointLine,
  answerMs?: number,
): Promise<{ readonly number: number; readonly hash: string }> {
  const hash = String(await line.request('chain_getFinalizedHead', [], answerMs));
  const header = (await line.request('chain_getHeader', [hash], answerMs)) as { number?: unknown } | null;
  const number = Number(header?.number);
  if (!Number.isSafeInteger(number)) throw new Error(`${line.url} has no header of its final block`);
  return { number, hash };
}

/** Hash of block 1 where that is final; empty where it is not, or where the endpoint does not tell. */
export async function firstBlock(line: EndpointLine, final: number): Promise<string> {
  if (final < 1) return '';
  const hash = await line.request('chain_getBlockHash', [1]).catch((error: unknown) => unlessRefused(error, null));
  return typeof hash === 'string' ? hash : '';
}

function unlessRefused<T>(error: unknown, value: T): T {
  if (error instanceof RpcFailure) return value;
  throw error;
}
