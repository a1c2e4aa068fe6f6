/** A share of the faults that `run.ts` puts in random order by the thousand; a failure prints its seed. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const SECONDS = 12;

interface Summary {
  readonly interleavings: number;
  readonly ends: Readonly<Record<string, number>>;
  readonly failures: number;
}

it('every call ends once, runs once at most and leaves nothing behind, whatever breaks meanwhile', async () => {
  const script = join(import.meta.dirname, 'run.ts');
  const args = [script, '--count', '400', '--seconds', `${SECONDS}`, '--worlds', '4'];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 120_000 }).catch(
    (failure: { stdout?: string; stderr?: string; message: string }) => {
      throw new Error(`${failure.message}\n${failure.stdout}\n${failure.stderr}`);
    },
  );
  const summary = JSON.parse(stdout) as Summary;
  expect(summary.failures).toBe(0);
  expect(summary.interleavings).toBeGreaterThan(8);
  // Interleavings that all end in one way would show nothing.
  expect(Object.keys(summary.ends).length, stdout).toBeGreaterThan(3);
}, 150_000);
