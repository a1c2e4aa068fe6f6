import { spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type BenchResult,
  benchResult,
  boundOf,
  isBroken,
  type Judged,
  judge,
  promiseList,
} from '../bench/promises.ts';
import { CliError, type Command, readOptions } from '../command.ts';
import { checkout } from '../node/layout.ts';
import { table } from '../table.ts';

/** They take longer than all others together. */
const longBenches = ['soak'];

const usage = `usage: gridnode bench [name ...] [--json]

Runs the benchmarks of test/bench one after another, each in a process of its own,
and holds what they measured against the promises of SPECIFICATION.md. Ends with
status 1 when a promise is broken. What the machine lacks a program for is named
and not held against it. Runs of many minutes (${longBenches.join(', ')}) only when named.

  --json   one JSON object: results, promises with value, kept and what was missing`;

const DEADLINE_MS = 30 * 60_000;
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

class Interrupted extends CliError {
  constructor() {
    super('interrupted');
  }
}

/** Runs one benchmark; its last line is the result. A signal to us is the benchmark's to answer, by cleaning up. */
function runBench(file: string): Promise<BenchResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'], timeout: DEADLINE_MS });
    let interrupted = false;
    const pass = (signal: NodeJS.Signals): void => {
      interrupted = true;
      child.kill(signal);
    };
    for (const signal of SIGNALS) process.on(signal, pass);
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8');
    });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      for (const one of SIGNALS) process.off(one, pass);
      if (interrupted) reject(new Interrupted());
      else if (code !== 0) reject(new CliError(`${file} ended with ${signal ?? `status ${code}`}`));
      else resolve(benchResult.parse(JSON.parse(text.trim().split('\n').at(-1) ?? '')));
    });
  });
}

function written(value: number): string {
  return value.toFixed(Math.abs(value) < 10 ? 2 : 0);
}

function promiseTable(judged: readonly Judged[]): string {
  const rows = judged.map((one) => [
    one.missing !== undefined ? 'not measured' : one.kept ? 'ok' : 'BROKEN',
    one.promise,
    `${one.bench} ${one.metric}`,
    boundOf(one),
    one.missing ?? (one.value === null ? 'none' : written(one.value)),
  ]);
  return table(['', 'promise', 'measured by', 'bound', 'value'], rows);
}

export const command: Command = {
  usage,
  goesOnUnheard: true,
  async run(args) {
    const { values, positionals } = readOptions(args, { json: { type: 'boolean' } }, usage);
    const folder = join(checkout, 'test', 'bench');
    const files = (await readdir(folder)).filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts')).sort();
    const names = files.map((file) => file.slice(0, -3));
    for (const name of positionals) {
      if (!names.includes(name)) throw new CliError(`no benchmark '${name}'; there are ${names.join(', ')}`);
    }
    const chosen =
      positionals.length > 0 ? [...new Set(positionals)] : names.filter((name) => !longBenches.includes(name));
    const promises = promiseList.parse(JSON.parse(await readFile(join(folder, 'promises.json'), 'utf8')));
    const results: BenchResult[] = [];
    let failed = false;
    for (const name of chosen) {
      try {
        const one = await runBench(join(folder, `${name}.ts`));
        results.push(one);
        const rows = Object.entries(one.metrics).map(([metric, value]) => [metric, written(value)]);
        if (!values.json) process.stdout.write(`${table([name, 'value'], rows)}\n\n`);
      } catch (error) {
        if (error instanceof Interrupted) throw error;
        failed = true;
        process.stderr.write(`${name} failed: ${(error as Error).message}\n`);
      }
    }
    const judged = judge(
      promises.filter(({ bench }) => chosen.includes(bench)),
      results,
    );
    if (values.json) process.stdout.write(`${JSON.stringify({ results, promises: judged })}\n`);
    else if (judged.length > 0) process.stdout.write(`${promiseTable(judged)}\n`);
    return failed || judged.some(isBroken) ? 1 : 0;
  },
};
