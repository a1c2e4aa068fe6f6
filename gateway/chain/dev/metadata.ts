/** Lays the description out as metadata version 14, the form every Substrate client reads. */
import type { PalletDefinition, StorageItem } from './description/pallet.ts';
import { palletTypes, Runtime } from './description/runtime.ts';
import { system } from './description/system.ts';
import { signedExtensions, UncheckedExtrinsic } from './description/transaction.ts';
import { RuntimeCall, RuntimeEvent } from './description/types.ts';
import { Writer } from './scale/bytes.ts';
import {
  bytes,
  type Codec,
  choice,
  compact,
  encode,
  type Fields,
  option,
  type Shape,
  struct,
  text,
  tuple,
  u8,
  u32,
  type ValueOf,
  variant,
  vec,
} from './scale/codec.ts';

const typeId = compact(u32);
const docs = vec(text);

const Field = struct('Field', { name: option(text), type: typeId, type_name: option(text), docs });
const TypeDef = variant('TypeDef', {
  Composite: [0, [vec(Field)]],
  Variant: [1, [vec(struct('Variant', { name: text, fields: vec(Field), index: u8, docs }))]],
  Sequence: [2, [typeId]],
  Array: [3, [u32, typeId]],
  Tuple: [4, [vec(typeId)]],
  Primitive: [5, [choice('Primitive', 'bool', 'char', 'str', 'u8', 'u16', 'u32', 'u64', 'u128')]],
  Compact: [6, [typeId]],
});
const PortableType = struct('PortableType', {
  id: typeId,
  path: docs,
  params: vec(struct('TypeParameter', { name: text, type: option(typeId) })),
  def: TypeDef,
  docs,
});

const StorageHasher = variant('StorageHasher', { blake2_128_concat: [2], twox64_concat: [5] });
const StorageEntry = struct('StorageEntry', {
  name: text,
  modifier: choice('Modifier', 'Optional', 'Default'),
  type: variant('StorageType', { Plain: [0, [typeId]], Map: [1, [vec(StorageHasher), typeId, typeId]] }),
  fallback: bytes,
  docs,
});
const Pallet = struct('Pallet', {
  name: text,
  storage: option(struct('Storage', { prefix: text, items: vec(StorageEntry) })),
  calls: option(typeId),
  event: option(typeId),
  constants: vec(struct('Constant', { name: text, type: typeId, value: bytes, docs })),
  error: option(typeId),
  index: u8,
});
const Extrinsic = struct('Extrinsic', {
  type: typeId,
  version: u8,
  extensions: vec(struct('SignedExtension', { identifier: text, type: typeId, additional: typeId })),
});

/** A type as Rust source writes it, less its parameters. Python's client of Substrate reads no block without. */
function rustName(shape: Shape): string {
  switch (shape.kind) {
    case 'primitive':
      return shape.name;
    case 'composite':
    case 'variant':
      return shape.path.split('::').at(-1) ?? '';
    case 'sequence':
      return `Vec<${rustName(shape.of.shape)}>`;
    case 'array':
      return `[${rustName(shape.of.shape)}; ${shape.length}]`;
    case 'tuple':
      return `(${shape.of.map((of) => rustName(of.shape)).join(', ')})`;
    case 'compact':
      return `Compact<${rustName(shape.of.shape)}>`;
  }
}

/** Numbers types as they are met; a type that contains itself has its number before its parts are visited. */
class TypeTable {
  readonly #numbers = new Map<unknown, number>();
  readonly #types: Array<ValueOf<typeof PortableType> | undefined> = [];

