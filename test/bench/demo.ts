/** The demo as a person types it, after set-up: milliseconds of each stage, seconds in all, and what it left. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** Far over what is promised: a bound on hanging. */
const DEADLINE_MS = 240_000;

interface Report {
  readonly stages: readonly { readonly stage: string; readonly ms: number }[];
  readonly leaks: number;
}

export async function bench(): Promise<{ name: string; metrics: Record<string, number> }> {
  const main = join(import.meta.dirname, '../../cli/main.ts');
  const began = performance.now();
  const child = spawn(process.execPath, [main, 'demo', '--json'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const pass = (): void => {
    child.kill('SIGINT');
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, pass);
  const late = setTimeout(pass, DEADLINE_MS);
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(late);
  if (code !== 0) throw new Error(`the demo ended with status ${code}`);
  const total = (performance.now() - began) / 1000;
  const { stages, leaks } = JSON.parse(text) as Report;
  const times = stages.map(({ stage, ms }) => [`${stage.replaceAll(/[^a-z]+/g, '_')}_ms`, ms] as const);
  return { name: 'demo', metrics: { total_seconds: Math.round(total * 10) / 10, leaks, ...Object.fromEntries(times) } };
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await bench())}\n`);
