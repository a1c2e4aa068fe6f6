import { describe, expect, it } from 'vitest';
import { decode, encode, Typed, zeroOf } from './codec.ts';
import { WireError } from './errors.ts';
import { decodeRequest, decodeResponse, encodeRequest, encodeResponse, queueName } from './frames.ts';
import { fromNotation, type TypedValue, vectors, wireOf } from './testing/vectors.ts';
import * as w from './wire.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytesOf = (text: string): Uint8Array => Buffer.from(text, 'hex');

/** Order of map entries is random in Go, so entries are kept as they came and compared as a Map. */
function checkValue({ go_type, hex: bytes, value }: TypedValue): void {
  const wire = wireOf(go_type);
  const read = decode(wire, bytesOf(bytes), { raw: true });
  expect(hex(encode(wire, read))).toBe(bytes);
  if (go_type !== 'pkg.TaskResult') expect(read).toEqual(fromNotation(wire, value));
}

describe('values as Go encodes them', () => {
  it.each(Object.entries(vectors.samples))('sample %s', (go, sample) => {
    checkValue({ go_type: go, ...sample });
    const wire = wireOf(go);
    expect(hex(encode(wire, fromNotation(wire, sample.value)))).toBe(sample.hex);
    expect(hex(encode(wire, zeroOf(wire, true)))).toBe(sample.zero_hex);
  });

  it.each(vectors.frames.map((frame) => [`${frame.kind} ${frame.name}`, frame] as const))(
    'frame %s',
    (_name, frame) => {
      if (frame.kind === 'event') {
        checkValue({ ...frame, hex: frame.payload_hex });
        return;
      }
      if (frame.kind === 'request') {
        for (const arg of frame.args) checkValue(arg);
        const request = {
          id: frame.id,
          inputs: frame.args.map((arg) => new Uint8Array(bytesOf(arg.hex))),
          object: { Name: frame.object, Version: frame.version },
          replyTo: frame.reply_to,
          method: frame.method,
        };
        expect(hex(encodeRequest(request))).toBe(frame.frame_hex);
        expect(decodeRequest(bytesOf(frame.frame_hex))).toEqual(request);
        return;
      }
      for (const value of frame.returns) checkValue(value);
      const response = {
        id: frame.id,
        data: frame.data_hex === null ? null : new Uint8Array(bytesOf(frame.data_hex)),
        callError: frame.call_error === null ? undefined : { message: frame.call_error },
        protocolError: frame.protocol_error ?? undefined,
      };
      expect(hex(encodeResponse(response))).toBe(frame.frame_hex);
      expect(decodeResponse(bytesOf(frame.frame_hex))).toEqual(response);
    },
  );

  const primitives = new Map(vectors.primitives.map(({ note, hex: bytes }) => [note, bytes]));
  const ints = w.map(w.int64, w.str);
  const typed: ReadonlyArray<readonly [string, w.Wire, unknown]> = [
    ['nil', w.bytes, null],
    ['true', w.bool, true],
    ['int 127', w.int, 127],
    ['int -1', w.int64, -1n],
    ['int64 min', w.int64, -(1n << 63n)],
    ['int64 max', w.int64, (1n << 63n) - 1n],
    ['int8 -5', w.int8, -5],
    ['int16 -5', w.int16, -5],
    ['int32 -5', w.int32, -5],
    ['uint 7', w.uint, 7],
    ['uint8 7', w.uint8, 7],
    ['uint16 7', w.uint16, 7],
    ['uint32 7', w.uint32, 7],
    ['uint64 7', w.count64, 7],
    ['uint64 max', w.uint64, (1n << 64n) - 1n],
    ['float64 1', w.float64, 1],
    ['float64 1.5', w.float64, 1.5],
    ['float32 1.5', w.float32, 1.5],
    ['float64 NaN', w.float64, Number.NaN],
    ['float64 +Inf', w.float64, Number.POSITIVE_INFINITY],
    ['string len 31', w.str, 'a'.repeat(31)],
    ['string len 32', w.str, 'a'.repeat(32)],
    ['string invalid utf8 ff fe', w.str, '\udcff\udcfe'],
    ['[]byte len 0', w.bytes, new Uint8Array(0)],
    ['[]bool len 15', w.slice(w.bool), Array(15).fill(false)],
    ['[]bool len 16', w.slice(w.bool), Array(16).fill(false)],
    ['[]string{}', w.slice(w.str), []],
    ['map[string]bool{}', w.map(w.str, w.bool), new Map()],
    ['map[int]string{1:a}', ints, new Map([[1n, 'a']])],
    ['[3]byte', w.fixedBytes(3), new Uint8Array([1, 2, 3])],
    ['[2]uint16', w.slice(w.uint16), [1, 2]],
    ['time 1700000000.0', w.time, { seconds: 1700000000n, nanoseconds: 0 }],
    ['time 1700000000.000000001', w.time, { seconds: 1700000000n, nanoseconds: 1 }],
    ['time 1700000000.999999999', w.time, { seconds: 1700000000n, nanoseconds: 999999999 }],
    ['time 2^32 s', w.time, { seconds: 1n << 32n, nanoseconds: 0 }],
    ['time 2^34-1 s', w.time, { seconds: (1n << 34n) - 1n, nanoseconds: 0 }],
    ['time 2^34 s', w.time, { seconds: 1n << 34n, nanoseconds: 5 }],
    ['time 0', w.time, { seconds: 0n, nanoseconds: 0 }],
    ['time -1', w.time, { seconds: -1n, nanoseconds: 0 }],
    ['time zero value', w.time, { seconds: -62135596800n, nanoseconds: 0 }],
    ['interface{} slice mixed', w.any, [1n, 'a', null, 1.5, true, new Uint8Array([1]), new Typed(w.uint8, 3)]],
    ['map[string]interface{}', w.any, { k: 1 }],
  ];
  it.each(typed)('primitive %s', (note, wire, value) => {
    const bytes = primitives.get(note);
    expect(hex(encode(wire, value))).toBe(bytes);
    expect(hex(encode(wire, decode(wire, bytesOf(bytes ?? ''), { raw: true })))).toBe(bytes);
  });

  it.each([
    ['string', w.str, 255, (n: number) => 'a'.repeat(n), 2],
    ['string', w.str, 256, (n: number) => 'a'.repeat(n), 3],
    ['string', w.str, 65536, (n: number) => 'a'.repeat(n), 5],
    ['[]byte', w.bytes, 255, (n: number) => new Uint8Array(n), 2],
    ['[]byte', w.bytes, 65535, (n: number) => new Uint8Array(n), 3],
    ['[]byte', w.bytes, 65536, (n: number) => new Uint8Array(n), 5],
  ] as const)('%s of a length at a border of the header', (_name, wire, length, make, header) => {
    const bytes = encode(wire as w.Wire, make(length));
    expect(bytes.length).toBe(length + header);
    expect(decode(wire as w.Wire, bytes)).toEqual(make(length));
  });
});

