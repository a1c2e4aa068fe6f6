/** How a request leaves the door. */
import type { GridError } from '../../schemas/errors/index.ts';
import type { Answer } from '../rmb/answer.ts';
import type { TwinRecord } from '../rmb/twins.ts';
import type { Check } from './metrics.ts';
import type { Ignored } from './shape.ts';

/** A request that passed: who sent it is proven. */
export interface AdmittedRequest {
  readonly uid: string;
  readonly command: string;
  readonly twin: TwinRecord;
  readonly session: string | undefined;
  /** In clear; empty where the client sends nothing. */
  readonly payload: Uint8Array;
  readonly encrypted: boolean;
  /** Unix seconds after which nobody waits for the answer. */
  readonly expiresAtSeconds: number;
  /** Answers; then gives the request's place back. */
  reply(answer: Answer): Promise<void>;
  /** Gives the place back without an answer; harmless after `reply`. */
  leave(): void;
}

export type Verdict =
  | { readonly outcome: 'admitted'; readonly request: AdmittedRequest }
  | { readonly outcome: 'refused'; readonly check: Check; readonly refusal: GridError; readonly answered: boolean }
  | { readonly outcome: 'ignored'; readonly reason: Ignored };
