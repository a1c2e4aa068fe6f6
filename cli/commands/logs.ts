import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CliError, type Command, readOptions } from '../command.ts';
import { loadConfig } from '../node/config.ts';
import { layoutOf } from '../node/layout.ts';
import { toldLine, traceLines } from '../node/trace-log.ts';
import { unitNames } from '../node/units.ts';

const usage = `usage: gridnode logs [unit] [--follow] [--bytes N] [--state DIR]
       gridnode logs --trace UID [--json] [--state DIR]

With --trace, what every part of the node logged of one request, in the order of
time: UID is that of the request's envelope, which gridnode ps --json shows, too.`;
const POLL_MS = 200;
/** A log has 8 MiB before it is set aside. */
const MAX_BYTES = 16 * 1024 * 1024;

/** What is a unit of its own on a real node, by the unit that has it where the node is simulated. */
const SIMULATED_PARTS: Readonly<Record<string, string>> = {
  ...Object.fromEntries(['chaind', 'web'].map((part) => [part, 'chain'])),
  ...Object.fromEntries(
    ['storaged', 'networkd', 'flistd', 'vmd', 'noded', 'provisiond', 'gateway', 'relay'].map((part) => [part, 'node']),
  ),
};

export const command: Command = {
  usage,
  async run(args) {
    const options = {
      state: { type: 'string' },
      follow: { type: 'boolean', short: 'f' },
      bytes: { type: 'string', default: '16384' },
      trace: { type: 'string' },
      json: { type: 'boolean' },
    } as const;
    const { values, positionals } = readOptions(args, options, usage);
    const layout = layoutOf(values.state);
    const config = await loadConfig(layout);
    if (values.trace !== undefined) {
      const lines = await traceLines(join(layout.state, 'log'), values.trace);
      if (lines.length === 0)
        throw new CliError(
          `no log of the node in ${layout.state} has a line of the request ${values.trace}; old lines go when logs are rotated`,
        );
      for (const line of lines) process.stdout.write(`${values.json === true ? line.text : toldLine(line)}\n`);
      return 0;
    }
    const names = await unitNames(layout);
    const [name] = positionals;
    if (name === undefined) {
      for (const unit of names) await tail(join(layout.state, 'log', `${unit}.log`), 1024, `==> ${unit} <==\n`);
      return 0;
    }
    const unit = names.includes(name) || config.simulated === null ? name : (SIMULATED_PARTS[name] ?? name);
    if (!names.includes(unit))
      throw new CliError(`no unit '${name}'; there are ${names.join(', ') || 'none: start a node with gridnode up'}`);
    if (unit !== name) process.stderr.write(`${name} is a part of the unit ${unit}, whose log this is\n`);
    const bytes = Number(values.bytes);
    if (!/^\d+$/.test(values.bytes) || bytes > MAX_BYTES)
      throw new CliError(`--bytes ${values.bytes}: a number up to ${MAX_BYTES}`);
    const path = join(layout.state, 'log', `${unit}.log`);
    let position = await tail(path, bytes, '');
    while (values.follow) {
      await sleep(POLL_MS);
      const { size } = await stat(path).catch(() => ({ size: 0 }));
      // Smaller than before: the log was rotated.
      if (size < position) position = 0;
      if (size > position) {
        for await (const chunk of createReadStream(path, { start: position, end: size - 1 }))
          process.stdout.write(chunk);
        position = size;
      }
    }
    return 0;
  },
};

/** Prints the last `bytes` of a file, from a line's beginning; returns its size. */
async function tail(path: string, bytes: number, title: string): Promise<number> {
  const file = await open(path, 'r').catch(() => undefined);
  if (file === undefined) return 0;
  try {
    const { size } = await file.stat();
    const start = Math.max(0, size - bytes);
    const { buffer } = await file.read({ buffer: Buffer.alloc(size - start), position: start });
    const text = buffer.toString('utf8');
    process.stdout.write(title + (start === 0 ? text : text.slice(text.indexOf('\n') + 1)));
    return size;
  } finally {
    await file.close();
  }
}
