/** Balances, utility batches and the key-value store. */
import { balances, EXISTENTIAL_DEPOSIT, kvStore, utility } from '../description/money.ts';
import { system } from '../description/system.ts';
import type { MultiAddress, RuntimeCallValue } from '../description/types.ts';
import type { ValueOf } from '../scale/codec.ts';
import { type CallExecution, DispatchFailure, type Execution, ensure, type Handlers, refuse } from './context.ts';

/** Adds to an account, making it when it is new. */
export function deposit(context: Execution, who: Uint8Array, amount: bigint): void {
  const account = context.state.read(system.storage.Account, who);
  const isNew = account.providers === 0;
  if (isNew) {
    if (amount < EXISTENTIAL_DEPOSIT) {
      throw new DispatchFailure({ kind: 'Token', value: [{ kind: 'BelowMinimum' }] }, 'Token.BelowMinimum');
    }
    account.providers = 1;
  }
  account.data.free += amount;
  context.state.write(system.storage.Account, [who], account);
  if (isNew) {
    context.emit(system, 'NewAccount', { account: who });
    context.emit(balances, 'Endowed', { account: who, free_balance: amount });
  }
}

function destination(address: ValueOf<typeof MultiAddress>): Uint8Array {
  if (address.kind !== 'Id') throw new DispatchFailure({ kind: 'CannotLookup' }, 'CannotLookup');
  return address.value[0];
}

function transfer(context: CallExecution, to: Uint8Array, amount: bigint): void {
  const from = context.state.read(system.storage.Account, context.who);
  // The account itself stays: its nonce must not be forgotten.
  if (from.data.free < amount + EXISTENTIAL_DEPOSIT) {
    throw new DispatchFailure({ kind: 'Token', value: [{ kind: 'FundsUnavailable' }] }, 'Token.FundsUnavailable');
  }
  from.data.free -= amount;
  context.state.write(system.storage.Account, [context.who], from);
  deposit(context, to, amount);
  context.emit(balances, 'Transfer', { from: context.who, to, amount });
}

export const balanceCalls: Handlers<typeof balances> = {
  transfer_allow_death: (context, { dest, value }) => transfer(context, destination(dest), value),
  transfer_keep_alive: (context, { dest, value }) => transfer(context, destination(dest), value),
  transfer: (context, { dest, value }) => transfer(context, destination(dest), value),
  transfer_all: (context, { dest }) => {
    const { free } = context.state.read(system.storage.Account, context.who).data;
    transfer(context, destination(dest), free - EXISTENTIAL_DEPOSIT);
  },
};

const BATCH_LIMIT = 10_922;

/** Runs calls one after another; `onFailure` decides what a refused one means for the rest. */
function batch(
  context: CallExecution,
  calls: readonly RuntimeCallValue[],
  onFailure: (failure: DispatchFailure, index: number) => 'stop' | 'go on',
): boolean {
  ensure(calls.length <= BATCH_LIMIT, utility, 'TooManyCalls');
  for (const [index, call] of calls.entries()) {
    const mark = context.eventMark();
    try {
      context.state.attempt(() => context.dispatch(call));
      context.emit(utility, 'ItemCompleted');
    } catch (error) {
      if (!(error instanceof DispatchFailure)) throw error;
      context.forgetEvents(mark);
      if (onFailure(error, index) === 'stop') return false;
    }
  }
  return true;
}

export const utilityCalls: Handlers<typeof utility> = {
  batch: (context, { calls }) => {
    const whole = batch(context, calls, (failure, index) => {
      context.emit(utility, 'BatchInterrupted', { index, error: failure.reason });
      return 'stop';
    });
    if (whole) context.emit(utility, 'BatchCompleted');
  },
  batch_all: (context, { calls }) => {
    batch(context, calls, (failure) => {
      throw failure;
    });
    context.emit(utility, 'BatchCompleted');
  },
  force_batch: (context, { calls }) => {
    let failures = 0;
    batch(context, calls, (failure) => {
      failures += 1;
      context.emit(utility, 'ItemFailed', { error: failure.reason });
      return 'go on';
    });
    if (failures === 0) context.emit(utility, 'BatchCompleted');
    else context.emit(utility, 'BatchCompletedWithErrors');
  },
};

const KEY_LIMIT_BYTES = 512;
const VALUE_LIMIT_BYTES = 2048;

export const kvCalls: Handlers<typeof kvStore> = {
  set: (context, { key, value }) => {
    ensure(key.length <= KEY_LIMIT_BYTES, kvStore, 'KeyIsTooLarge');
    ensure(value.length <= VALUE_LIMIT_BYTES, kvStore, 'ValueIsTooLarge');
    context.state.write(kvStore.storage.TFKVStore, [context.who, key], value);
    context.emit(kvStore, 'EntrySet', [context.who, key, value]);
  },
  delete: (context, { key }) => {
    const value = context.state.read(kvStore.storage.TFKVStore, context.who, key);
    if (value.length === 0) refuse(kvStore, 'NoValueStored');
    context.state.remove(kvStore.storage.TFKVStore, context.who, key);
    context.emit(kvStore, 'EntryTaken', [context.who, key, value]);
  },
};
