/** The envelope of a call: era, extensions, and what is signed. */
import type { Codec, Fields } from '../scale/codec.ts';

import {
  bytes,
  compact,
  H256,
  MultiAddress,
  MultiSignature,
  marker,
  RuntimeCall,
  tuple,
  u8,
  u32,
  u128,
  wrapper,
} from './types.ts';

/** How long a transaction may wait: for ever, or `period` blocks from a block whose number has this phase. */
export type Era =
  | { readonly kind: 'immortal' }
  | { readonly kind: 'mortal'; readonly period: number; readonly phase: number };

const mortals: ReadonlyArray<{ name: string; index: number; fields: Fields }> = Array.from(
  { length: 255 },
  (_, at) => ({
    name: `Mortal${at + 1}`,
    index: at + 1,
    fields: [u8],
  }),
);

/** One zero byte, or two bytes: log2 of the period in the low four bits, the phase in quanta above. */
export const EraCodec: Codec<Era> = {
  shape: {
    kind: 'variant',
    path: 'sp_runtime::generic::era::Era',
    variants: [{ name: 'Immortal', index: 0, fields: [] }, ...mortals],
  },
  encode: (era, out) => {
    if (era.kind === 'immortal') return out.integer(0n, 1);
    const quantum = Math.max(era.period >> 12, 1);
    const low = Math.min(15, Math.max(1, Math.log2(era.period) - 1));
    out.integer(BigInt(low | (Math.floor(era.phase / quantum) << 4)), 2);
  },
  decode: (input) => {
    const first = input.byte();
    if (first === 0) return { kind: 'immortal' };
    const both = first | (input.byte() << 8);
    const period = 2 << (both % 16);
    return { kind: 'mortal', period, phase: (both >> 4) * Math.max(period >> 12, 1) };
  },
  zero: () => ({ kind: 'immortal' }),
};

/** The block that an era begins with, seen from block `current`. */
export function eraBirth(era: { period: number; phase: number }, current: number): number {
  return Math.floor((Math.max(current, era.phase) - era.phase) / era.period) * era.period + era.phase;
}

const none = tuple();
const extension = (path: string): Codec => marker(path);

/** Signed extensions in order: name, what travels, what is only signed. */
export const signedExtensions: ReadonlyArray<readonly [identifier: string, extra: Codec, additional: Codec]> = [
  ['CheckNonZeroSender', extension('frame_system::extensions::check_non_zero_sender::CheckNonZeroSender'), none],
  ['CheckSpecVersion', extension('frame_system::extensions::check_spec_version::CheckSpecVersion'), u32],
  ['CheckTxVersion', extension('frame_system::extensions::check_tx_version::CheckTxVersion'), u32],
  ['CheckGenesis', extension('frame_system::extensions::check_genesis::CheckGenesis'), H256],
  ['CheckMortality', wrapper('frame_system::extensions::check_mortality::CheckMortality', EraCodec), H256],
  ['CheckNonce', wrapper('frame_system::extensions::check_nonce::CheckNonce', compact(u32)), none],
  ['CheckWeight', extension('frame_system::extensions::check_weight::CheckWeight'), none],
  ['ChargeTransactionPayment', wrapper('pallet_transaction_payment::ChargeTransactionPayment', compact(u128)), none],
  ['ContractIdProvides', extension('pallet_smart_contract::types::ContractIdProvides'), none],
];

/** The extrinsic as the metadata names it: bytes with four type parameters. */
export const UncheckedExtrinsic: Codec<Uint8Array> = {
  ...bytes,
  shape: {
    kind: 'composite',
    path: 'sp_runtime::generic::unchecked_extrinsic::UncheckedExtrinsic',
    params: {
      Address: MultiAddress,
      Call: RuntimeCall,
      Signature: MultiSignature,
      Extra: tuple(...signedExtensions.map(([, extra]) => extra)),
    },
    fields: [bytes],
  },
};
