/** One living connection to one of several endpoints, and reads pinned to a block. */
import { createRequire } from 'node:module';
import { setImmediate as afterOthers } from 'node:timers/promises';
import type { ApiPromise } from '@polkadot/api';
import type { ApiOptions } from '@polkadot/api/types';
import type { Codec } from '@polkadot/types/types';
import { GridError, isGridError } from '../../schemas/errors/index.ts';
import { waitReady } from '../rmb/wasm-crypto.ts';
import { type BlockReads, entryOf, type Read, type Results } from './block-reads.ts';
import {
  ENDPOINT_LIMITS,
  type EndpointBook,
  type EndpointLimits,
  type EndpointState,
  type Problem,
} from './endpoints.ts';
import { type CallLimits, typedFailure, within } from './failures.ts';
import { type EndpointNews, EndpointProvider } from './provider.ts';
import { VisitedEndpoint } from './visit.ts';

export { type BlockReads, type Read, read } from './block-reads.ts';

export interface ConnectionOptions {
  /** `ws://` or `wss://` URLs, the preferred one first. One is in use at a time. */
  readonly endpoints: readonly string[];
  /** Milliseconds for calls that name no deadline. */
  readonly deadlineMs?: number;
  /** Hex hash of block 0 that every endpoint must serve; without it the first answer is kept to. */
  readonly genesis?: string;
  /** When an endpoint is left for another. */
  readonly health?: Partial<EndpointLimits>;
  /** Hears of each endpoint that is used, left or refused. */
  readonly onEndpoint?: (news: EndpointNews) => void;
}

const DEADLINE_MS = 30_000;
/** Milliseconds until another endpoint that is asked besides must have answered. */
const VISIT_MS = 4_000;
type Misfit = NonNullable<EndpointBook['misfit']>;

// As CommonJS a third of the time: see gateway/rmb/wasm-crypto.ts.
const require = createRequire(import.meta.url);

/** The chain's own signed extension adds no bytes; the library wants to be told. */
const signedExtensions = { ContractIdProvides: { extrinsic: {}, payload: {} } };

export class ChainConnection implements BlockReads {
  readonly endpoints: readonly string[];
  readonly deadlineMs: number;
  readonly #provider: EndpointProvider;
  readonly #opening: Promise<ApiPromise>;
  readonly #connected = new Set<() => void>();
  readonly #lost = new Set<() => void>();
  #ready = false;
  #finalKnown = 0;
  /** Settles when something changes that a call may wait for. */
  #change = Promise.withResolvers<void>();

