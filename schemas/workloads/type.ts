/** What a workload type is: one object of this shape a file, registered in `index.ts`. */
import type { z } from 'zod';
import type { Capacity } from '../capacity.ts';

/** Another thing a workload needs before it can run. */
export interface Reference {
  /**
   * `network`: by name, of the same twin on this node, in any deployment. The others: a workload of
   * the same deployment.
   */
  readonly kind: 'network' | 'mount' | 'public_ip' | 'machine';
  readonly name: string;
}

/** One part of the challenge: where it comes from (for people), and its exact text. */
export type Piece = readonly [path: string, text: string];

/**
 * Takes the next part of the challenge. Each `[]` in its path stands for one of `at`, in order: most who
 * ask want the text alone, and paths cost more than it.
 */
export type AddPiece = (
  path: string,
  value: string | number | bigint | boolean,
  ...at: readonly (number | string)[]
) => void;

/** What rules look at in a workload of a deployment. */
export interface Member {
  readonly name: string;
  readonly type: string;
  /** JSON text. */
  readonly data: string;
  readonly result: { readonly state: string };
}

/** The deployment a workload stands in, while one deployment is checked. */
export interface Context {
  readonly deployment: { readonly workloads: readonly Member[] };
  readonly workload: Member;
  /** Decoded data of any workload of the deployment, `undefined` if it is not of that type or unreadable. */
  readonly dataOf: <S extends z.ZodType>(type: WorkloadType<S>, workload: Member) => z.output<S> | undefined;
  /** What a function finds in the whole deployment, computed once for all its workloads. */
  readonly once: <T>(compute: (context: Context) => T) => T;
}

/**
 * What nodes do with new data for a workload that runs: make it so, nothing, refuse and leave it as it
 * was (`unchanged`), or give it up (`error`, final), with the reason they answer.
 */
export type Change =
  | { readonly kind: 'apply' | 'nothing' }
  | { readonly kind: 'unchanged' | 'error'; readonly reason: string };

export interface WorkloadType<S extends z.ZodType = z.ZodType> {
  readonly name: string;
  /** For readers of the JSON Schema. */
  readonly summary: string;
  /** Go's name of the data type, shown in decode errors. */
  readonly goType: string;
  readonly data: S;
  /** Data of a result in state `ok`; `undefined` where it is `null`. */
  readonly result: z.ZodType | undefined;
  /**
   * How a running one takes new data; `context` is the deployment as it runs, with its results.
   * `undefined` where it cannot change in place.
   */
  readonly change: ((from: z.output<S>, to: z.output<S>, context: Context) => Change) | undefined;
  /** Whether it can be paused for the grace period. */
  readonly pausable: boolean;
  /** Structural rules in the order nodes apply them; throws `GridError`. */
  readonly validate: (data: z.output<S>, context: Context) => void;
  /** Amounts beyond 2^53 are rounded: no node has as much. */
  readonly needs: (data: z.output<S>) => Capacity;
  readonly challenge: (data: z.output<S>, add: AddPiece) => void;
  /** What the same data gave before nodes changed the type's formula. */
  readonly olderChallenge?: (data: z.output<S>, add: AddPiece) => void;
  readonly references: (data: z.output<S>) => Reference[];
}

/** Checks one definition's types against each other. */
export function defineWorkload<S extends z.ZodType>(type: WorkloadType<S>): WorkloadType<S> {
  return type;
}

/** An address in the challenge: Go prints an unset one as five characters. */
export function printed(address: string): string {
  return address === '' ? '<nil>' : address;
}

/** What a type's challenge adds, with each path in full. */
export function piecesOf<D>(challenge: (data: D, add: AddPiece) => void, data: D): Piece[] {
  const pieces: Piece[] = [];
  challenge(data, (path, value, ...at) => {
    let next = 0;
    pieces.push([path.replaceAll('[]', () => `[${at[next++]}]`), String(value)]);
  });
  return pieces;
}

/** Types whose running ones take whatever new data is valid. */
export function applied(): Change {
  return { kind: 'apply' };
}
