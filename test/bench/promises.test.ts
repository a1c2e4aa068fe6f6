import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { boundOf, isBroken, judge, type Promised, promiseList } from '../../cli/bench/promises.ts';

const promises = promiseList.parse(JSON.parse(await readFile(join(import.meta.dirname, 'promises.json'), 'utf8')));

/** Cells of the table's rows, without head and line. */
async function specification(): Promise<string[][]> {
  const text = await readFile(join(import.meta.dirname, '../../SPECIFICATION.md'), 'utf8');
  const rows = text.split('\n').filter((line) => line.startsWith('|'));
  return rows.slice(2).map((row) =>
    row
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
}

describe('promises', () => {
  it('are the ones of SPECIFICATION.md, in its order', async () => {
    const rows = promises.map((one) => [one.promise, boundOf(one), `\`${one.bench}\` \`${one.metric}\``]);
    expect(await specification()).toEqual(rows);
  });

  it('name a benchmark that exists and measures what they name', async () => {
    const files = await readdir(import.meta.dirname);
    for (const { bench, metric } of promises) {
      expect(files).toContain(`${bench}.ts`);
      const source = await readFile(join(import.meta.dirname, `${bench}.ts`), 'utf8');
      // A metric's name may be made of parts, as `ed25519_` and `_ratio`.
      const words = metric.split('_').filter((word) => !/\d/.test(word));
      expect(words.filter((word) => !source.includes(word))).toEqual([]);
    }
  });

  it('are each made once', () => {
    const keys = promises.map(({ bench, metric }) => `${bench} ${metric}`);
    expect(keys).toEqual([...new Set(keys)]);
  });

  it('are kept at the bound, and broken beyond it or without a value', () => {
    const below: Promised = { bench: 'demo', metric: 'total', atMost: 60, promise: 'quick' };
    const above: Promised = { bench: 'zbus', metric: 'ratio', atLeast: 0.5, promise: 'cheap' };
    const kept = (promise: Promised, metrics: Record<string, number>): boolean | undefined =>
      judge([promise], [{ name: promise.bench, metrics }])[0]?.kept;
    expect([59, 60, 61].map((total) => kept(below, { total }))).toEqual([true, true, false]);
    expect([0.4, 0.5, 0.6].map((ratio) => kept(above, { ratio }))).toEqual([false, true, true]);
    expect(kept(below, { other: 1 })).toBe(false);
    expect(kept(below, { total: Number.NaN })).toBe(false);
    expect(judge([below], [])[0]).toMatchObject({ value: null, kept: false });
  });

  it('are neither kept nor broken where the machine lacks what measures them', () => {
    const promise: Promised = { bench: 'rmb', metric: 'go_ratio', atLeast: 2, promise: 'quicker' };
    const missing = { go_ratio: 'needs Go' };
    const [without] = judge([promise], [{ name: 'rmb', metrics: {}, missing }]);
    expect(without).toMatchObject({ value: null, kept: false, missing: 'needs Go' });
    expect(without && isBroken(without)).toBe(false);
    const [measured] = judge([promise], [{ name: 'rmb', metrics: { go_ratio: 1 }, missing }]);
    expect(measured && isBroken(measured)).toBe(true);
  });

  it('have one bound each', () => {
    const bare = { bench: 'demo', metric: 'total', promise: 'quick' };
    expect(promiseList.safeParse([bare]).success).toBe(false);
    expect(promiseList.safeParse([{ ...bare, atMost: 1, atLeast: 1 }]).success).toBe(false);
  });
});
