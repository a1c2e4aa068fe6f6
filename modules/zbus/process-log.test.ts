import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';

const library = new URL('./process-log.ts', import.meta.url).href;

/** Logs 16 MiB, tells by its standard error that it went on meanwhile, then waits to be ended. */
const script = `
  import { openLog } from '${library}';
  const log = openLog({ name: 'test' });
  const text = 'x'.repeat(1000);
  let longest = 0;
  let last = performance.now();
  for (let line = 0; line < 16_384; line += 1) {
    log.info({ line }, text);
    if (line % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }
  process.stderr.write(JSON.stringify({ longest, heap: process.memoryUsage().heapUsed }));
  process.stdin.on('data', () => {
    log.info('the end');
    process.exit(0);
  });
`;

describe('the log of a process', () => {
  it('holds up nothing while nobody reads it, has a bound, says what was dropped, and keeps its last line', async () => {
    const args = ['--input-type=module-typescript', '--eval', script];
    const child = spawn(process.execPath, args, { stdio: 'pipe' });
    try {
      const [told] = (await once(child.stderr, 'data', { signal: AbortSignal.timeout(60_000) })) as [Buffer];
      const { heap } = JSON.parse(told.toString()) as { heap: number };
      expect(heap).toBeLessThan(64 * 1024 * 1024);
      const lines: Record<string, unknown>[] = [];
      let ended = false;
      for await (const line of createInterface({ input: child.stdout })) {
        lines.push(JSON.parse(line) as Record<string, unknown>);
        if (lines.at(-1)?.lines !== undefined && !ended) {
          ended = true;
          child.stdin.write('end\n');
        }
      }
      const numbers = lines.filter(({ line }) => line !== undefined);
      const dropped = lines.find(({ lines: count }) => count !== undefined);
      expect(numbers.length).toBeLessThan(16_384);
      expect(numbers.length + Number(dropped?.lines)).toBe(16_384);
      expect(lines.at(-1)?.msg).toBe('the end');
    } finally {
      child.kill('SIGKILL');
    }
  }, 90_000);
});
