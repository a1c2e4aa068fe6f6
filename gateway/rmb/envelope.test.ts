import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GridError } from '../../schemas/errors/index.ts';
import { challenge, challengePieces } from './challenge.ts';
import {
  address,
  createEnvelope,
  decodeEnvelope,
  type Envelope,
  encodeEnvelope,
  findFieldProblem,
  formatAddress,
  parseAddress,
} from './envelope.ts';

const u32 = fc.integer({ min: 1, max: 0xffff_ffff });
const text = fc.string({ unit: 'binary', maxLength: 40 });
const bytes = fc.uint8Array({ maxLength: 80 });
const optional = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });

const anyAddress = fc
  .tuple(fc.oneof(fc.constant(0), u32), optional(text))
  .map(([twin, session]) => address(twin, session));
const anyMessage = fc.oneof(
  fc.record({ case: fc.constant('request' as const), value: fc.record({ command: text }) }),
  fc.constant({ case: 'response' as const, value: {} }),
  fc.record({
    case: fc.constant('error' as const),
    value: fc.record({ code: fc.integer({ min: 0, max: 0xffff_ffff }), message: text }),
  }),
  fc.constant({ case: 'ping' as const, value: {} }),
);
const anyPayload = fc.oneof(
  fc.record({ case: fc.constant('plain' as const), value: bytes }),
  fc.record({ case: fc.constant('cipher' as const), value: bytes }),
);

const anyEnvelope: fc.Arbitrary<Envelope> = fc
  .record({
    uid: text,
    tags: optional(text),
    timestamp: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    expiration: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    source: optional(anyAddress),
    destination: optional(anyAddress),
    message: anyMessage,
    signature: optional(bytes),
    schema: optional(text),
    federation: optional(text),
    payload: anyPayload,
    relays: fc.array(text, { maxLength: 4 }),
  })
  .map((fields) => {
    const present = Object.entries(fields).filter(([, value]) => value !== undefined);
    return createEnvelope(Object.fromEntries(present));
  });

describe('envelope bytes', () => {
  it('come back as they went', () => {
    fc.assert(
      fc.property(anyEnvelope, (envelope) => {
        expect(decodeEnvelope(encodeEnvelope(envelope))).toEqual(envelope);
      }),
    );
  });

  it('of any kind either decode or are refused with a typed error, and never hang', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
        try {
          findFieldProblem(decodeEnvelope(noise));
        } catch (error) {
          expect(error).toBeInstanceOf(GridError);
          expect((error as GridError).code).toBe('envelope_malformed');
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('that are damaged are refused or read one way only', () => {
    fc.assert(
      fc.property(anyEnvelope, fc.nat(), fc.integer({ min: 1, max: 255 }), (envelope, at, change) => {
        const bad = Uint8Array.from(encodeEnvelope(envelope));
        if (bad.length === 0) return;
        const index = at % bad.length;
        bad[index] = (bad[index] ?? 0) ^ change;
        try {
          const decoded = decodeEnvelope(bad);
          expect(decodeEnvelope(encodeEnvelope(decoded))).toEqual(decoded);
        } catch (error) {
          if (!(error instanceof GridError)) throw error;
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('with a wire type that other peers do not read are refused', () => {
    for (const text of [
      '0801',
      '0b',
      '1200130014',
      '2a0808',
      '2a020a00',
      '3a020801',
      '6a05aa',
      '00',
      '07',
      '18ffffffffffffffffff7f',
    ]) {
      expect(() => decodeEnvelope(Buffer.from(text, 'hex')), text).toThrow(GridError);
    }
  });

  it('keep fields nobody knows', () => {
    const bytesOf = Buffer.concat([encodeEnvelope(createEnvelope({ uid: 'u' })), Buffer.from('a0060f', 'hex')]);
    expect(Buffer.from(encodeEnvelope(decodeEnvelope(bytesOf)))).toEqual(bytesOf);
  });

  it('beyond the limit are not even read', () => {
    expect(() => decodeEnvelope(new Uint8Array(11), 10)).toThrow('larger than the limit of 10 bytes');
  });

  it('with texts that are not UTF-8 are refused', () => {
    expect(() => decodeEnvelope(Buffer.from('0a02c328', 'hex'))).toThrow(GridError);
  });
});

describe('the shape of an envelope', () => {
  const good = (): Envelope =>
    createEnvelope({
      uid: 'u',
      timestamp: 1_700_000_000n,
      expiration: 60n,
      source: address(7),
      destination: address(17, 'x'),
      message: { case: 'request', value: { command: 'zos.x' } },
      payload: { case: 'plain', value: new Uint8Array() },
    });
  const table: [field: string, change: (envelope: Envelope) => void][] = [
    ['uid', (e) => Object.assign(e, { uid: '' })],
    ['uid', (e) => Object.assign(e, { uid: 'a\nb' })],
    ['uid', (e) => Object.assign(e, { uid: 'x'.repeat(129) })],
    ['source', (e) => Object.assign(e, { source: undefined })],
    ['source', (e) => Object.assign(e, { source: address(0) })],
    ['source.connection', (e) => Object.assign(e, { source: address(7, '\u0000') })],
    ['destination', (e) => Object.assign(e, { destination: address(0, 'x') })],
    ['message', (e) => Object.assign(e, { message: { case: undefined } })],
    ['request.command', (e) => Object.assign(e, { message: { case: 'request', value: { command: 'a\u007f' } } })],
    ['timestamp', (e) => Object.assign(e, { timestamp: 0n })],
    ['timestamp', (e) => Object.assign(e, { timestamp: 1_700_000_000_000n })],
    ['expiration', (e) => Object.assign(e, { expiration: 2n ** 63n })],
    ['relays', (e) => Object.assign(e, { relays: Array(17).fill('r') })],
    ['tags', (e) => Object.assign(e, { tags: 'x'.repeat(1025) })],
  ];
  it('passes when it is a peer’s', () => expect(findFieldProblem(good())).toBeUndefined());
  for (const [index, [field, change]] of table.entries()) {
    it(`${index}: names ${field}`, () => {
      const envelope = good();
      change(envelope);
      expect(findFieldProblem(envelope)?.details.field).toBe(field);
    });
  }

  it('has a challenge that is the hash of its pieces', () => {
    fc.assert(
      fc.property(anyEnvelope, (envelope) => {
        if (envelope.source === undefined || envelope.destination === undefined) return;
        const pieces = Buffer.concat(challengePieces(envelope).map(({ bytes }) => bytes));
        expect(Buffer.from(challenge(envelope))).toEqual(createHash('md5').update(pieces).digest());
      }),
    );
  });

  it('without addresses has no challenge', () => {
    expect(() => challenge(createEnvelope({ uid: 'u' }))).toThrow('source');
  });
});

describe('addresses', () => {
  it('come back as they went', () => {
    fc.assert(
      fc.property(u32, optional(text), (twin, session) => {
        expect(parseAddress(formatAddress(address(twin, session)))).toEqual(address(twin, session));
      }),
    );
  });
});
