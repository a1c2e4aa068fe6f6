/** Runs calls on a block's state: handlers, fees, events. */
import type { contracts } from './description/contracts.ts';
import { balances, transactionPayment } from './description/money.ts';
import type { PalletDefinition } from './description/pallet.ts';
import { type EventRecord, system } from './description/system.ts';
import type { DispatchErrorValue, RuntimeCallValue } from './description/types.ts';
import type { Transaction } from './extrinsic.ts';
import type { BillingTerms } from './pallets/billing-terms.ts';
import { type CallExecution, DispatchFailure, type Execution, type Handlers, refuse } from './pallets/context.ts';
import { contractCalls } from './pallets/contracts.ts';
import { twinAndFarmCalls } from './pallets/grid.ts';
import { balanceCalls, kvCalls, utilityCalls } from './pallets/money.ts';
import { nodeCalls } from './pallets/nodes.ts';
import type { ValueOf } from './scale/codec.ts';
import type { Overlay } from './state.ts';

export type EventValue = ValueOf<typeof EventRecord>;

/** uTFT withdrawn for a transaction of any size; enough that an empty account cannot act. */
export const TRANSACTION_FEE = 10_000n;

type AnyHandlers = { readonly [name: string]: ((context: CallExecution, args: never) => void) | undefined };

const handlers: { readonly [pallet: string]: AnyHandlers } = {
  System: {},
  Utility: utilityCalls as AnyHandlers,
  Balances: balanceCalls as AnyHandlers,
  TfgridModule: { ...twinAndFarmCalls, ...nodeCalls } as AnyHandlers,
  SmartContractModule: contractCalls as Handlers<typeof contracts> as AnyHandlers,
  TFKVStore: kvCalls as AnyHandlers,
};

/** Calls whose fee comes back when they succeed. */
const FREE_CALLS = new Set([
  'TfgridModule.update_node',
  'TfgridModule.report_uptime',
  'TfgridModule.report_uptime_v2',
  'TfgridModule.change_power_state',
  'SmartContractModule.add_nru_reports',
  'SmartContractModule.report_contract_resources',
]);

/** Calls that only the council may make; a signer is refused for its origin. */
const COUNCIL_CALLS = new Set([
  'TfgridModule.set_farm_certification',
  'TfgridModule.set_farm_dedicated',
  'TfgridModule.set_zos_version',
  'TFTPriceModule.set_prices',
]);

const MAX_CALL_DEPTH = 8;
const WEIGHT = { ref_time: 100_000_000n, proof_size: 0n };

/** A block under construction. */
export interface BlockFrame {
  readonly state: Overlay;
  readonly block: number;
  readonly nowMs: number;
  readonly events: EventValue[];
  readonly billing: BillingTerms;
}

type Phase = EventValue['phase'];

export function execution(frame: BlockFrame, phase: Phase): Execution {
  return {
    state: frame.state,
    block: frame.block,
    nowMs: frame.nowMs,
    billing: frame.billing,
    emit: (pallet: PalletDefinition, name: string, ...value: readonly unknown[]) => {
      const event = { kind: pallet.name, value: [{ kind: name, value: value[0] }] } as const;
      frame.events.push({ phase, event, topics: [] });
    },
  };
}

function dispatch(context: CallExecution, call: RuntimeCallValue, depth: number): void {
  if (depth > MAX_CALL_DEPTH) refuse(system, 'CallFiltered');
  const [method] = call.value;
  const name = `${call.kind}.${method.kind}`;
  if (COUNCIL_CALLS.has(name)) throw new DispatchFailure({ kind: 'BadOrigin' }, 'BadOrigin');
  const handler = handlers[call.kind]?.[method.kind];
  if (handler === undefined) refuse(system, 'CallFiltered');
  handler({ ...context, dispatch: (inner) => dispatch(context, inner, depth + 1) }, method.value as never);
}

function success(context: Execution, fee: bigint): void {
  const pays = { kind: fee === 0n ? 'No' : 'Yes' } as const;
  context.emit(system, 'ExtrinsicSuccess', {
    dispatch_info: { weight: WEIGHT, class: { kind: 'Normal' }, pays_fee: pays },
  });
}

function failure(context: Execution, reason: DispatchErrorValue): void {
  context.emit(system, 'ExtrinsicFailed', {
    dispatch_error: reason,
    dispatch_info: { weight: WEIGHT, class: { kind: 'Normal' }, pays_fee: { kind: 'Yes' } },
  });
}

/** The event every inherent leaves behind. */
export function inherentDone(frame: BlockFrame, index: number): void {
  execution(frame, { kind: 'ApplyExtrinsic', value: [index] }).emit(system, 'ExtrinsicSuccess', {
    dispatch_info: { weight: WEIGHT, class: { kind: 'Mandatory' }, pays_fee: { kind: 'Yes' } },
  });
}

/**
 * Applies a transaction whose signature, nonce and balance were checked: fee
 * and nonce stay taken whatever its call does.
 */
export function applyTransaction(frame: BlockFrame, transaction: Transaction, index: number): void {
  const base = execution(frame, { kind: 'ApplyExtrinsic', value: [index] });
  const { who, tip, call } = transaction;
  const account = frame.state.read(system.storage.Account, who);
  const withdrawn = TRANSACTION_FEE + tip;
  account.nonce += 1;
  account.data.free -= withdrawn;
  frame.state.write(system.storage.Account, [who], account);
  base.emit(balances, 'Withdraw', { who, amount: withdrawn });

  const context: CallExecution = {
    ...base,
    who,
    dispatch: () => undefined,
    eventMark: () => frame.events.length,
    forgetEvents: (mark) => {
      frame.events.length = mark;
    },
  };
  const mark = context.eventMark();
  let refused: DispatchErrorValue | undefined;
  try {
    frame.state.attempt(() => dispatch(context, call, 0));
  } catch (error) {
    if (!(error instanceof DispatchFailure)) throw error;
    context.forgetEvents(mark);
    refused = error.reason;
  }

  const free = refused === undefined && FREE_CALLS.has(`${call.kind}.${call.value[0].kind}`);
  if (free) {
    const now = frame.state.read(system.storage.Account, who);
    now.data.free += withdrawn;
    frame.state.write(system.storage.Account, [who], now);
    base.emit(balances, 'Deposit', { who, amount: withdrawn });
  }
  const fee = free ? 0n : withdrawn;
  base.emit(transactionPayment, 'TransactionFeePaid', { who, actual_fee: fee, tip: free ? 0n : tip });
  if (refused === undefined) success(base, fee);
  else failure(base, refused);
}
