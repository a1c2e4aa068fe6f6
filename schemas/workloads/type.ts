/** What a workload type is: one object of this shape a file, registered in `index.ts`. */
import type { z } from 'zod';
import type { Capacity } from '../capacity.ts';
import type { Deployment, Workload } from '../deployment.ts';

/** Another thing a workload needs before it can run. */
export interface Reference {
  /**
   * `network`: by name, of the same twin on this node, in any deployment. `mount` and `public_ip`:
   * a workload of the same deployment.
   */
  readonly kind: 'network' | 'mount' | 'public_ip';
  readonly name: string;
}

/** One part of the challenge: where it comes from (for people), and its exact text. */
export type Piece = readonly [path: string, text: string];

/** The deployment a workload stands in, while one deployment is checked. */
export interface Context {
  readonly deployment: Deployment;
  readonly workload: Workload;
  /** Decoded data of any workload of the deployment, `undefined` if it is not of that type or unreadable. */
  readonly dataOf: <S extends z.ZodType>(type: WorkloadType<S>, workload: Workload) => z.output<S> | undefined;
  /** What a function finds in the whole deployment, computed once for all its workloads. */
  readonly once: <T>(compute: (context: Context) => T) => T;
}

export interface WorkloadType<S extends z.ZodType = z.ZodType> {
  readonly name: string;
  /** Go's name of the data type, shown in decode errors. */
  readonly goType: string;
  readonly data: S;
  /** Data of a result in state `ok`; `undefined` where it is `null`. */
  readonly result: z.ZodType | undefined;
  /** Whether a running one can be changed in place, and paused for the grace period. */
  readonly updatable: boolean;
  readonly pausable: boolean;
  /** Structural rules in the order nodes apply them; throws `GridError`. */
  readonly validate: (data: z.output<S>, context: Context) => void;
  readonly needs: (data: z.output<S>) => Capacity;
  readonly challenge: (data: z.output<S>) => Piece[];
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
