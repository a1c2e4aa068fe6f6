/** Timestamp, Utility, Balances, TransactionPayment: the plumbing of every transaction. */

import { bool } from '../scale/codec.ts';
import { definePallet, map, single } from './pallet.ts';
import {
  AccountId,
  bytes,
  choice,
  compact,
  DispatchError,
  DispatchResult,
  fixed,
  MultiAddress,
  RuntimeCall,
  struct,
  u8,
  u32,
  u64,
  u128,
  vec,
} from './types.ts';

export const timestamp = definePallet({
  name: 'Timestamp',
  index: 1,
  crate: 'pallet_timestamp::pallet',
  storage: { Now: single(u64), DidUpdate: single(bool) },
  calls: { set: [0, { now: compact(u64) }] },
  events: {},
  errors: [],
  constants: { MinimumPeriod: [u64, 3000n] },
});

export const utility = definePallet({
  name: 'Utility',
  index: 3,
  crate: 'pallet_utility::pallet',
  storage: {},
  calls: {
    batch: [0, { calls: vec(RuntimeCall) }],
    batch_all: [2, { calls: vec(RuntimeCall) }],
    force_batch: [4, { calls: vec(RuntimeCall) }],
  },
  events: {
    BatchInterrupted: [0, { index: u32, error: DispatchError }],
    BatchCompleted: [1],
    BatchCompletedWithErrors: [2],
    ItemCompleted: [3],
    ItemFailed: [4, { error: DispatchError }],
    DispatchedAs: [5, { result: DispatchResult }],
  },
  errors: ['TooManyCalls'],
  constants: { batched_calls_limit: [u32, 10_922] },
});

const whoAmount = { who: AccountId, amount: u128 } as const;
const BalanceLock = struct('pallet_balances::types::BalanceLock', {
  id: fixed(8),
  amount: u128,
  reasons: choice('pallet_balances::types::Reasons', 'Fee', 'Misc', 'All'),
});

export const EXISTENTIAL_DEPOSIT = 500n;

export const balances = definePallet({
  name: 'Balances',
  index: 20,
  crate: 'pallet_balances::pallet',
  storage: {
    TotalIssuance: single(u128),
    Locks: map([AccountId], vec(BalanceLock)),
  },
  calls: {
    transfer_allow_death: [0, { dest: MultiAddress, value: compact(u128) }],
    transfer_keep_alive: [3, { dest: MultiAddress, value: compact(u128) }],
    transfer_all: [4, { dest: MultiAddress, keep_alive: bool }],
    transfer: [7, { dest: MultiAddress, value: compact(u128) }],
  },
  events: {
    Endowed: [0, { account: AccountId, free_balance: u128 }],
    DustLost: [1, { account: AccountId, amount: u128 }],
    Transfer: [2, { from: AccountId, to: AccountId, amount: u128 }],
    BalanceSet: [3, { who: AccountId, free: u128 }],
    Reserved: [4, whoAmount],
    Unreserved: [5, whoAmount],
    Deposit: [7, whoAmount],
    Withdraw: [8, whoAmount],
    Slashed: [9, whoAmount],
  },
  errors: [
    'VestingBalance',
    'LiquidityRestrictions',
    'InsufficientBalance',
    'ExistentialDeposit',
    'Expendability',
    'ExistingVestingSchedule',
    'DeadAccount',
    'TooManyReserves',
    'TooManyHolds',
    'TooManyFreezes',
  ],
  constants: { ExistentialDeposit: [u128, EXISTENTIAL_DEPOSIT], MaxLocks: [u32, 50], MaxReserves: [u32, 50] },
});

export const transactionPayment = definePallet({
  name: 'TransactionPayment',
  index: 21,
  crate: 'pallet_transaction_payment::pallet',
  storage: { NextFeeMultiplier: single(u128) },
  calls: {},
  events: { TransactionFeePaid: [0, { who: AccountId, actual_fee: u128, tip: u128 }] },
  errors: [],
  constants: { OperationalFeeMultiplier: [u8, 5] },
});

export const tftPrice = definePallet({
  name: 'TFTPriceModule',
  index: 28,
  crate: 'pallet_tft_price::pallet',
  storage: {
    TftPrice: single(u32),
    AverageTftPrice: single(u32),
    MinTftPrice: single(u32),
    MaxTftPrice: single(u32),
  },
  calls: { set_prices: [0, { price: u32, block_number: u32 }] },
  events: { PriceStored: [0, [u32]], OffchainWorkerExecuted: [1, [AccountId]], AveragePriceStored: [2, [u32]] },
  errors: [
    'ErrFetchingPrice',
    'OffchainSignedTxError',
    'NoLocalAcctForSigning',
    'AccountUnauthorizedToSetPrice',
    'MaxPriceBelowMinPriceError',
    'MinPriceAboveMaxPriceError',
    'IsNotAnAuthority',
    'WrongAuthority',
  ],
  constants: {},
});

export const kvStore = definePallet({
  name: 'TFKVStore',
  index: 30,
  crate: 'pallet_kvstore::pallet',
  storage: { TFKVStore: map([AccountId, bytes], bytes) },
  calls: { set: [0, { key: bytes, value: bytes }], delete: [1, { key: bytes }] },
  events: {
    EntrySet: [0, [AccountId, bytes, bytes]],
    EntryGot: [1, [AccountId, bytes, bytes]],
    EntryTaken: [2, [AccountId, bytes, bytes]],
  },
  errors: ['NoValueStored', 'KeyIsTooLarge', 'ValueIsTooLarge'],
  constants: {},
});
