import { describe, expect, it } from 'vitest';
import { decode, encode, type Wire, WireError } from '../../modules/zbus/index.ts';
import { wiresOf } from '../../modules/zbus/interfaces.ts';
import { vectors } from '../../modules/zbus/testing/vectors.ts';
import { count64, map, str, struct, uint32, uint64 } from '../../modules/zbus/wire.ts';
import { catalogue } from './catalogue.ts';
import { fromJson, parseExact, printValue } from './notation.ts';

const wires = new Map((await catalogue()).flatMap((definition) => [...wiresOf(definition)]));
const samples = Object.entries(vectors.samples).filter(([go]) => wires.has(go));

describe('bus values as JSON', () => {
  it('has samples', () => expect(samples.length).toBeGreaterThan(50));

  it.each(samples)('%s comes back as the same bytes', (go, sample) => {
    const wire = wires.get(go) as Wire;
    const text = printValue(wire, decode(wire, Buffer.from(sample.hex, 'hex')));
    // Go's nil and empty are one in JSON lists and maps, so the second reading is the measure.
    const once = encode(wire, fromJson(wire, parseExact(text)));
    expect(printValue(wire, decode(wire, once))).toBe(text);
    if (!/c0/.test(sample.hex)) expect(once.toString('hex')).toBe(sample.hex);
  });

  it('keeps every digit of 64-bit integers', () => {
    const text = '18446744073709551615';
    expect(printValue(uint64, fromJson(uint64, parseExact(text)))).toBe(text);
    expect(fromJson(uint64, parseExact('9007199254740993'))).toBe(9007199254740993n);
    expect(() => encode(count64, fromJson(count64, parseExact('1.5')) as number)).toThrow(WireError);
  });

  it('names the field that does not fit', () => {
    const wire = struct('test.Shape', { Name: str, Sizes: map(str, uint32) });
    expect(() => fromJson(wire, { Name: 'a', Sizes: [] })).toThrow(/Sizes: \[\] where an object/);
    expect(() => fromJson(wire, { Name: 'a', Size: {} })).toThrow('test.Shape has no field Size; it has Name, Sizes');
    expect(() => fromJson(wire, { Sizes: {} })).toThrow('Name: missing; it is a string');
    expect(fromJson(wire, { Name: 'a' })).toEqual({ Name: 'a', Sizes: new Map() });
  });
});
