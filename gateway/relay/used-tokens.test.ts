import { expect, it } from 'vitest';
import { UsedTokens } from './used-tokens.ts';

const token = (text: string): Uint8Array => Buffer.from(text);

it('a token is used once, until it ends', () => {
  const used = new UsedTokens();
  expect([used.use(7, token('a'), 100, 10), used.use(7, token('a'), 100, 10)]).toEqual([true, false]);
  expect(used.use(7, token('b'), 100, 10)).toBe(true);
});

it('a twin that uses many tokens locks out nobody, and forgets but its own', () => {
  const used = new UsedTokens({ perTwin: 50, total: 120 });
  expect(used.use(1, token('quiet'), 1000, 0)).toBe(true);
  for (const twin of [2, 3, 4]) {
    for (let index = 0; index < 200; index += 1) expect(used.use(twin, token(`${twin} ${index}`), 1000, 0)).toBe(true);
  }
  expect(used.use(1, token('quiet'), 1000, 0)).toBe(false);
  expect(used.use(4, token('4 199'), 1000, 0)).toBe(false);
  expect(used.use(5, token('new'), 1000, 0)).toBe(true);
});
