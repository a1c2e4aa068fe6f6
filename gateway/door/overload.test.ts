import { describe, expect, it } from 'vitest';
import { GridError } from '../../schemas/errors/index.ts';
import { Overload } from './overload.ts';

const limits = { overloadWaitMs: 20, overloadIntervalMs: 500, concurrency: 768 };
const SERVICE_MS = 1;

interface Run {
  readonly offered: number;
  readonly refused: number[];
  /** When each came that was let in, and how long it took, in milliseconds. */
  readonly passed: { readonly at: number; readonly took: number }[];
}

/** A door of one server that takes 1 ms for a request, or what `serviceMs` says, on a clock of its own. */
function run(
  overload: Overload,
  arrivals: readonly number[],
  startMs = 0,
  serviceMs: (index: number) => number = () => SERVICE_MS,
): Run {
  const result: Run = { offered: arrivals.length, refused: [], passed: [] };
  const leaving: { at: number; leave: (nowMs: number) => void; came: number }[] = [];
  let freeAt = startMs;
  const letOut = (until: number): void => {
    for (let next = leaving[0]; next !== undefined && next.at <= until; next = leaving[0]) {
      leaving.shift();
      next.leave(next.at);
      result.passed.push({ at: next.came, took: next.at - next.came });
    }
  };
  for (const [index, came] of arrivals.entries()) {
    letOut(came);
    const entered = overload.enter(came);
    if (entered instanceof GridError) {
      expect(entered.code).toBe('door_overloaded');
      result.refused.push(came);
      continue;
    }
    freeAt = Math.max(freeAt, came) + serviceMs(index);
    leaving.push({ at: freeAt, leave: entered, came });
  }
  letOut(Number.POSITIVE_INFINITY);
  return result;
}

/** So many callers that ask again when they were answered, on a clock of their own. */
function runClosed(overload: Overload, callers: number, requests: number, serviceMs = SERVICE_MS): number {
  const leaving: { at: number; leave: (nowMs: number) => void }[] = [];
  // Nothing passes until the threads that verify have started.
  let [freeAt, refused] = [100, 0];
  const ask = (now: number): void => {
    const entered = overload.enter(now);
    freeAt = Math.max(freeAt, now) + serviceMs;
    if (entered instanceof GridError) refused += 1;
    else leaving.push({ at: freeAt, leave: entered });
  };
  for (let caller = 0; caller < callers; caller += 1) ask(0);
  for (let done = 0; done < requests; done += 1) {
    const next = leaving.shift();
    next?.leave(next.at);
    ask(next?.at ?? 0);
  }
  return refused;
}

const every = (ms: number, count: number, fromMs = 0): number[] =>
  Array.from({ length: count }, (_, index) => fromMs + index * ms);

const p99 = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length * 0.99)] ?? Number.NaN;