  number(codec: Codec): number {
    const identity = codec.shape;
    const known = this.#numbers.get(identity);
    if (known !== undefined) return known;
    const id = this.#types.length;
    this.#numbers.set(identity, id);
    this.#types.push(undefined);
    const shape = codec.shape;
    const params = 'params' in shape && shape.params !== undefined ? Object.entries(shape.params) : [];
    this.#types[id] = {
      id,
      path: 'path' in shape ? shape.path.split('::') : [],
      params: params.map(([name, of]) => ({ name, type: of === null ? null : this.number(of) })),
      def: this.#definition(shape),
      docs: [],
    };
    return id;
  }

  #definition(shape: Shape): ValueOf<typeof TypeDef> {
    switch (shape.kind) {
      case 'primitive':
        return { kind: 'Primitive', value: [{ kind: shape.name }] };
      case 'composite':
        return { kind: 'Composite', value: [this.#fields(shape.fields)] };
      case 'variant':
        return {
          kind: 'Variant',
          value: [
            shape.variants.map(({ name, index, fields }) => ({ name, fields: this.#fields(fields), index, docs: [] })),
          ],
        };
      case 'sequence':
        return { kind: 'Sequence', value: [this.number(shape.of)] };
      case 'array':
        return { kind: 'Array', value: [shape.length, this.number(shape.of)] };
      case 'tuple':
        return { kind: 'Tuple', value: [shape.of.map((of) => this.number(of))] };
      case 'compact':
        return { kind: 'Compact', value: [this.number(shape.of)] };
    }
  }

  #fields(fields: Fields): Array<ValueOf<typeof Field>> {
    const named = !Array.isArray(fields);
    return Object.entries(fields).map(([name, codec]) => ({
      name: named ? name : null,
      type: this.number(codec),
      type_name: rustName(codec.shape),
      docs: [],
    }));
  }

  list(): Array<ValueOf<typeof PortableType>> {
    return this.#types as Array<ValueOf<typeof PortableType>>;
  }
}

function storageEntry(types: TypeTable, name: string, item: StorageItem): ValueOf<typeof StorageEntry> {
  const value = types.number(item.value);
  const [first] = item.keys;
  const key = item.keys.length === 1 && first !== undefined ? first : tuple(...item.keys);
  return {
    name,
    modifier: { kind: item.optional ? 'Optional' : 'Default' },
    type:
      first === undefined
        ? { kind: 'Plain', value: [value] }
        : { kind: 'Map', value: [item.keys.map(() => ({ kind: item.hasher })), types.number(key), value] },
    fallback: item.optional ? new Uint8Array([0]) : encode(item.value, item.value.zero()),
    docs: [],
  };
}

type Constants = PalletDefinition['constants'];

/** A runtime's own version is one of its constants. */
function constantsOf(pallet: PalletDefinition, specVersion: number | undefined): Constants {
  if (pallet !== system || specVersion === undefined) return pallet.constants;
  const [codec, version] = system.constants.Version;
  return { ...system.constants, Version: [codec, { ...version, spec_version: specVersion }] };
}

function describe(types: TypeTable, pallet: PalletDefinition, constants: Constants): ValueOf<typeof Pallet> {
  const own = palletTypes.get(pallet) ?? {};
  const number = (codec: Codec | undefined): number | null => (codec === undefined ? null : types.number(codec));
  const items = Object.entries(pallet.storage).map(([name, item]) => storageEntry(types, name, item));
  return {
    name: pallet.name,
    storage: items.length === 0 ? null : { prefix: pallet.name, items },
    calls: number(own.calls),
    event: number(own.events),
    constants: Object.entries(constants).map(([name, [codec, value]]) => ({
      name,
      type: types.number(codec),
      value: encode(codec, value),
      docs: [],
    })),
    error: number(own.errors),
    index: pallet.index,
  };
}

const MAGIC = new TextEncoder().encode('meta');
const VERSION = 14;

export interface MetadataOptions {
  readonly specVersion?: number;
  /** How many of the pallets' types are numbered before all else. */
  readonly shift?: number;
}

/** The metadata's bytes, from the magic word on. */
export function buildMetadata({ specVersion, shift = 0 }: MetadataOptions = {}): Uint8Array {
  const types = new TypeTable();
  const early = [...palletTypes.values()].flatMap(({ events }) => events ?? []).reverse();
  for (const codec of early.slice(0, shift)) types.number(codec);
  types.number(RuntimeCall);
  types.number(RuntimeEvent);
  const pallets = [...palletTypes.keys()].map((pallet) => describe(types, pallet, constantsOf(pallet, specVersion)));
  const extrinsic = {
    type: types.number(UncheckedExtrinsic),
    version: 4,
    extensions: signedExtensions.map(([identifier, extra, additional]) => ({
      identifier,
      type: types.number(extra),
      additional: types.number(additional),
    })),
  };
  const runtime = types.number(Runtime);

  const out = new Writer();
  out.bytes(MAGIC);
  out.bytes(new Uint8Array([VERSION]));
  vec(PortableType).encode(types.list(), out);
  vec(Pallet).encode(pallets, out);
  Extrinsic.encode(extrinsic, out);
  typeId.encode(runtime, out);
  return out.done();
}
