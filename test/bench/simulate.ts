/** From the command to a simulated node that answers, in a new folder each time. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { median } from './peers/by-hand.ts';

const run = promisify(execFile);
const cli = join(import.meta.dirname, '../../cli/main.ts');
const ROUNDS = 5;
const DEADLINE_MS = 90_000;

/** Milliseconds, medians; the first round only fills the compile cache, as the first start on a machine does. */
export async function bench(): Promise<{ name: string; metrics: Record<string, number> }> {
  const starts: number[] = [];
  const agains: number[] = [];
  for (let round = 0; round <= ROUNDS; round += 1) {
    const folder = await mkdtemp(join(tmpdir(), 'gnsim-'));
    const gridnode = async (...args: readonly string[]): Promise<number> => {
      const since = performance.now();
      await run(process.execPath, [cli, ...args, '--state', join(folder, 'node')], { timeout: DEADLINE_MS });
      return performance.now() - since;
    };
    try {
      const start = await gridnode('up', '--simulate', '--background');
      await gridnode('down');
      const again = await gridnode('up', '--simulate', '--background');
      if (round === 0) continue;
      starts.push(start);
      agains.push(again);
    } finally {
      await gridnode('down', '--purge');
      await rm(folder, { recursive: true, force: true });
    }
  }
  return {
    name: 'simulate',
    metrics: { start_ms: Math.round(median(starts)), again_ms: Math.round(median(agains)) },
  };
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await bench())}\n`);
