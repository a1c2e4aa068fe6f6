import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import type { Command } from '../command.ts';
import { checkout } from '../node/layout.ts';

const usage = `usage: gridnode test [file or folder ...] [-t NAME]

Runs the static checks and every test; ends with: N passed, N failed, N skipped.
With arguments, which go to vitest as they are, only those tests.`;

/** Each counts as one test. */
const STATIC_CHECKS = [
  ['types', ['tsc', '--noEmit']],
  ['format and lint', ['biome', 'ci', '--error-on-warnings', '.']],
  ['floating promises', ['eslint', '.']],
  ['dead code', ['knip']],
] as const;

const report = z.object({
  numPassedTests: z.int(),
  numFailedTests: z.int(),
  numPendingTests: z.int(),
  numTodoTests: z.int(),
  testResults: z.array(
    z.object({ name: z.string(), status: z.string(), assertionResults: z.array(z.object({ status: z.string() })) }),
  ),
});

function runTool(words: readonly string[]): Promise<number> {
  const [tool = '', ...args] = words;
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(checkout, 'node_modules', '.bin', tool), ...args], {
      cwd: checkout,
      stdio: 'inherit',
    });
    child.on('error', reject);
    child.on('exit', (code) => resolve(code ?? 1));
  });
}

export const command: Command = {
  usage,
  goesOnUnheard: true,
  async run(args) {
    const count = { passed: 0, failed: 0, skipped: 0 };
    if (args.length === 0) {
      for (const [name, words] of STATIC_CHECKS) {
        const ok = (await runTool(words)) === 0;
        process.stdout.write(`${ok ? 'ok' : 'FAILED'}: ${name}\n`);
        count[ok ? 'passed' : 'failed']++;
      }
    }
    const folder = await mkdtemp(join(tmpdir(), 'gn-report-'));
    try {
      const output = join(folder, 'report.json');
      const code = await runTool([
        'vitest',
        'run',
        '--reporter=default',
        '--reporter=json',
        `--outputFile.json=${output}`,
        ...args,
      ]);
      const result = report.parse(JSON.parse(await readFile(output, 'utf8')));
      count.passed += result.numPassedTests;
      count.failed += result.numFailedTests;
      count.skipped += result.numPendingTests + result.numTodoTests;
      // A file that did not load holds no failed test; it still failed.
      count.failed += result.testResults.filter(
        (file) => file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed'),
      ).length;
      if (code !== 0 && count.failed === 0) count.failed = 1;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    process.stdout.write(`\n${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n`);
    return count.failed === 0 ? 0 : 1;
  },
};
