/** What is read of the chain's storage, and where. */
import type { ApiPromise } from '@polkadot/api';
import type { z } from 'zod';
import { GridError } from '../../schemas/errors/index.ts';
import type { CallLimits } from './failures.ts';

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

export type Results<R extends readonly Read<unknown>[]> = {
  -readonly [K in keyof R]: R[K] extends Read<infer T> ? T : never;
};

/** Where storage is read: the connection, or another endpoint during a visit. */
export interface BlockReads {
  /** Hash of the best block, or of the newest final one. */
  blockHash(kind: 'best' | 'final', limits?: CallLimits): Promise<string>;
  /** Several storage entries as of one block. Without `at`, of the best block. */
  read<const R extends readonly Read<unknown>[]>(reads: R, limits?: CallLimits, at?: string): Promise<Results<R>>;
  /** @throws GridError `chain_behind` for a final block that is older than one seen before */
  requireFinal(number: number): void;
}

/** The decorated storage entry; a runtime without it is another kind of chain. */
export function entryOf(storage: ApiPromise['query'], { pallet, item }: Read<unknown>): object {
  const entry = storage[pallet]?.[item]?.creator;
  if (entry === undefined)
    throw new GridError('chain_unsupported', { what: `storage ${pallet}.${item} of this chain` });
  return entry;
}
