/** What the benchmarks are held to: test/bench/promises.json, shown in SPECIFICATION.md. */
import { z } from 'zod';

const promise = z
  .strictObject({
    /** A file of test/bench without its ending. */
    bench: z.string(),
    metric: z.string(),
    atMost: z.number().optional(),
    atLeast: z.number().optional(),
    /** The promise in words, as SPECIFICATION.md has it. */
    promise: z.string(),
  })
  .refine(({ atMost, atLeast }) => (atMost === undefined) !== (atLeast === undefined), {
    error: 'a promise has one bound, atMost or atLeast',
  });
export type Promised = z.infer<typeof promise>;

export const promiseList = z.array(promise).nonempty();

export const benchResult = z.object({ name: z.string(), metrics: z.record(z.string(), z.number()) });
export type BenchResult = z.infer<typeof benchResult>;

export interface Judged extends Promised {
  /** `null` when the benchmark failed or has no such metric; such a promise is broken. */
  readonly value: number | null;
  readonly kept: boolean;
}

/** `at most 60`, `at least 0.3`. */
export function boundOf({ atMost, atLeast }: Promised): string {
  return atMost === undefined ? `at least ${atLeast}` : `at most ${atMost}`;
}

/** Holds each promise against the benchmark it names. */
export function judge(promises: readonly Promised[], results: readonly BenchResult[]): Judged[] {
  return promises.map((one) => {
    const value = results.find(({ name }) => name === one.bench)?.metrics[one.metric];
    if (value === undefined || Number.isNaN(value)) return { ...one, value: null, kept: false };
    return { ...one, value, kept: value <= (one.atMost ?? value) && value >= (one.atLeast ?? value) };
  });
}
