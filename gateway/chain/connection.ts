/** One living connection to one of several endpoints, and reads pinned to a block. */
import { createRequire } from 'node:module';
import { setImmediate as afterOthers } from 'node:timers/promises';
import type { ApiPromise } from '@polkadot/api';
import type { ApiOptions } from '@polkadot/api/types';
import type { Codec } from '@polkadot/types/types';
import type { z } from 'zod';
import { GridError } from '../../schemas/errors/index.ts';
import { waitReady } from '../rmb/wasm-crypto.ts';
import { type CallLimits, typedFailure, within } from './failures.ts';

export interface ConnectionOptions {
  /** `ws://` or `wss://` URLs; tried in turn. */
  readonly endpoints: readonly string[];
  /** Milliseconds for calls that name no deadline. */
  readonly deadlineMs?: number;
  /** Hex hash of block 0 that every endpoint must serve; without it the first answer is kept to. */
  readonly genesis?: string;
}

/** One storage read: pallet and item in the decorated spelling, keys, parser of the stored JSON. */
export interface Read<T> {
  readonly pallet: string;
  readonly item: string;
  readonly keys: readonly unknown[];
  readonly as: z.ZodType<T>;
}

export function read<T extends z.ZodType>(
  pallet: string,
  item: string,
  keys: readonly unknown[],
  as: T,
): Read<z.output<T>> {
  return { pallet, item, keys, as: as as unknown as z.ZodType<z.output<T>> };
}

type Results<R extends readonly Read<unknown>[]> = { -readonly [K in keyof R]: R[K] extends Read<infer T> ? T : never };

const DEADLINE_MS = 30_000;
const RECONNECT_MS = 1_000;
const ANSWER_MS = 20_000;
/** Storage answers the library may keep. Reads name a block, so few are ever asked twice. */
const CACHED_READS = 64;

// As CommonJS a third of the time: see gateway/rmb/wasm-crypto.ts.
const require = createRequire(import.meta.url);

/** The chain's own signed extension adds no bytes; the library wants to be told. */
const signedExtensions = { ContractIdProvides: { extrinsic: {}, payload: {} } };

export class ChainConnection {
  readonly endpoints: readonly string[];
  readonly deadlineMs: number;
  readonly #opening: Promise<ApiPromise>;
  readonly #connected = new Set<() => void>();
  readonly #lost = new Set<() => void>();
  #genesis: string | undefined;
  #ready = false;
  #finalKnown = 0;

  /** Connects in the background and for ever, until `close`. */
  constructor(options: ConnectionOptions) {
    this.endpoints = options.endpoints;
    this.deadlineMs = options.deadlineMs ?? DEADLINE_MS;
    this.#genesis = options.genesis;
    this.#opening = this.#open();
    // Each call that needs the connection tells of its failure.
    this.#opening.catch(() => undefined);
  }

