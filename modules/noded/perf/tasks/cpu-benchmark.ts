/** `cpu-benchmark`: seconds of a fixed work on one thread and on all of them, at a low priority. */
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Clock } from '../clock.ts';
import type { Task } from '../task.ts';
import { CHECKSUM, type CpuTime } from './cpu-work.ts';

const WORK = fileURLToPath(new URL('./cpu-work.ts', import.meta.url));
/** Threads beyond this say nothing more, and cost memory. */
const MAX_THREADS = 512;
const BUSY_POLL_MS = 5_000;
/** How long a run waits for deployments to settle before it is put off. */
const BUSY_WAIT_MS = 120_000;

export interface CpuBenchmarkOptions {
  /** Workloads the node has now. */
  readonly workloads: (signal: AbortSignal) => Promise<number>;
  /** Whether a deployment is being made now, which the benchmark must not slow down. */
  readonly isBusy: (signal: AbortSignal) => Promise<boolean>;
  readonly clock: Clock;
}

export function cpuBenchmark({ workloads, isBusy, clock }: CpuBenchmarkOptions): Task {
  return {
    name: 'cpu-benchmark',
    description: 'Seconds of processor time for a fixed work, on one thread and on every thread at once',
    schedule: '0 0 */6 * * *',
    jitterSeconds: 0,
    firstAfterSeconds: 120,
    deadlineMs: BUSY_WAIT_MS + 180_000,
    isHeavy: true,
    run: async (signal) => {
      for (let waited = 0; await isBusy(signal); waited += BUSY_POLL_MS) {
        if (waited >= BUSY_WAIT_MS)
          throw new Error(`deployments were being made for ${BUSY_WAIT_MS / 1000} s; put off`);
        await clock.sleep(BUSY_POLL_MS, signal);
      }
      const threads = Math.min(availableParallelism(), MAX_THREADS);
      const single = await measure(1, signal);
      const multi = await measure(threads, signal);
      return { single, multi, threads, workloads: await workloads(signal) };
    },
  };
}

/** Seconds that the slowest of `threads` threads needs for the work while all of them do it. */
async function measure(threads: number, signal: AbortSignal): Promise<number> {
  const workers = Array.from(
    { length: threads },
    () =>
      new Worker(WORK, {
        execArgv: ['--disable-warning=ExperimentalWarning'],
        resourceLimits: { maxOldGenerationSizeMb: 16 },
      }),
  );
  try {
    // Together from here on: none is timed while others still load.
    await Promise.all(workers.map((worker) => once(worker, 'message', { signal })));
    const times = await Promise.all(
      workers.map(async (worker): Promise<CpuTime> => {
        const done = once(worker, 'message', { signal });
        worker.postMessage('go');
        return (await done)[0] as CpuTime;
      }),
    );
    for (const { checksum } of times) {
      if (checksum !== CHECKSUM) throw new Error(`a thread came to ${checksum} instead of ${CHECKSUM}`);
    }
    return Math.round(Math.max(...times.map(({ seconds }) => seconds)) * 1000) / 1000;
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}
