import { spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { CliError, type Command, readOptions } from '../command.ts';
import { checkout } from '../node/layout.ts';
import { table } from '../table.ts';

const usage = `usage: gridnode bench [name ...] [--json]

Runs the benchmarks of test/bench one after another, each in a process of its own.`;

const result = z.object({ name: z.string(), metrics: z.record(z.string(), z.number()) });
const DEADLINE_MS = 10 * 60_000;

function runBench(file: string): Promise<z.infer<typeof result>> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'], timeout: DEADLINE_MS });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8');
    });
    child.on('error', reject);
    child.on('exit', (code) => {
      const last = text.trim().split('\n').at(-1) ?? '';
      if (code === 0) resolve(result.parse(JSON.parse(last)));
      else reject(new CliError(`${file} ended with status ${code}`));
    });
  });
}

export const command: Command = {
  usage,
  async run(args) {
    const { values, positionals } = readOptions(args, { json: { type: 'boolean' } }, usage);
    const folder = join(checkout, 'test', 'bench');
    const files = (await readdir(folder)).filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts')).sort();
    const names = files.map((file) => file.slice(0, -3));
    for (const name of positionals) {
      if (!names.includes(name)) throw new CliError(`no benchmark '${name}'; there are ${names.join(', ')}`);
    }
    const results: z.infer<typeof result>[] = [];
    for (const name of positionals.length > 0 ? positionals : names) {
      const one = await runBench(join(folder, `${name}.ts`));
      results.push(one);
      if (!values.json) {
        const rows = Object.entries(one.metrics).map(([metric, value]) => [metric, value.toFixed(value < 10 ? 2 : 0)]);
        process.stdout.write(`${table([one.name, 'value'], rows)}\n\n`);
      }
    }
    if (values.json) process.stdout.write(`${JSON.stringify(results)}\n`);
    return 0;
  },
};
