/** The points that CI hits: evenly from all, in processes of their own; a failure prints the command that shows it. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'vitest';

/** In all shares together. */
const POINTS = 5_200;
const DOUBLED = 400;
const SHARES = 4;
export const SHARE_DEADLINE_MS = 280_000;
const GIVE_UP_SECONDS = 240;

interface Summary {
  readonly points: number;
  readonly chosen: number;
  readonly hit: number;
  readonly left: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly failures: number;
}

async function run(...args: readonly string[]): Promise<Summary> {
  const words = [join(import.meta.dirname, 'run.ts'), ...args, '--seconds', `${GIVE_UP_SECONDS}`];
  const { stdout } = await promisify(execFile)(process.execPath, words, { timeout: SHARE_DEADLINE_MS }).catch(
    (failure: { stdout?: string; stderr?: string; message: string }) => {
      throw new Error(`${failure.message}\n${failure.stdout}\n${failure.stderr}`);
    },
  );
  return JSON.parse(stdout) as Summary;
}

/** One share of the points, counted from 1. */
export async function expectPromisesKept(share: number): Promise<void> {
  const summary = await run('--count', `${POINTS}`, '--share', `${share}/${SHARES}`);
  expect(summary.failures).toBe(0);
  expect(summary.points).toBeGreaterThan(10_000);
  expect(summary.chosen).toBe(POINTS / SHARES);
  expectHit(summary);
  // Points that all are hit in one way would show little.
  expect(Object.keys(summary.faults).length).toBeGreaterThan(14);
}

/** Those that kill, killed again while the first is mended. */
export async function expectPromisesKeptTwice(): Promise<void> {
  const summary = await run('--doubled', '--count', `${DOUBLED}`);
  expect(summary.failures).toBe(0);
  expectHit(summary);
}

/** A machine that is slower than another has its time over before all of them. */
function expectHit({ chosen, hit, left }: Summary): void {
  const tried = chosen - left;
  expect(tried).toBeGreaterThan(chosen / 4);
  // What a machine that is busier than another does in another order does not come by.
  expect(hit).toBeGreaterThan(0.9 * tried);
}
