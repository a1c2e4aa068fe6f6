import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { md5, md5Hex } from './md5.ts';

it('is the MD5 of the platform', () => {
  const platform = (input: string | Uint8Array) => createHash('md5').update(input).digest('hex');
  for (let length = 0; length < 200; length++) expect(md5Hex('a'.repeat(length))).toBe(platform('a'.repeat(length)));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(Buffer.from(md5(bytes)).toString('hex')).toBe(platform(bytes));
    }),
  );
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      expect(md5Hex(text)).toBe(platform(text));
    }),
  );
});

it('hashes a mebibyte fast', () => {
  const bytes = new Uint8Array(1024 * 1024);
  const start = process.cpuUsage();
  expect(md5Hex(bytes)).toBe('b6d81b360a5672d80c27430f39153e2c');
  const { user, system } = process.cpuUsage(start);
  expect((user + system) / 1000).toBeLessThan(1000);
});
