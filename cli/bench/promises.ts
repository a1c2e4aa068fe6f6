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

export const benchResult = z.object({
  name: z.string(),
  metrics: z.record(z.string(), z.number()),
  /** Metrics that this machine cannot measure, and what it lacks. */
  missing: z.record(z.string(), z.string()).optional(),
});
export type BenchResult = z.infer<typeof benchResult>;

export interface Judged extends Promised {
  /** `null` when the benchmark failed or has no such metric; such a promise is broken. */
  readonly value: number | null;
  readonly kept: boolean;
  /** What the machine lacks to measure it: the promise is neither kept nor broken. */
  readonly missing?: string;
}

/** `at most 60`, `at least 0.3`. */
export function boundOf({ atMost, atLeast }: Promised): string {
  return atMost === undefined ? `at least ${atLeast}` : `at most ${atMost}`;
}

/** Whether a promise that could be measured does not hold. */
export function isBroken({ kept, missing }: Judged): boolean {
  return !kept && missing === undefined;
}

/** Holds each promise against the benchmark it names. */
export function judge(promises: readonly Promised[], results: readonly BenchResult[]): Judged[] {
  return promises.map((one) => {
    const result = results.find(({ name }) => name === one.bench);
    const value = result?.metrics[one.metric];
    const missing = value === undefined ? result?.missing?.[one.metric] : undefined;
    if (missing !== undefined) return { ...one, value: null, kept: false, missing };
    if (value === undefined || Number.isNaN(value)) return { ...one, value: null, kept: false };
    return { ...one, value, kept: value <= (one.atMost ?? value) && value >= (one.atLeast ?? value) };
  });
}
