/** Every block's events in order, through forks, losses and restarts of the chain. */

import type { Vec } from '@polkadot/types';
import type { EventRecord } from '@polkadot/types/interfaces';
import { isGridError } from '../../schemas/errors/index.ts';
import type { ChainConnection } from './connection.ts';
import type { ChainEvent } from './transactions.ts';

export type { ChainEvent } from './transactions.ts';

export interface ChainBlock {
  readonly number: number;
  readonly hash: string;
  readonly events: readonly ChainEvent[];
  /** Blocks before this one were not read: whoever keeps a picture must compare it with the state. */
  readonly gap: boolean;
}

/** Blocks that are read one by one to catch up; beyond, it is a gap. */
const CATCH_UP_BLOCKS = 600;
const RETRY_MS = 1000;
const READ_DEADLINE_MS = 20_000;

export class BlockFollower {
  readonly #connection: ChainConnection;
  readonly #kind: 'best' | 'final';
  #last: number | undefined;
  #wake: (() => void) | undefined;

  constructor(connection: ChainConnection, kind: 'best' | 'final') {
    this.#connection = connection;
    this.#kind = kind;
  }

  async *blocks(signal: AbortSignal): AsyncGenerator<ChainBlock> {
    const wake = (): void => this.#wake?.();
    const stopListening = this.#connection.onConnected(wake);
    signal.addEventListener('abort', wake, { once: true });
    let newest: number | undefined;
    let stopHeads: (() => void) | undefined;
    try {
      while (!signal.aborted) {
        try {
          // The library renews the subscription by itself after a loss.
          stopHeads ??= await this.#subscribe((number) => {
            newest = number;
            wake();
          });
          if (newest === undefined || newest === this.#last) await this.#pause(RETRY_MS * 10, signal);
          else yield* this.#upTo(newest);
        } catch {
          if (!signal.aborted) await this.#pause(RETRY_MS, signal);
        }
      }
    } finally {
      stopListening();
      signal.removeEventListener('abort', wake);
      stopHeads?.();
    }
  }

  #subscribe(tell: (number: number) => void): Promise<() => void> {
    return this.#connection.ask('new blocks', { deadlineMs: READ_DEADLINE_MS }, (api) => {
      const heads = this.#kind === 'best' ? api.rpc.chain.subscribeNewHeads : api.rpc.chain.subscribeFinalizedHeads;
      return heads((header) => tell(header.number.toNumber())) as unknown as Promise<() => void>;
    });
  }

  /** Blocks from the one after the last to `newest`. A chain that went back begins anew at `newest`. */
  async *#upTo(newest: number): AsyncGenerator<ChainBlock> {
    const last = this.#last;
    const behind = last !== undefined && newest > last && newest - last <= CATCH_UP_BLOCKS;
    let next = behind ? last + 1 : newest;
    let gap = !behind;
    for (; next <= newest; next += 1) {
      const block = await this.#read(next);
      // A block that is no longer kept is jumped over and told as a gap.
      if (block === undefined) gap = true;
      else {
        yield { ...block, gap };
        gap = false;
      }
      this.#last = next;
    }
  }

  /** The block, undefined where the endpoint no longer has it. */
  async #read(number: number): Promise<Omit<ChainBlock, 'gap'> | undefined> {
    try {
      return await this.#readEvents(number);
    } catch (error) {
      if (isGridError(error, 'chain_rejected')) return undefined;
      throw error;
    }
  }

  #readEvents(number: number): Promise<Omit<ChainBlock, 'gap'> | undefined> {
    return this.#connection.ask(`block ${number}`, { deadlineMs: READ_DEADLINE_MS }, async (api) => {
      const hash = (await api.rpc.chain.getBlockHash(number)).toHex();
      if (/^0x0*$/.test(hash)) return undefined;
      const entry = api.query.system?.events?.creator;
      const [records] = (await api.rpc.state.queryStorageAt([[entry, []]] as never, hash)) as unknown as [
        Vec<EventRecord>,
      ];
      const events = records.map(({ event }) => ({
        pallet: event.section,
        name: event.method,
        data: event.data.toJSON() as unknown[],
      }));
      return { number, hash, events };
    });
  }

  #pause(milliseconds: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
