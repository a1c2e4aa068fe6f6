/**
 * One thread of the processor benchmark: a fixed amount of integer work, timed by the processor time
 * of this thread alone, so that waiting for busier programs is not counted as slowness.
 */
import { constants, setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';

export const ROUNDS = 40_000_000;
const WARM_UP_ROUNDS = 2_000_000;
/** What the work comes to; a thread that comes to something else has not done it. */
export const CHECKSUM = 3_002_905_795;

/** Mixes one word over and over: nothing to vectorise, no memory, no step that can be left out. */
export function mix(rounds: number): number {
  let word = 0x9e3779b9 | 0;
  for (let round = 0; round < rounds; round++) {
    word ^= word << 13;
    word ^= word >>> 17;
    word ^= word << 5;
    word = (Math.imul(word, 0x85ebca6b) + round) | 0;
  }
  return word >>> 0;
}

export interface CpuTime {
  readonly seconds: number;
  readonly checksum: number;
}

if (parentPort !== null) {
  const port = parentPort;
  // Behind everything else, yet not so far that a busy node never ends it. 0 is the calling thread;
  // on systems where it is the process, the daemon keeps its own.
  if (process.platform === 'linux') setPriority(0, constants.priority.PRIORITY_BELOW_NORMAL);
  mix(WARM_UP_ROUNDS);
  port.once('message', () => {
    const before = process.threadCpuUsage();
    const checksum = mix(ROUNDS);
    const used = process.threadCpuUsage(before);
    port.postMessage({ seconds: (used.user + used.system) / 1e6, checksum } satisfies CpuTime);
  });
  port.postMessage('ready');
}