describe('values that a type cannot hold', () => {
  const nested = w.struct('T', { Items: w.slice(w.struct('U', { Size: w.count64, Kind: w.uint8 })) });

  it.each([
    ['a fraction', w.count64, 1.5],
    ['beyond 2^53', w.count64, 2 ** 53],
    ['negative', w.count64, -1],
    ['too wide', w.uint8, 256],
    ['NaN', w.int32, Number.NaN],
    ['over 64 bits', w.uint64, 1n << 64n],
    ['a number for an id', w.uint64, 7],
    ['nothing', w.str, undefined],
    ['null for a bool', w.bool, null],
    ['null for a time', w.time, null],
    ['a Date for a time', w.time, new Date()],
    ['a short hash', w.fixedBytes(32), new Uint8Array(31)],
    ['an object for a map', w.map(w.str, w.str), {}],
    ['a function', w.any, () => 1],
  ])('refuses %s', (_name, wire, value) => {
    expect(() => encode(wire as w.Wire, value)).toThrow(WireError);
  });

  it('names the field', () => {
    const value = {
      Items: [
        { Size: 1, Kind: 1 },
        { Size: 1, Kind: 300 },
      ],
    };
    expect(() => encode(nested, value)).toThrow('Items[1].Kind: 300 does not fit uint8 (0 to 255, whole)');
  });

  it('refuses to round a 64-bit number it reads', () => {
    const large = encode(w.uint64, (1n << 53n) + 1n);
    expect(() => decode(w.count64, large)).toThrow('beyond the whole numbers');
    expect(decode(w.uint64, large)).toBe((1n << 53n) + 1n);
  });
});