  /** Connects in the background and for ever, until `close`. */
  constructor(options: ConnectionOptions) {
    this.endpoints = options.endpoints;
    this.deadlineMs = options.deadlineMs ?? DEADLINE_MS;
    this.#provider = new EndpointProvider({
      endpoints: options.endpoints,
      limits: { ...ENDPOINT_LIMITS, ...options.health },
      genesis: options.genesis,
      onNews: options.onEndpoint ?? (() => undefined),
    });
    this.#provider.onMisfit(() => this.#changed());
    this.#opening = this.#open();
    // Each call that needs the connection tells of its failure.
    this.#opening.catch(() => undefined);
  }

  /** The library is a thousand files: it loads while its user is already at work. */
  async #open(): Promise<ApiPromise> {
    await afterOthers();
    const { ApiPromise } = require('@polkadot/api') as typeof import('@polkadot/api');
    await waitReady();
    const provider = this.#provider;
    // The library's own types disagree under exactOptionalPropertyTypes.
    const api = new ApiPromise({ provider, noInitWarn: true, signedExtensions } as unknown as ApiOptions);
    // Losses are told by the calls that meet them; unheard, they would end the process.
    api.on('error', (error: unknown) => {
      // The library begins anew only with another connection.
      const { endpoint } = provider;
      if (!this.#ready && endpoint !== undefined) provider.leave(endpoint, 'runtime', String(error));
    });
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
    await provider.connect();
    return api;
  }

  #tell(): void {
    this.#changed();
    for (const listener of this.#connected) listener();
  }

  #changed(): void {
    const { resolve } = this.#change;
    this.#change = Promise.withResolvers();
    resolve();
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

  /** Whether questions can be asked now. */
  get isConnected(): boolean {
    return this.#ready && this.#provider.isConnected;
  }

  /** The URL in use. */
  get endpoint(): string | undefined {
    return this.#provider.endpoint;
  }

  /** Hash of the chain's block 0, once it was asked or where it was given. */
  get genesis(): string | undefined {
    return this.#provider.origin.genesis;
  }

  /** What is known of each endpoint, in the order of preference. */
  get states(): EndpointState[] {
    return this.#provider.states;
  }

  /** Gives up the endpoint in use; false where it is not that one any more. */
  leave(url: string, problem: Problem, reason: string): boolean {
    return this.#provider.leave(url, problem, reason);
  }

  /** The library's interface once it is connected and knows the runtime. @throws GridError `chain_lost` */
  async api(what: string, limits: CallLimits = {}): Promise<ApiPromise> {
    const deadlineMs = limits.deadlineMs ?? this.deadlineMs;
    try {
      return await within(what, this.#waitReady(), deadlineMs, limits.signal);
    } catch (error) {
      if (error instanceof GridError && error.code === 'chain_deadline') {
        throw new GridError('chain_lost', { what, endpoints: [...this.endpoints] }, { cause: error });
      }
      throw error;
    }
  }

  async #waitReady(): Promise<ApiPromise> {
    const api = await this.#opening;
    while (!this.isConnected) {
      const { misfit } = this.#provider.book;
      if (misfit !== undefined) throw this.#misfitError(misfit);
      await this.#change.promise;
    }
    return api;
  }

  #misfitError({ url: endpoint, problem, found }: Misfit): GridError {
    const { genesis = '', first = '' } = this.#provider.origin;
    return problem === 'restarted'
      ? new GridError('chain_restarted', { endpoint, expected: first, found: found.first })
      : new GridError('chain_genesis', { endpoint, expected: genesis, found: found.genesis });
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

  /**
   * Visits the endpoints that are not in use, all at once, for `work`; the first that may be used and answers
   * decides. Undefined where there is none. @throws GridError `chain_behind` where those that answer are older
   * than block `since`
   */
  async elsewhere<T>(
    since: number,
    limits: CallLimits,
    work: (visited: VisitedEndpoint) => Promise<T>,
  ): Promise<T | undefined> {
    const api = await this.api('its runtime', limits);
    try {
      return await this.#provider.elsewhere((line) => work(new VisitedEndpoint(line, api, since)), VISIT_MS);
    } catch (error) {
      const failures: unknown[] = error instanceof AggregateError ? error.errors : [error];
      const behind = failures.find((one) => isGridError(one, 'chain_behind'));
      if (behind !== undefined) throw behind;
      return undefined;
    }
  }

  /** A block is final; no endpoint whose final block is older may say what has ended. */
  finalSeen(number: number): void {
    this.#finalKnown = Math.max(this.#finalKnown, number);
    this.#provider.book.finalSeen(number);
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

  /** Number of the newest final block. */
  async finalNumber(limits: CallLimits = {}): Promise<number> {
    return await this.ask('the newest final block', limits, async (api) => {
      const header = await api.rpc.chain.getHeader(await api.rpc.chain.getFinalizedHead());
      return header.number.toNumber();
    });
  }

  /** Hash of the chain's block of that number, as this endpoint sees it; zeros where it has none. */
  async hashAt(number: number, limits: CallLimits = {}): Promise<string> {
    const hash = await this.ask(`block ${number}`, limits, (api) => api.rpc.chain.getBlockHash(number));
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
    await this.#opening.then((api) => api.disconnect()).catch(() => undefined);
    await this.#provider.disconnect();
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
