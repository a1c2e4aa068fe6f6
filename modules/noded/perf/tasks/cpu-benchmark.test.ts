import { getPriority } from 'node:os';
import { describe, expect, it } from 'vitest';
import { TestClock } from '../testing/clock.ts';
import { cpuBenchmark } from './cpu-benchmark.ts';
import { CHECKSUM, mix, ROUNDS } from './cpu-work.ts';

const { signal } = new AbortController();
const clock = new TestClock('2026-01-01T00:00:00Z');

describe('the processor benchmark', { timeout: 90_000 }, () => {
  it('waits for deployments, then times work that comes to what it has to', async () => {
    const before = getPriority();
    let asked = 0;
    let done = false;
    const { run } = cpuBenchmark({ workloads: async () => 3, isBusy: async () => asked++ < 3, clock });
    const measuring = run(signal).finally(() => {
      done = true;
    });
    await clock.pass(15_000, () => done || clock.sleepers > 0 || asked === 4);
    const found = await measuring;
    expect(asked).toBe(4);
    expect(found).toEqual({
      single: expect.any(Number),
      multi: expect.any(Number),
      threads: expect.any(Number),
      workloads: 3,
    });
    const { single, multi, threads } = found as { single: number; multi: number; threads: number };
    for (const seconds of [single, multi]) {
      expect(seconds).toBeGreaterThan(0.01);
      expect(seconds).toBeLessThan(30);
    }
    expect(threads).toBeGreaterThan(0);
    expect(mix(ROUNDS)).toBe(CHECKSUM);
    expect(getPriority()).toBe(before);
  });

  it('is put off when deployments take long', async () => {
    let done = false;
    const { run } = cpuBenchmark({ workloads: async () => 0, isBusy: async () => true, clock });
    const measuring = run(signal).finally(() => {
      done = true;
    });
    measuring.catch(() => undefined);
    await clock.pass(600_000, () => done || clock.sleepers > 0);
    await expect(measuring).rejects.toThrow('deployments were being made for 120 s; put off');
  });

  it('ends its threads when it is given up', async () => {
    const { run } = cpuBenchmark({ workloads: async () => 0, isBusy: async () => false, clock });
    await expect(run(AbortSignal.timeout(20))).rejects.toThrow();
  });
});
