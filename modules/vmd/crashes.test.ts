import { expect, it } from 'vitest';
import { CRASH_POLICY, judgeCrash } from './crashes.ts';

it('restarts three times and gives up at the fourth crash', () => {
  let crashes: readonly number[] = [];
  const waits: (number | undefined)[] = [];
  for (let step = 0; step < 4; step += 1) {
    const verdict = judgeCrash(crashes, 1_000_000 + step * 1000, CRASH_POLICY);
    crashes = verdict.crashes;
    waits.push(verdict.restartInMs);
  }
  expect(waits).toEqual([...CRASH_POLICY.backOffMs, undefined]);
});

it('counts in a window that slides with each crash', () => {
  const policy = { windowMs: 100, backOffMs: [1, 2] };
  let crashes: readonly number[] = [];
  for (const at of [0, 60, 120, 180, 240]) {
    const verdict = judgeCrash(crashes, at, policy);
    crashes = verdict.crashes;
    expect(verdict.restartInMs).toBe(at === 0 ? 1 : 2);
  }
  expect(judgeCrash(crashes, 250, policy).restartInMs).toBeUndefined();
});

it('does not count crashes from a future that a clock change made', () => {
  expect(judgeCrash([5000, 6000, 7000], 10, CRASH_POLICY).crashes).toEqual([10]);
});
