/** Reads of a short visit to another endpoint than the one in use: a second witness for what cannot be undone. */
import type { ApiPromise } from '@polkadot/api';
import type { Codec } from '@polkadot/types/types';
import { GridError } from '../../schemas/errors/index.ts';
import { type BlockReads, entryOf, type Read, type Results } from './block-reads.ts';
import type { CallLimits } from './failures.ts';
import type { EndpointLine } from './line.ts';

/** Of the stored key, what the library's own types leave out. */
interface KeyFacts {
  toHex(): string;
  readonly outputType: string;
  readonly meta: { readonly modifier: { readonly isOptional: boolean }; readonly fallback: { toHex(): string } };
}

export class VisitedEndpoint implements BlockReads {
  readonly url: string;
  readonly #line: EndpointLine;
  readonly #api: ApiPromise;
  readonly #since: number;

  /** `api` knows the runtime. What was seen as of block `since` is not judged by an older one. */
  constructor(line: EndpointLine, api: ApiPromise, since: number) {
    this.url = line.url;
    this.#line = line;
    this.#api = api;
    this.#since = since;
  }

  async blockHash(kind: 'best' | 'final'): Promise<string> {
    const [method, params] = kind === 'best' ? ['chain_getBlockHash', []] : ['chain_getFinalizedHead', []];
    return String(await this.#line.request(method as string, params as []));
  }

  /** @throws GridError `chain_behind` */
  requireFinal(number: number): void {
    if (number < this.#since) throw new GridError('chain_behind', { block: number, known: this.#since });
  }

  async read<const R extends readonly Read<unknown>[]>(
    reads: R,
    _limits: CallLimits = {},
    at?: string,
  ): Promise<Results<R>> {
    const block = at ?? (await this.blockHash('best'));
    const values = await Promise.all(reads.map((one) => this.#value(one, block)));
    return reads.map((one, index) => one.as.parse(values[index])) as Results<R>;
  }

  async #value(one: Read<unknown>, block: string): Promise<unknown> {
    const { registry, query } = this.#api;
    const key = registry.createType('StorageKey', [entryOf(query, one), one.keys] as never) as unknown as KeyFacts;
    const stored = (await this.#line.request('state_getStorage', [key.toHex(), block])) as string | null;
    if (stored === null && key.meta.modifier.isOptional) return null;
    // As bytes: the library takes hex of a number for one that is written by hand.
    const bytes = new Uint8Array(Buffer.from((stored ?? key.meta.fallback.toHex()).slice(2), 'hex'));
    return registry.createTypeUnsafe<Codec, string>(key.outputType, [bytes]).toJSON();
  }
}
