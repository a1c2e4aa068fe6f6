/** A share of the fuzzing that `run.ts` does in full, in a process of its own. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { targets } from './targets.ts';

const INPUTS = 48_000;
const GROWTH_MIB = 4;

interface Line {
  readonly target?: string;
  readonly inputs: number;
  readonly heapMiB: readonly [number, number];
  readonly outcomes: Readonly<Record<string, number>>;
  readonly distinctOutcomes: number;
}

describe('what reads bytes of strangers', () => {
  it(`takes ${INPUTS} changed inputs without a crash, a stray rejection or a growing heap`, async () => {
    const script = join(import.meta.dirname, 'run.ts');
    const args = ['--expose-gc', script, '--count', `${INPUTS}`, '--seed', `${Date.now() % 1_000_000}`];
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 150_000 }).catch(
      (failure: { stdout?: string; message: string }) => {
        throw new Error(`${failure.message}\n${failure.stdout}`);
      },
    );
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Line);
    const done = lines.filter(({ target }) => target !== undefined);
    expect(done.map(({ target }) => target)).toEqual(Object.keys(targets));
    for (const { target, inputs, heapMiB, outcomes, distinctOutcomes } of done) {
      expect(inputs).toBeGreaterThan(INPUTS / done.length - 1);
      expect(heapMiB[1] - heapMiB[0], `heap of ${target} in MiB: ${heapMiB}`).toBeLessThan(GROWTH_MIB);
      // Inputs that all end in one place would show nothing.
      expect(distinctOutcomes, `${target}: ${JSON.stringify(outcomes)}`).toBeGreaterThan(1);
    }
    expect(lines.at(-1)).toEqual({ msg: 'done', targets: done.length });
  }, 180_000);
});
