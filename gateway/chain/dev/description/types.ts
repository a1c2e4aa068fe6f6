/** Types that every pallet uses. */
import type { Codec } from '../scale/codec.ts';
import {
  boundedBytes,
  bytes,
  choice,
  compact,
  deferred,
  fixed,
  marker,
  option,
  struct,
  tuple,
  u8,
  u16,
  u32,
  u64,
  u128,
  type ValueOf,
  variant,
  vec,
  wrapper,
} from '../scale/codec.ts';

export {
  boundedBytes,
  bytes,
  choice,
  compact,
  fixed,
  marker,
  option,
  struct,
  tuple,
  u8,
  u16,
  u32,
  u64,
  u128,
  variant,
  vec,
  wrapper,
};

export const AccountId = wrapper('sp_core::crypto::AccountId32', fixed(32));
export const H256 = wrapper('primitive_types::H256', fixed(32));

/** Clients send the plain account id; the other forms exist on the wire and are refused at dispatch. */
export const MultiAddress = variant(
  'sp_runtime::multiaddress::MultiAddress',
  {
    Id: [0, [AccountId]],
    Index: [1, [compact(u32)]],
    Raw: [2, [bytes]],
    Address32: [3, [fixed(32)]],
    Address20: [4, [fixed(20)]],
  },
  { AccountId, AccountIndex: tuple() },
);

export const MultiSignature = variant('sp_runtime::MultiSignature', {
  Ed25519: [0, [wrapper('sp_core::ed25519::Signature', fixed(64))]],
  Sr25519: [1, [wrapper('sp_core::sr25519::Signature', fixed(64))]],
  Ecdsa: [2, [wrapper('sp_core::ecdsa::Signature', fixed(65))]],
});

export const Weight = struct('sp_weights::weight_v2::Weight', { ref_time: compact(u64), proof_size: compact(u64) });

export const DispatchClass = choice('frame_support::dispatch::DispatchClass', 'Normal', 'Operational', 'Mandatory');
export const Pays = choice('frame_support::dispatch::Pays', 'Yes', 'No');
export const DispatchInfo = struct('frame_support::dispatch::DispatchInfo', {
  weight: Weight,
  class: DispatchClass,
  pays_fee: Pays,
});

export const ModuleError = struct('sp_runtime::ModuleError', { index: u8, error: fixed(4) });
export const TokenError = choice(
  'sp_runtime::TokenError',
  'FundsUnavailable',
  'OnlyProvider',
  'BelowMinimum',
  'CannotCreate',
  'UnknownAsset',
  'Frozen',
  'Unsupported',
  'CannotCreateHold',
  'NotExpendable',
  'Blocked',
);

export const DispatchError = variant('sp_runtime::DispatchError', {
  Other: [0],
  CannotLookup: [1],
  BadOrigin: [2],
  Module: [3, [ModuleError]],
  ConsumerRemaining: [4],
  NoProviders: [5],
  TooManyConsumers: [6],
  Token: [7, [TokenError]],
  Arithmetic: [8, [choice('sp_arithmetic::ArithmeticError', 'Underflow', 'Overflow', 'DivisionByZero')]],
  Transactional: [9, [choice('sp_runtime::TransactionalError', 'LimitReached', 'NoLayer')]],
  Exhausted: [10],
  Corruption: [11],
  Unavailable: [12],
  RootNotAllowed: [13],
});
export type DispatchErrorValue = ValueOf<typeof DispatchError>;

const nothing = tuple();
export const DispatchResult = variant(
  'Result',
  { Ok: [0, [nothing]], Err: [1, [DispatchError]] },
  { T: nothing, E: DispatchError },
);

/** A call as the dispatcher sees it: pallet, then method with named arguments. */
export interface RuntimeCallValue {
  readonly kind: string;
  readonly value: readonly [{ readonly kind: string; readonly value: unknown }];
}

/** Given its meaning in `runtime.ts`, since calls of the utility pallet contain calls. */
export const RuntimeCall: Codec<RuntimeCallValue> & { resolve(target: Codec<RuntimeCallValue>): void } = deferred();
export const RuntimeEvent: Codec<RuntimeCallValue> & { resolve(target: Codec<RuntimeCallValue>): void } = deferred();

export const DigestItem = variant('sp_runtime::generic::digest::DigestItem', {
  PreRuntime: [6, [fixed(4), bytes]],
  Consensus: [4, [fixed(4), bytes]],
  Seal: [5, [fixed(4), bytes]],
  Other: [0, [bytes]],
  RuntimeEnvironmentUpdated: [8],
});
export const Digest = struct('sp_runtime::generic::digest::Digest', { logs: vec(DigestItem) });