describe('bytes that are no message', () => {
  it.each(['', 'c1', 'd9', 'dd7fffffff', 'df7fffffff', 'c6ffffffff00', '85a24944', 'd60501020304', 'c70003ff'])(
    'refuses %s',
    (bytes) => {
      const any = w.struct('T', { Value: w.any });
      expect(() => decode(w.any, bytesOf(bytes))).toThrow(WireError);
      expect(() => decode(any, bytesOf(`81a556616c7565${bytes}`))).toThrow(WireError);
    },
  );

  it('refuses nesting without end', () => {
    const deep = Buffer.concat([Buffer.alloc(100_000, 0x91), Buffer.from([0xc0])]);
    expect(() => decode(w.any, deep)).toThrow(WireError);
    expect(() => decode(w.opaque('T'), deep)).toThrow(WireError);
  });

  it('survives every truncation of every frame', () => {
    for (const frame of vectors.frames) {
      if (frame.kind !== 'request') continue;
      const bytes = bytesOf(frame.frame_hex);
      for (let length = 0; length < bytes.length; length += 3) {
        expect(() => decodeRequest(bytes.subarray(0, length))).toThrow(WireError);
      }
    }
  });
});

describe('frames beyond the Go library', () => {
  const request = {
    id: 'A',
    inputs: [],
    object: { Name: 'o', Version: '0.0.1' },
    replyTo: 'B',
    method: 'M',
    trace: 't-1',
    deadline: 1_700_000_000_000,
  };

  it('carries trace and deadline after the five keys', () => {
    const frame = encodeRequest(request);
    expect(frame[0]).toBe(0x87);
    expect(decodeRequest(frame)).toEqual(request);
    expect(queueName('m', request.object)).toBe('m.o@0.0.1');
    expect(queueName('m', { Name: 'o', Version: '' })).toBe('m.o');
  });

  it('ignores a trace or deadline that is not of ours', () => {
    const strange = encode(w.any, { ID: 'A', ReplyTo: 'B', Method: 'M', Trace: 7, Deadline: 'soon' });
    expect(decodeRequest(strange)).toEqual({
      id: 'A',
      inputs: [],
      object: { Name: '', Version: '' },
      replyTo: 'B',
      method: 'M',
    });
  });

  it('carries code and details of an error', () => {
    const remote = { code: 'capacity_memory', details: { requested: 5 } };
    const frame = encodeResponse({ id: 'A', data: null, callError: { message: 'no', remote } });
    expect(decodeResponse(frame).callError).toEqual({ message: 'no', remote });
  });

  it('reads an all-empty request, arrays for structs and bytes after the frame', () => {
    expect(decodeRequest(bytesOf('c0')).method).toBe('');
    expect(decodeRequest(bytesOf('95a14190929161a0a142a14d'.replace('929161a0', '92a16fa0'))).object.Name).toBe('o');
    expect(decodeRequest(Buffer.concat([encodeRequest(request), Buffer.from('junk')])).id).toBe('A');
  });
});
