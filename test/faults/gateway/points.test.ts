/** The way of a request is cut at every message; a failure prints the command that shows it. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const DEADLINE_MS = 280_000;
const SECONDS = 200;

interface Summary {
  readonly points: number;
  /** Those whose life was lived before the time was over. */
  readonly tried: number;
  readonly hit: number;
  readonly failures: number;
}

it('answers a request, runs it once and keeps what it answered, whoever on its way dies at whichever message', {
  timeout: DEADLINE_MS,
}, async () => {
  const words = [join(import.meta.dirname, 'run.ts'), '--seconds', `${SECONDS}`];
  const { stdout } = await promisify(execFile)(process.execPath, words, { timeout: DEADLINE_MS }).catch(
    (failure: { stdout?: string; stderr?: string; message: string }) => {
      throw new Error(`${failure.message}\n${failure.stdout}\n${failure.stderr}`);
    },
  );
  const summary = JSON.parse(stdout) as Summary;
  expect(summary.failures).toBe(0);
  expect(summary.points).toBeGreaterThan(70);
  expect(summary.tried).toBeGreaterThan(20);
  expect(summary.hit).toBeGreaterThan(0.9 * summary.tried);
});
