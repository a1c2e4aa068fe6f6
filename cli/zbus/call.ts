import type { InterfaceDefinition } from '../../modules/zbus/index.ts';
import { CliError, type Command, readOptions } from '../command.ts';
import { busOptions, readSeconds, withBus } from './bus.ts';
import { findMethod, findObject, fullName } from './catalogue.ts';
import { readArguments } from './frame-text.ts';
import { jsonOf } from './notation.ts';

const usage = `usage: gridnode zbus call OBJECT METHOD [ARG…] [--deadline SECONDS] [--state DIR | --broker URL]

  gridnode zbus call storage.storage@0.0.1 VolumeLookup '"vol-1"'

Arguments are JSON, one each. Prints the result as JSON; several results are a list.`;

export const command: Command = {
  usage,
  async run(args) {
    const options = { ...busOptions, deadline: { type: 'string', default: '60' } } as const;
    const { values, positionals } = readOptions(args, options, usage);
    const [objectName, methodName, ...texts] = positionals;
    if (objectName === undefined || methodName === undefined) throw new CliError(usage);
    const definition = await findObject(objectName);
    const method = findMethod(definition, methodName);
    const call = `${fullName(definition)}.${methodName}`;
    const input = readArguments(call, method, texts);
    const deadlineMs = readSeconds('deadline', values.deadline);
    const result = await withBus(values, async (bus) => {
      const client = bus.of(definition as InterfaceDefinition) as Record<
        string,
        (args: object, options: { deadlineMs: number }) => Promise<unknown>
      >;
      return await client[methodName]?.(input, { deadlineMs });
    });
    const [only, ...more] = method.returns;
    if (only === undefined) return 0;
    const json =
      more.length === 0
        ? jsonOf(only, result)
        : method.returns.map((wire, i) => jsonOf(wire, (result as unknown[])[i]));
    process.stdout.write(`${JSON.stringify(json, undefined, 2)}\n`);
    return 0;
  },
};
