import { describe, expect, it } from 'vitest';
import { decode, encode, zeroOf } from './codec.ts';
import { findInterfaces, wiresOf } from './interfaces.ts';
import { fromNotation, vectors, wireOf } from './testing/vectors.ts';
import type { Wire } from './wire.ts';

const root = new URL('../..', import.meta.url).pathname;
const found = await findInterfaces(root);
const wires = new Map(found.flatMap(({ definition }) => [...wiresOf(definition)]));

/** A wire type without what only TypeScript cares about: how 64-bit integers are carried. */
function shape(wire: Wire): unknown {
  switch (wire.kind) {
    case 'struct':
      return { go: wire.go, fields: wire.fields.map(([name, of]) => [name, shape(of)]) };
    case 'slice':
      return { go: wire.go, of: shape(wire.of) };
    case 'pointer':
      return { go: wire.go, to: shape(wire.to) };
    case 'map':
      return { go: wire.go, key: shape(wire.key), value: shape(wire.value) };
    case 'fixed':
      return { go: wire.go, length: wire.length };
    default:
      return { go: wire.go, kind: wire.kind };
  }
}

describe('interfaces of this tree against those of the Go node', () => {
  it('finds them', () => {
    expect(found.length).toBeGreaterThanOrEqual(20);
  });

  const gos = found.filter(({ definition }) => definition.version === '0.0.1');
  const ours = found.filter(({ definition }) => definition.version !== '0.0.1');

  it.each(ours.map(({ definition }) => [`${definition.module}.${definition.object}`, definition]))(
    '%s is ours alone and takes no name of a Go object',
    (name) => {
      expect(vectors.schema.objects.map(({ module, object }) => `${module}.${object}`)).not.toContain(name);
    },
  );

  it.each(gos.map(({ file, definition }) => [`${definition.module}.${definition.object} (${file})`, definition]))(
    '%s',
    (_name, definition) => {
      const schema = vectors.schema.objects.find(
        (entry) => entry.module === definition.module && entry.object === definition.object,
      );
      expect(schema?.version).toBe(definition.version);
      const methods = Object.entries(definition.methods).map(([name, method]) => [
        name,
        {
          args: Object.entries(method.args).map(([arg, wire]) => ({ name: arg, type: wire.go })),
          variadic: method.variadic !== undefined,
          returns: method.returns.map((wire) => wire.go),
          returns_error: method.fails,
        },
      ]);
      const expected = Object.entries(schema?.methods ?? {}).map(([name, method]) => [
        name,
        {
          args: method.args,
          variadic: method.variadic,
          returns: method.returns,
          returns_error: method.returns_error,
        },
      ]);
      expect(Object.fromEntries(methods)).toEqual(Object.fromEntries(expected));
      const streams = Object.entries(definition.streams).map(([name, wire]) => [name, wire.go]);
      const expectedStreams = Object.entries(schema?.streams ?? {}).map(([name, { type }]) => [name, type]);
      expect(Object.fromEntries(streams)).toEqual(Object.fromEntries(expectedStreams));
      for (const [go, wire] of wiresOf(definition)) expect(shape(wire)).toEqual(shape(wireOf(go)));
      for (const method of Object.values(definition.methods)) {
        if (typeof method.order === 'object') expect(method.args).toHaveProperty([method.order.by.split('.')[0] ?? '']);
        if (method.variadic !== undefined) expect(Object.keys(method.args).at(-1)).toBe(method.variadic);
      }
    },
  );

  const sampled = Object.entries(vectors.samples).filter(([go]) => wires.has(go));
  it('has samples for most types', () => {
    expect(sampled.length).toBeGreaterThanOrEqual(45);
  });

  it.each(sampled)('type %s encodes as Go does', (go, sample) => {
    const wire = wires.get(go) as Wire;
    const value = fromNotation(wire, sample.value);
    const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
    expect(hex(encode(wire, value))).toBe(sample.hex);
    expect(decode(wire, Buffer.from(sample.hex, 'hex'))).toEqual(value);
    expect(hex(encode(wire, zeroOf(wire, true)))).toBe(sample.zero_hex);
  });

  it('decodes every captured frame of these types', () => {
    let count = 0;
    for (const frame of vectors.frames) {
      const values =
        frame.kind === 'request'
          ? frame.args
          : frame.kind === 'response'
            ? frame.returns
            : [{ go_type: frame.go_type, hex: frame.payload_hex, value: frame.value }];
      for (const { go_type, hex, value } of values) {
        const wire = wires.get(go_type);
        if (wire === undefined || go_type === 'pkg.TaskResult') continue;
        const read = decode(wire, Buffer.from(hex, 'hex'), { raw: true });
        expect(read).toEqual(fromNotation(wire, value));
        expect(Buffer.from(encode(wire, read)).toString('hex')).toBe(hex);
        count++;
      }
    }
    expect(count).toBeGreaterThanOrEqual(45);
  });
});
