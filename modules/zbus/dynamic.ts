/** Values of `interface{}`: the message alone tells their type. */
import { WireError } from './errors.ts';
import { TIME_EXTENSION, timeOfExtension } from './gotime.ts';
import type { Reader } from './reader.ts';
import { Typed } from './typed.ts';
import { float32, int8, int16, int32, int64, time, uint8, uint16, uint32, uint64, type Wire } from './wire.ts';

const MAX_DEPTH = 512;

/** `raw` keeps the widths of numbers as `Typed`, so that the value can be sent on unchanged. */
export function decodeAny(reader: Reader, raw: boolean, depth = 0): unknown {
  if (depth > MAX_DEPTH) throw new WireError(`the message is nested more than ${MAX_DEPTH} deep`);
  const code = reader.peek();
  switch (reader.family()) {
    case 'nil':
      reader.nil();
      return null;
    case 'bool':
      return reader.bool();
    case 'int': {
      const value = reader.integer();
      if (raw) return new Typed(INTEGERS[code] ?? int8, value);
      return typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value;
    }
    case 'float': {
      const value = reader.float();
      return raw && code === 0xca ? new Typed(float32, value) : value;
    }
    case 'str':
      return reader.string();
    case 'bin':
      return new Uint8Array(reader.blob('bytes'));
    case 'array': {
      const items: unknown[] = [];
      for (let left = reader.elements(reader.arrayLength()); left > 0; left--)
        items.push(decodeAny(reader, raw, depth + 1));
      return items;
    }
    case 'map':
      return decodeAnyMap(reader, raw, depth);
    case 'ext': {
      const { type, data } = reader.extension();
      if (type !== TIME_EXTENSION) throw new WireError(`unknown extension ${type}`);
      const value = timeOfExtension(data);
      return raw ? new Typed(time, value) : value;
    }
    case 'never':
      throw reader.unexpected('a value');
  }
}

const INTEGERS: Readonly<Record<number, Wire>> = {
  204: uint8,
  205: uint16,
  206: uint32,
  207: uint64,
  208: int8,
  209: int16,
  210: int32,
  211: int64,
};

/** String keys give an object, keys of one other type a Map; mixed keys are refused, as Go does. */
function decodeAnyMap(reader: Reader, raw: boolean, depth: number): unknown {
  const entries: Array<[unknown, unknown]> = [];
  let first: string | undefined;
  for (let left = reader.elements(reader.mapLength()); left > 0; left--) {
    const family = reader.family();
    const kind = family === 'bin' ? 'str' : family;
    first ??= kind;
    if (kind !== first) throw new WireError(`a map with keys of mixed types (${first} and ${kind})`);
    const key = kind === 'str' ? reader.string() : decodeAny(reader, raw, depth + 1);
    entries.push([key, decodeAny(reader, raw, depth + 1)]);
  }
  return first === undefined || first === 'str' ? Object.fromEntries(entries) : new Map(entries);
}