describe('overload', () => {
  it('turns nobody away below what the door can carry, and no burst', () => {
    expect(run(new Overload(limits), every(1.1, 10_000)).refused).toEqual([]);
    const bursts = every(600, 10).flatMap((at) => Array.from({ length: 400 }, () => at));
    expect(run(new Overload(limits), bursts).refused).toEqual([]);
  });

  it('turns no caller away that waits for its answers, unless all wait longer than they have patience', () => {
    expect(runClosed(new Overload(limits), 190, 20_000)).toBe(0);
    expect(runClosed(new Overload(limits), 700, 20_000)).toBe(0);
    expect(runClosed(new Overload(limits), 200, 20_000, 10)).toBe(0);
    expect(runClosed(new Overload(limits), 700, 20_000, 6)).toBeGreaterThan(0);
  });

  it('serves a burst that can be served within 3 s, however slow the machine and however it comes', () => {
    const wholes = [0, 300, 1200].map((spread) => Array.from({ length: 200 }, (_, index) => (index * spread) / 200));
    // A client that gets the processor by turns: a quarter of its calls every half second.
    const waves = Array.from({ length: 200 }, (_, index) => 500 * Math.floor(index / 50));
    for (const arrivals of [...wholes, waves]) {
      expect(run(new Overload(limits), arrivals, 0, () => 14).refused).toEqual([]);
      // The machine does something else meanwhile.
      expect(run(new Overload(limits), arrivals, 0, (index) => (index % 50 === 0 ? 400 : 5)).refused).toEqual([]);
    }
    const several = Array.from({ length: 768 }, (_, index) => index / 2);
    expect(run(new Overload(limits), several, 0, () => 3.8).refused).toEqual([]);
  });

  it('turns nobody away whose machine stands still now and then, and who asks all at once afterwards', () => {
    const overload = new Overload(limits);
    let [now, refused] = [0, 0];
    const inside: ((nowMs: number) => void)[] = [];
    for (let step = 1; step <= 10_000; step += 1) {
      now += 10;
      inside.shift()?.(now);
      // 200 callers that are let run for two seconds of three.
      for (let missing = now % 3000 < 2000 ? 200 - inside.length : 0; missing > 0; missing -= 1) {
        const entered = overload.enter(now);
        if (entered instanceof GridError) refused += 1;
        else inside.push(entered);
      }
    }
    expect(refused).toBe(0);
  });

  it('on a slow machine turns away once more came than a burst can have, and goes on as fast as it can', () => {
    const overload = new Overload(limits);
    // 200 a second for a door that takes 100.
    const { passed, refused } = run(overload, every(5, 8000), 0, () => 10);
    expect(refused.filter((at) => at <= 768 * 5)).toEqual([]);
    expect(Math.max(...passed.map(({ took }) => took))).toBeLessThan(5000);
    const later = passed.filter(({ at }) => at > 8000).map(({ took }) => took);
    // 32 may always be inside.
    expect(p99(later)).toBeLessThanOrEqual(32 * 10);
    expect(passed.length).toBeGreaterThan(0.95 * 4000);
  });

  it('counts who finds all places taken as come', () => {
    const refused = (turnedAway: number): number => {
      const overload = new Overload(limits);
      const enter = (at: number) => {
        for (let turn = 0; turn < turnedAway; turn += 1) overload.full(at);
        return overload.enter(at);
      };
      // Two seconds of twice the load, in which 750 came that found places.
      return run({ enter } as unknown as Overload, every(3, 750), 0, () => 6).refused.length;
    };
    expect([refused(0), refused(1) > 0]).toEqual([0, true]);
  });

  it('lets in what passes in time at twice that load, and goes on at full speed', () => {
    const overload = new Overload(limits);
    const { passed, refused } = run(overload, every(SERVICE_MS / 2, 20_000));
    // The first intervals find out; then the wait is bounded.
    const later = passed.filter(({ at }) => at > 2000).map(({ took }) => took);
    expect(p99(later)).toBeLessThan(40);
    expect(later.length).toBeGreaterThan(0.95 * 8000);
    expect(refused.filter((at) => at > 2000).length).toBeGreaterThan(7000);
    expect(overload.standing).toBe(true);
  });

  it('opens again when the load has gone, and after a silence at once', () => {
    const overload = new Overload(limits);
    expect(run(overload, every(SERVICE_MS / 2, 8000)).refused.length).toBeGreaterThan(1000);
    const after = run(overload, every(2, 2000, 4000), 4000);
    expect(after.refused.filter((at) => at > 4600)).toEqual([]);
    expect(overload.standing).toBe(false);
    expect(run(overload, every(SERVICE_MS / 2, 8000, 10_000), 10_000).refused.length).toBeGreaterThan(1000);
    const burst = Array.from({ length: 300 }, () => 60_000);
    expect(run(overload, burst, 60_000).refused).toEqual([]);
  });

  it('names its numbers, and counts a request once', () => {
    const overload = new Overload(limits);
    run(overload, every(SERVICE_MS / 2, 8000));
    const entered = Array.from({ length: 1000 }, () => overload.enter(4000));
    const refusal = entered.find((one) => one instanceof GridError);
    expect(refusal?.message).toMatch(/^the node is overloaded: requests wait \d+ ms at its door, 20 ms are the limit/);
    expect(refusal?.details).toMatchObject({ limitMs: 20, retryAfterSeconds: 1 });
    const inside = entered.filter((one) => !(one instanceof GridError)).length;
    for (const leave of entered) {
      if (leave instanceof GridError) continue;
      leave(4001);
      leave(4001);
    }
    const again = Array.from({ length: 1000 }, () => overload.enter(4001)).filter((one) => !(one instanceof GridError));
    expect(again.length).toBe(inside);
  });
});
