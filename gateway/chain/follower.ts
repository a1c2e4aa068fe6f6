/** Every block's events in order, through forks, losses and restarts of the chain. */

import type { Vec } from '@polkadot/types';
import type { EventRecord, Header } from '@polkadot/types/interfaces';
import { GridError, isGridError } from '../../schemas/errors/index.ts';
import { type ChainConnection, storageAt } from './connection.ts';
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
/** A chain makes a block every 6 s: when none was told for so long, it is asked whether there is one. */
const SILENCE_MS = 8000;

interface ReadBlock {
  readonly number: number;
  readonly hash: string;
  readonly parent: string;
  /** Undefined where the endpoint no longer has them. */
  readonly events: readonly ChainEvent[] | undefined;
}

interface Head {
  readonly number: number;
  readonly hash: string;
}

export interface FollowerOptions {
  /** Milliseconds without news after which the chain is asked whether there is any. */
  readonly silenceMs?: number;
  /** The block after which to begin, instead of with the next one. */
  readonly from?: Head;
}

export class BlockFollower {
  readonly #connection: ChainConnection;
  readonly #kind: 'best' | 'final';
  readonly #silenceMs: number;
  #last: Head | undefined;
  #newest: Head | undefined;
  /** Set from the first block that was not read to the next that is told. */
  #gap = true;
  #wake: (() => void) | undefined;
  /** How often the connection came up: with another, another endpoint may be asked. */
  #connections = 0;
  /** The block that an endpoint could not tell of, and how often one could not. */
  #refused = { number: -1, times: 0 };

  constructor(connection: ChainConnection, kind: 'best' | 'final', { silenceMs, from }: FollowerOptions = {}) {
    this.#connection = connection;
    this.#kind = kind;
    this.#silenceMs = silenceMs ?? SILENCE_MS;
    if (from === undefined) return;
    this.#last = { number: from.number, hash: from.hash };
    this.#gap = false;
  }

  async *blocks(signal: AbortSignal): AsyncGenerator<ChainBlock> {
    const wake = (): void => this.#wake?.();
    const stopListening = this.#connection.onConnected(() => {
      this.#connections += 1;
      wake();
    });
    signal.addEventListener('abort', wake, { once: true });
    let stopHeads: (() => void) | undefined;
    try {
      while (!signal.aborted) {
        try {
          // The library renews the subscription by itself after a loss.
          stopHeads ??= await this.#subscribe((head) => {
            this.#newest = head;
            wake();
          });
          const head = this.#newest;
          if (head === undefined) {
            await this.#pause(this.#silenceMs, signal);
            // A subscription may die while its connection lives on.
            if (this.#newest === undefined && !signal.aborted && (await this.#isBehind())) {
              stopHeads();
              stopHeads = undefined;
            }
          } else {
            yield* this.#upTo(head);
            if (this.#newest === head) this.#newest = undefined;
          }
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

  async #subscribe(tell: (head: Head) => void): Promise<() => void> {
    let isAbandoned = false;
    try {
      return await this.#connection.ask('new blocks', { deadlineMs: READ_DEADLINE_MS }, async (api) => {
        const heads = this.#kind === 'best' ? api.rpc.chain.subscribeNewHeads : api.rpc.chain.subscribeFinalizedHeads;
        const listen = (header: Header): void => tell({ number: header.number.toNumber(), hash: header.hash.toHex() });
        const stop = (await heads(listen)) as unknown as () => void;
        // It began after all, when nobody waited for it any more.
        if (isAbandoned) stop();
        return stop;
      });
    } catch (error) {
      isAbandoned = true;
      throw error;
    }
  }

  /** Asks for the newest block, and whether it is beyond the last one. */
  async #isBehind(): Promise<boolean> {
    const hash = await this.#connection.blockHash(this.#kind, { deadlineMs: READ_DEADLINE_MS });
    if (hash === this.#last?.hash) return false;
    const number = await this.#connection.ask('the newest block', { deadlineMs: READ_DEADLINE_MS }, async (api) =>
      (await api.rpc.chain.getHeader(hash)).number.toNumber(),
    );
    if (this.#last !== undefined && number <= this.#last.number) return false;
    this.#newest = { number, hash };
    return true;
  }

  /**
   * Blocks from the one after the last to `newest`. What is final stays so: an
   * endpoint whose final block is older only lags, and is waited for.
   */
  async *#upTo(newest: Head): AsyncGenerator<ChainBlock> {
    const last = this.#last;
    let next = newest.number;
    if (last !== undefined && newest.number <= last.number) {
      if (this.#kind === 'final' || (await this.#hashAt(last.number)) === last.hash) return;
      this.#gap = true;
    } else if (last !== undefined && newest.number - last.number <= CATCH_UP_BLOCKS) next = last.number + 1;
    else this.#gap = true;
    let agreed = -1;
    while (next <= newest.number) {
      const connections = this.#connections;
      const block = await this.#read(next);
      if (this.#kind === 'final' && agreed !== connections) {
        // What one endpoint told to be final another may not have yet, and be on a fork in its place.
        if ((await this.#hashAt(newest.number)) !== newest.hash) return;
        agreed = connections;
      }
      if (this.#connections !== connections) continue;
      // A block whose state is no longer kept is jumped over and told as a gap.
      if (block?.events === undefined) this.#gap = true;
      else {
        const { number, hash, events, parent } = block;
        // The last block told is not on this chain any more.
        const isFork = this.#last !== undefined && this.#last.number === number - 1 && this.#last.hash !== parent;
        const gap = this.#gap || isFork;
        if (this.#kind === 'final') this.#connection.finalSeen(number);
        yield { number, hash, events, gap };
        this.#gap = false;
      }
      this.#last = { number: next, hash: block?.hash ?? '' };
      next += 1;
    }
  }

  async #read(number: number): Promise<ReadBlock | undefined> {
    const hash = await this.#hashAt(number);
    if (/^0x0*$/.test(hash)) return undefined;
    const { endpoint, endpoints } = this.#connection;
    try {
      return await this.#readEvents(number, hash);
    } catch (error) {
      if (!isGridError(error, 'chain_rejected')) throw error;
      // Its state is gone here; another endpoint may keep more.
      if (this.#refused.number !== number) this.#refused = { number, times: 0 };
      this.#refused.times += 1;
      const isHopeless = endpoints.length === 1 || this.#refused.times > 2 * endpoints.length;
      if (!isHopeless && endpoint !== undefined) {
        this.#connection.leave(endpoint, 'pruned', `it has no state of block ${number}`);
        throw new GridError('chain_lost', { what: `block ${number}`, endpoints: [...endpoints] }, { cause: error });
      }
      return { number, hash, parent: '', events: undefined };
    }
  }

  #hashAt(number: number): Promise<string> {
    return this.#connection.hashAt(number, { deadlineMs: READ_DEADLINE_MS });
  }

  #readEvents(number: number, hash: string): Promise<ReadBlock> {
    return this.#connection.ask(`block ${number}`, { deadlineMs: READ_DEADLINE_MS }, async (api) => {
      const entry = (await storageAt(api, hash)).system?.events?.creator;
      const [header, [records]] = (await Promise.all([
        api.rpc.chain.getHeader(hash),
        api.rpc.state.queryStorageAt([[entry, []]] as never, hash),
      ])) as unknown as [Header, [Vec<EventRecord>]];
      const events = records.map(({ event }) => ({
        pallet: event.section,
        name: event.method,
        data: event.data.toJSON() as unknown[],
      }));
      return { number, hash, parent: header.parentHash.toHex(), events };
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
