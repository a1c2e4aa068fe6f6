/** System: accounts, block facts, events. */

import { text } from '../scale/codec.ts';
import { definePallet, map, optional, single } from './pallet.ts';
import {
  AccountId,
  bytes,
  compact,
  Digest,
  DispatchError,
  DispatchInfo,
  fixed,
  H256,
  RuntimeEvent,
  struct,
  tuple,
  u8,
  u16,
  u32,
  u64,
  u128,
  variant,
  vec,
} from './types.ts';

const AccountData = struct('pallet_balances::types::AccountData', {
  free: u128,
  reserved: u128,
  frozen: u128,
  flags: u128,
});
export const AccountInfo = struct('frame_system::AccountInfo', {
  nonce: u32,
  consumers: u32,
  providers: u32,
  sufficients: u32,
  data: AccountData,
});

const Phase = variant('frame_system::Phase', { ApplyExtrinsic: [0, [u32]], Finalization: [1], Initialization: [2] });
export const EventRecord = struct(
  'frame_system::EventRecord',
  { phase: Phase, event: RuntimeEvent, topics: vec(H256) },
  { E: RuntimeEvent, T: H256 },
);

const RuntimeVersion = struct('sp_version::RuntimeVersion', {
  spec_name: text,
  impl_name: text,
  authoring_version: u32,
  spec_version: u32,
  impl_version: u32,
  apis: vec(tuple(fixed(8), u32)),
  transaction_version: u32,
  state_version: u8,
});

const LastRuntimeUpgrade = struct('frame_system::LastRuntimeUpgradeInfo', {
  spec_version: compact(u32),
  spec_name: text,
});

export const runtimeVersion = {
  spec_name: 'substrate-threefold',
  impl_name: 'substrate-threefold',
  authoring_version: 1,
  spec_version: 152,
  impl_version: 1,
  transaction_version: 2,
  state_version: 0,
} as const;

export const system = definePallet({
  name: 'System',
  index: 0,
  crate: 'frame_system::pallet',
  storage: {
    Account: map([AccountId], AccountInfo),
    Number: single(u32),
    ParentHash: single(H256),
    BlockHash: map([u32], H256, 'twox64_concat'),
    Digest: single(Digest),
    Events: single(vec(EventRecord)),
    EventCount: single(u32),
    ExtrinsicCount: optional(u32),
    LastRuntimeUpgrade: optional(LastRuntimeUpgrade),
  },
  calls: { remark: [0, { remark: bytes }], remark_with_event: [7, { remark: bytes }] },
  events: {
    ExtrinsicSuccess: [0, { dispatch_info: DispatchInfo }],
    ExtrinsicFailed: [1, { dispatch_error: DispatchError, dispatch_info: DispatchInfo }],
    CodeUpdated: [2],
    NewAccount: [3, { account: AccountId }],
    KilledAccount: [4, { account: AccountId }],
    Remarked: [5, { sender: AccountId, hash: H256 }],
  },
  errors: [
    'InvalidSpecName',
    'SpecVersionNeedsToIncrease',
    'FailedToExtractRuntimeVersion',
    'NonDefaultComposite',
    'NonZeroRefCount',
    'CallFiltered',
  ],
  constants: {
    BlockHashCount: [u32, 2400],
    DbWeight: [
      struct('sp_weights::RuntimeDbWeight', { read: u64, write: u64 }),
      { read: 25_000_000n, write: 100_000_000n },
    ],
    Version: [RuntimeVersion, { ...runtimeVersion, apis: [] }],
    SS58Prefix: [u16, 42],
  },
});
