/** The runtime: its pallets, and the call and event types that span them. */
import { type Codec, type Fields, type Variants, variant } from '../scale/codec.ts';
import { contracts } from './contracts.ts';
import { balances, kvStore, tftPrice, timestamp, transactionPayment, utility } from './money.ts';
import type { PalletDefinition } from './pallet.ts';
import { system } from './system.ts';
import { tfgrid } from './tfgrid.ts';
import { marker, RuntimeCall, type RuntimeCallValue, RuntimeEvent } from './types.ts';

export const pallets: readonly PalletDefinition[] = [
  system,
  timestamp,
  utility,
  balances,
  transactionPayment,
  tfgrid,
  contracts,
  tftPrice,
  kvStore,
];

/** One pallet's call, event and error types; absent where the pallet has none. */
export interface PalletTypes {
  readonly calls?: Codec;
  readonly events?: Codec;
  readonly errors?: Codec;
}

function typesOf(pallet: PalletDefinition): PalletTypes {
  const some = (path: string, variants: Variants): Codec | undefined =>
    Object.keys(variants).length === 0 ? undefined : variant(`${pallet.crate}::${path}`, variants);
  const calls = some('Call', pallet.calls);
  const events = some('Event', pallet.events);
  const errors = some('Error', Object.fromEntries(pallet.errors.map((name, index) => [name, [index] as const])));
  return {
    ...(calls === undefined ? {} : { calls }),
    ...(events === undefined ? {} : { events }),
    ...(errors === undefined ? {} : { errors }),
  };
}

export const palletTypes: ReadonlyMap<PalletDefinition, PalletTypes> = new Map(
  pallets.map((pallet) => [pallet, typesOf(pallet)]),
);

function across(path: string, part: 'calls' | 'events'): Codec<RuntimeCallValue> {
  const variants: Record<string, readonly [number, Fields]> = {};
  for (const [pallet, types] of palletTypes) {
    const found = types[part];
    if (found !== undefined) variants[pallet.name] = [pallet.index, [found]];
  }
  return variant(path, variants) as unknown as Codec<RuntimeCallValue>;
}

RuntimeCall.resolve(across('tfchain_runtime::RuntimeCall', 'calls'));
RuntimeEvent.resolve(across('tfchain_runtime::RuntimeEvent', 'events'));

export const Runtime = marker('tfchain_runtime::Runtime');
