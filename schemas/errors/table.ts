/**
 * The shape of the error table. A refusal is data first (`code`, `details`);
 * its sentence is made from that data in one place.
 */
import type { z } from 'zod';

/** Who can mend it: the one who asked, the node's software, or who runs the node. */
export type Fault = 'caller' | 'node' | 'operator';

/** The step of a request's way through the node where it failed. */
export type Stage =
  | 'envelope'
  | 'door'
  | 'command'
  | 'local'
  | 'deployment'
  | 'contract'
  | 'capacity'
  | 'storage'
  | 'network'
  | 'flist'
  | 'machine'
  | 'chain'
  | 'bus'
  | 'debug'
  | 'host';

export interface ErrorEntry<D extends z.ZodType = z.ZodType> {
  /** Number in an RMB answer's error part. 0 where existing clients match on the text alone. */
  readonly number: number;
  readonly stage: Stage;
  readonly fault: Fault;
  /** Whether the same request may succeed later without being changed. */
  readonly retryable: boolean;
  readonly details: D;
  /** What happened, with the numbers. */
  readonly message: (details: z.infer<D>) => string;
  /** What to do about it; left out of the text where clients match on it. */
  readonly remedy?: string;
}

/** Checks one entry's types; the table is the sum of the stages' tables. */
export function entry<D extends z.ZodType>(definition: ErrorEntry<D>): ErrorEntry<D> {
  return definition;
}
