import fc from 'fast-check';
import { expect, it } from 'vitest';
import { decodeGoString, encodeGoString } from './gostring.ts';

it('keeps every byte, valid UTF-8 or not', { timeout: 60_000 }, () => {
  const pieces = fc.oneof(
    fc.uint8Array({ maxLength: 12 }),
    fc.string({ unit: 'binary' }).map((text) => new TextEncoder().encode(text)),
    fc.constantFrom('efbfbd', 'f09f98', 'c0af', 'eda080', 'f4908080').map((hex) => Buffer.from(hex, 'hex')),
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 5 }), (parts) => {
      const bytes = Buffer.concat(parts);
      expect(encodeGoString(decodeGoString(bytes)).equals(bytes)).toBe(true);
    }),
    { numRuns: 2_000, endOnFailure: true },
  );
});

it('reads valid UTF-8 as the text it is', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(decodeGoString(Buffer.from(text, 'utf8'))).toBe(text);
    }),
  );
});