  /** The library is a thousand files: it loads while its user is already at work. */
  async #open(): Promise<ApiPromise> {
    await afterOthers();
    const { ApiPromise, WsProvider } = require('@polkadot/api') as typeof import('@polkadot/api');
    await waitReady();
    const provider = new WsProvider([...this.endpoints], RECONNECT_MS, {}, ANSWER_MS, CACHED_READS);
    // The library's own types disagree under exactOptionalPropertyTypes.
    const api = new ApiPromise({ provider, noInitWarn: true, signedExtensions } as unknown as ApiOptions);
    // Losses are told by the calls that meet them; unheard, they would end the process.
    api.on('error', () => undefined);
    api.isReadyOrError.catch(() => undefined);
    api.on('ready', () => {
      this.#ready = true;
      this.#tell();
    });
    api.on('connected', () => {
      if (this.#ready) this.#tell();
    });
    api.on('disconnected', () => {
      for (const listener of this.#lost) listener();
    });
    return api;
  }

  #tell(): void {
    for (const listener of this.#connected) listener();
  }

  /** Calls `listener` after each (re)connection; returns what ends that. */
  onConnected(listener: () => void): () => void {
    this.#connected.add(listener);
    return () => this.#connected.delete(listener);
  }

  /** Calls `listener` when the connection goes; returns what ends that. */
  onLost(listener: () => void): () => void {
    this.#lost.add(listener);
    return () => this.#lost.delete(listener);
  }

  /** The library's interface once it is connected and knows the runtime. @throws GridError `chain_lost` */
  async api(what: string, limits: CallLimits = {}): Promise<ApiPromise> {
    const deadlineMs = limits.deadlineMs ?? this.deadlineMs;
    let api: ApiPromise;
    try {
      api = await within(what, this.#waitReady(), deadlineMs, limits.signal);
    } catch (error) {
      if (error instanceof GridError && error.code === 'chain_deadline') {
        throw new GridError('chain_lost', { what, endpoints: [...this.endpoints] }, { cause: error });
      }
      throw error;
    }
    const found = api.genesisHash.toHex();
    this.#genesis ??= found;
    if (found !== this.#genesis) {
      const endpoint = this.endpoints.join(', ');
      throw new GridError('chain_genesis', { endpoint, expected: this.#genesis, found });
    }
    return api;
  }

  async #waitReady(): Promise<ApiPromise> {
    const api = await this.#opening;
    await api.isReady;
    if (!api.isConnected) {
      await new Promise<void>((resolve) => {
        const stop = this.onConnected(() => {
          stop();
          resolve();
        });
      });
    }
    return api;
  }

  /** Runs one exchange with the chain under a deadline, with typed failures. */
  async ask<T>(what: string, limits: CallLimits, exchange: (api: ApiPromise) => Promise<T>): Promise<T> {
    const deadlineMs = limits.deadlineMs ?? this.deadlineMs;
    const giveUpAt = Date.now() + deadlineMs;
    const api = await this.api(what, limits);
    try {
      return await within(what, exchange(api), Math.max(1, giveUpAt - Date.now()), limits.signal);
    } catch (error) {
      throw typedFailure(what, this.endpoints, error);
    }
  }

  /** A block is final; no endpoint whose final block is older may say what has ended. */
  finalSeen(number: number): void {
    this.#finalKnown = Math.max(this.#finalKnown, number);
  }

  /** @throws GridError `chain_behind` for a final block that is older than one seen before */
  requireFinal(number: number): void {
    if (number < this.#finalKnown) throw new GridError('chain_behind', { block: number, known: this.#finalKnown });
    this.finalSeen(number);
  }

  /** Hash of the best block, or of the newest final one. */
  async blockHash(kind: 'best' | 'final', limits: CallLimits = {}): Promise<string> {
    const hash = await this.ask('the newest block', limits, (api) =>
      kind === 'best' ? api.rpc.chain.getBlockHash() : api.rpc.chain.getFinalizedHead(),
    );
    return hash.toHex();
  }

  /** Several storage entries as of one block, in one exchange. Without `at`, of the best block. */
  async read<const R extends readonly Read<unknown>[]>(
    reads: R,
    limits: CallLimits = {},
    at?: string,
  ): Promise<Results<R>> {
    const names = reads.map(({ pallet, item }) => `${pallet}.${item}`).join(', ');
    const values = await this.ask(names, limits, async (api) => {
      const block = at ?? (await api.rpc.chain.getBlockHash()).toHex();
      const storage = await storageAt(api, block);
      const keys = reads.map((one) => [entryOf(storage, one), one.keys]);
      return (await api.rpc.state.queryStorageAt(keys as never, block)) as unknown as Codec[];
    });
    return reads.map((one, index) => one.as.parse(values[index]?.toJSON())) as Results<R>;
  }

  async close(): Promise<void> {
    this.#connected.clear();
    this.#lost.clear();
    // A connection that never came up has nothing to say goodbye to.
    await this.#opening.then((api) => api.disconnect()).catch(() => undefined);
  }
}

/**
 * The storage as the runtime of a block describes it. The numbers of types
 * change with an upgrade, and a block may be older or newer than what the
 * library took for current.
 */
export async function storageAt(api: ApiPromise, hash: string): Promise<ApiPromise['query']> {
  const { runtimeVersion } = await api.getBlockRegistry(Buffer.from(hash.slice(2), 'hex'));
  if (runtimeVersion.specVersion.eq(api.runtimeVersion.specVersion)) return api.query;
  return (await api.at(hash)).query as ApiPromise['query'];
}

/** The decorated storage entry; a runtime without it is another kind of chain. */
function entryOf(storage: ApiPromise['query'], { pallet, item }: Read<unknown>): object {
  const entry = storage[pallet]?.[item]?.creator;
  if (entry === undefined)
    throw new GridError('chain_unsupported', { what: `storage ${pallet}.${item} of this chain` });
  return entry;
}
