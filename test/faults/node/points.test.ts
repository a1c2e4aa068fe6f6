/** A share of the points that `run.ts` hits by the thousand; a failure prints the command that shows it. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

interface Summary {
  readonly points: number;
  readonly hit: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly failures: number;
}

it('keeps every promise and leaves nothing behind, wherever the node is hit', async () => {
  const args = [join(import.meta.dirname, 'run.ts'), '--count', '400', '--seconds', '25'];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 170_000 }).catch(
    (failure: { stdout?: string; stderr?: string; message: string }) => {
      throw new Error(`${failure.message}\n${failure.stdout}\n${failure.stderr}`);
    },
  );
  const summary = JSON.parse(stdout) as Summary;
  expect(summary.failures).toBe(0);
  expect(summary.points).toBeGreaterThan(3_000);
  expect(summary.hit).toBeGreaterThan(100);
  // Points that all are hit in one way would show little.
  expect(Object.keys(summary.faults).length, stdout).toBeGreaterThan(6);
}, 180_000);
