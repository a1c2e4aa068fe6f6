import type { InterfaceDefinition } from '../../modules/zbus/index.ts';
import { CliError, type Command, readOptions } from '../command.ts';
import { busOptions, withBus } from './bus.ts';
import { findStream, fullName } from './catalogue.ts';
import { printValue } from './notation.ts';

const usage = `usage: gridnode zbus watch MODULE.STREAM [--count N] [--state DIR | --broker URL]

  gridnode zbus watch provision.Steps

Prints each event as one line of JSON until Ctrl-C, or N of them. A stream has no
past: what was told before is not shown.`;

export const command: Command = {
  usage,
  async run(args) {
    const { values, positionals } = readOptions(args, { ...busOptions, count: { type: 'string' } }, usage);
    const [name, ...more] = positionals;
    if (name === undefined || more.length > 0) throw new CliError(usage);
    const count = values.count === undefined ? Number.POSITIVE_INFINITY : Number(values.count);
    if (!(count >= 1)) throw new CliError(`--count ${values.count} is not a number from 1`);
    const { definition, stream, wire } = await findStream(name);
    const stopping = new AbortController();
    const stop = (): void => stopping.abort();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
    process.stderr.write(`watching ${fullName(definition)}.${stream}\n`);
    await withBus(values, async (bus) => {
      let seen = 0;
      for await (const event of bus.stream(definition as InterfaceDefinition, stream, { signal: stopping.signal })) {
        process.stdout.write(`${printValue(wire, event)}\n`);
        seen += 1;
        if (seen >= count) break;
      }
    });
    return 0;
  },
};
