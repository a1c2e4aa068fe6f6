/** Some of the points that `run.ts` hits by the hundred, as many of each phase; a failure prints the command that shows it. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { isRoot } from '../../system/test-node.ts';

const POINTS = 24;
/** Lives begin no more after it; what was begun is ended. */
const SECONDS = 130;
const DEADLINE_MS = 400_000;

interface Summary {
  readonly points: number;
  readonly hit: number;
  readonly failures: number;
}

describe.skipIf(!isRoot)('a real node', () => {
  it('keeps every promise and leaves nothing behind, wherever it is hit while a machine comes, changes and goes', {
    timeout: DEADLINE_MS,
  }, async () => {
    const words = [join(import.meta.dirname, 'run.ts'), '--count', `${POINTS}`, '--seconds', `${SECONDS}`];
    const { stdout } = await promisify(execFile)(process.execPath, words, { timeout: DEADLINE_MS }).catch(
      (failure: { stdout?: string; stderr?: string; message: string }) => {
        throw new Error(`${failure.message}\n${failure.stdout}\n${failure.stderr}`);
      },
    );
    const summary = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Summary;
    expect(summary.failures).toBe(0);
    expect(summary.points).toBeGreaterThan(300);
    expect(summary.hit).toBeGreaterThan(4);
  });
});
