/** What a pallet is made of, and the shorthand the pallet files are written in. */
import type { Codec, Fields, FieldsValue, ValueOf, Variants } from '../scale/codec.ts';
import { encode } from '../scale/codec.ts';
import { type Hasher, hashKey, toHex, twox128 } from '../scale/hashing.ts';

/** One storage item. `R` is what reading gives: the value, or the value or null. */
export interface StorageItem<K extends readonly unknown[] = readonly unknown[], V = unknown, R = V | null> {
  readonly keys: readonly Codec[];
  readonly value: Codec<V>;
  readonly optional: boolean;
  readonly hasher: Hasher;
  /** Types only. */
  readonly reads?: R;
  readonly takes?: K;
}

type KeysOf<K extends readonly Codec[]> = { [I in keyof K]: ValueOf<K[I]> };

/** One value, with its zero where nothing is stored. */
export function single<V>(value: Codec<V>): StorageItem<[], V, V> {
  return { keys: [], value, optional: false, hasher: 'blake2_128_concat' };
}

export function optional<V>(value: Codec<V>): StorageItem<[], V, V | null> {
  return { keys: [], value, optional: true, hasher: 'blake2_128_concat' };
}

/** A map that reads as its value's zero where nothing is stored. */
export function map<const K extends readonly Codec[], V>(
  keys: K,
  value: Codec<V>,
  hasher: Hasher = 'blake2_128_concat',
): StorageItem<KeysOf<K>, V, V> {
  return { keys, value, optional: false, hasher };
}

/** A map that may hold nothing for a key. */
export function optionalMap<const K extends readonly Codec[], V>(
  keys: K,
  value: Codec<V>,
): StorageItem<KeysOf<K>, V, V | null> {
  return { keys, value, optional: true, hasher: 'blake2_128_concat' };
}

/** Calls by name: index and arguments. */
export type Calls = { readonly [name: string]: readonly [index: number, args: { readonly [name: string]: Codec }] };

export interface PalletDefinition {
  readonly name: string;
  readonly index: number;
  /** Rust path of the crate, first part of the paths of its Call, Event and Error. */
  readonly crate: string;
  // biome-ignore lint/suspicious/noExplicitAny: items differ in key, value and reading type
  readonly storage: { readonly [name: string]: StorageItem<any, any, any> };
  readonly calls: Calls;
  readonly events: Variants;
  readonly errors: readonly string[];
  /** Constants by name: type and value. */
  readonly constants: { readonly [name: string]: readonly [Codec, unknown] };
}

export function definePallet<const P extends PalletDefinition>(definition: P): P {
  for (const [name, item] of Object.entries(definition.storage)) addresses.set(item, `${definition.name}.${name}`);
  return definition;
}

const addresses = new Map<StorageItem, string>();
const prefixes = new Map<StorageItem, Uint8Array>();

/** The 32 bytes that all keys of an item begin with. */
export function storagePrefix(item: StorageItem): Uint8Array {
  const known = prefixes.get(item);
  if (known !== undefined) return known;
  const [pallet, name] = (addresses.get(item) ?? '').split('.') as [string, string];
  const prefix = Buffer.concat([twox128(pallet), twox128(name)]);
  prefixes.set(item, prefix);
  return prefix;
}

/** The full storage key, hex. */
export function storageKey<K extends readonly unknown[]>(item: StorageItem<K>, keys: K): string {
  const parts = item.keys.map((codec, at) => hashKey(item.hasher, encode(codec, keys[at])));
  return toHex(Buffer.concat([storagePrefix(item), ...parts]));
}

export type CallArgs<P extends PalletDefinition, K extends keyof P['calls']> = FieldsValue<P['calls'][K][1]>;

type EventFields<E extends readonly [number, Fields?]> = E extends readonly [number, infer F extends Fields]
  ? F
  : readonly [];
export type EventValue<P extends PalletDefinition, K extends keyof P['events']> = FieldsValue<
  EventFields<P['events'][K]>
>;
