/** What a call's handler may do: read, write, emit, refuse. */
import type { CallArgs, EventValue, PalletDefinition } from '../description/pallet.ts';
import type { DispatchErrorValue, RuntimeCallValue } from '../description/types.ts';
import type { Overlay } from '../state.ts';
import type { BillingTerms } from './billing-terms.ts';

/** A call that was refused; the transaction is in the block with ExtrinsicFailed. */
export class DispatchFailure extends Error {
  override readonly name = 'DispatchFailure';
  readonly reason: DispatchErrorValue;

  constructor(reason: DispatchErrorValue, text: string) {
    super(text);
    this.reason = reason;
  }
}

/** Refuses with a pallet's error. */
export function refuse<P extends PalletDefinition>(pallet: P, error: P['errors'][number]): never {
  const code = new Uint8Array(4);
  code[0] = pallet.errors.indexOf(error);
  const reason = { kind: 'Module', value: [{ index: pallet.index, error: code }] } as const;
  throw new DispatchFailure({ ...reason, value: [{ ...reason.value[0] }] }, `${pallet.name}.${error}`);
}

/** Refuses unless `condition`. */
export function ensure<P extends PalletDefinition>(
  condition: boolean,
  pallet: P,
  error: P['errors'][number],
): asserts condition {
  if (!condition) refuse(pallet, error);
}

export interface Execution {
  readonly state: Overlay;
  readonly block: number;
  /** Time of the block, milliseconds since 1970. */
  readonly nowMs: number;
  readonly billing: BillingTerms;
  readonly emit: <P extends PalletDefinition, K extends keyof P['events'] & string>(
    pallet: P,
    name: K,
    ...value: EventValue<P, K> extends undefined ? [] : [EventValue<P, K>]
  ) => void;
}

export interface CallExecution extends Execution {
  readonly who: Uint8Array;
  /** Runs a call inside this one, with the same signer. */
  readonly dispatch: (call: RuntimeCallValue) => void;
  /** Events emitted so far; `forgetEvents` drops those after a mark. */
  readonly eventMark: () => number;
  readonly forgetEvents: (mark: number) => void;
}

/** Handlers of a pallet's calls. Calls without one are refused as filtered. */
export type Handlers<P extends PalletDefinition> = {
  readonly [K in keyof P['calls']]?: (context: CallExecution, args: CallArgs<P, K>) => void;
};
