import { decode } from '../../modules/zbus/index.ts';
import { CliError, type Command, readOptions } from '../command.ts';
import { findMethod, findObject, findStream } from './catalogue.ts';
import { answerJson, readFrame, refusing, requestJson } from './frame-text.ts';
import { jsonOf } from './notation.ts';

const usage = `usage: gridnode zbus decode request FRAME [--object OBJECT]
       gridnode zbus decode answer FRAME [--object OBJECT --method METHOD]
       gridnode zbus decode event FRAME --stream MODULE.STREAM

FRAME is hex, a file (hex or bytes) or - for standard input. Prints JSON. Without the
method an answer's data stay hex.`;

export const command: Command = {
  usage,
  async run(args) {
    const options = { object: { type: 'string' }, method: { type: 'string' }, stream: { type: 'string' } } as const;
    const { values, positionals } = readOptions(args, options, usage);
    const [kind, source, ...more] = positionals;
    if (more.length > 0) throw new CliError(usage);
    process.stdout.write(`${JSON.stringify(await decodeKind(), undefined, 2)}\n`);
    return 0;

    async function decodeKind(): Promise<unknown> {
      const definition = values.object === undefined ? undefined : await findObject(values.object);
      if (kind === 'request') return await requestJson(await readFrame(source), definition);
      if (kind === 'answer') {
        if ((definition === undefined) !== (values.method === undefined)) {
          throw new CliError('an answer is read with both --object and --method, or with neither');
        }
        const method = definition === undefined ? undefined : findMethod(definition, values.method);
        return answerJson(await readFrame(source), method);
      }
      if (kind !== 'event') throw new CliError(usage);
      if (values.stream === undefined)
        throw new CliError('an event has no name of its own: give --stream MODULE.STREAM');
      const { wire } = await findStream(values.stream);
      const frame = await readFrame(source);
      return jsonOf(
        wire,
        refusing(() => decode(wire, frame)),
      );
    }
  },
};
