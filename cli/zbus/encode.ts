import { encode } from '../../modules/zbus/index.ts';
import { CliError, type Command, readOptions } from '../command.ts';
import { findMethod, findObject, findStream, fullName } from './catalogue.ts';
import { answerFrame, readArguments, readValue, refusing, requestFrame } from './frame-text.ts';

const usage = `usage: gridnode zbus encode request OBJECT METHOD [ARG…] [--id ID] [--reply-to LIST] [--trace ID] [--deadline MS]
       gridnode zbus encode answer OBJECT METHOD [RESULT…] [--id ID] [--error TEXT | --protocol-error TEXT]
       gridnode zbus encode event MODULE.STREAM VALUE

Prints the frame in hex (--raw: the bytes themselves; --json: queue or channel, and hex).
--trace and --deadline (milliseconds since 1970) are fields that only gridnode knows.`;

interface Encoded {
  readonly to: string;
  readonly frame: Buffer;
}

export const command: Command = {
  usage,
  async run(args) {
    const options = {
      id: { type: 'string', default: '00000000-0000-4000-8000-000000000000' },
      'reply-to': { type: 'string', default: '' },
      trace: { type: 'string' },
      deadline: { type: 'string' },
      error: { type: 'string' },
      'protocol-error': { type: 'string' },
      raw: { type: 'boolean' },
      json: { type: 'boolean' },
    } as const;
    const { values, positionals } = readOptions(args, options, usage);
    const [kind, name, ...rest] = positionals;
    if (name === undefined) throw new CliError(usage);
    const { to, frame } = await encodeKind();
    if (values.raw) process.stdout.write(frame);
    else if (values.json) process.stdout.write(`${JSON.stringify({ to, hex: frame.toString('hex') })}\n`);
    else process.stdout.write(`${frame.toString('hex')}\n`);
    return 0;

    async function encodeKind(): Promise<Encoded> {
      if (kind === 'event') return await encodeEvent(name as string, rest);
      if (kind !== 'request' && kind !== 'answer') throw new CliError(usage);
      const definition = await findObject(name as string);
      const [methodName = '', ...texts] = rest;
      const method = findMethod(definition, methodName);
      const call = `${fullName(definition)}.${methodName}`;
      const id = values.id;
      if (kind === 'request') {
        const { trace, deadline } = values;
        if (deadline !== undefined && !Number.isSafeInteger(Number(deadline)))
          throw new CliError(`--deadline ${deadline} is not milliseconds`);
        const envelope = {
          id,
          replyTo: values['reply-to'],
          ...(trace === undefined ? {} : { trace }),
          ...(deadline === undefined ? {} : { deadline: Number(deadline) }),
        };
        return {
          to: fullName(definition),
          frame: requestFrame(definition, methodName, method, readArguments(call, method, texts), envelope),
        };
      }
      const protocolError = values['protocol-error'];
      if (protocolError === undefined && texts.length !== method.returns.length) {
        const wanted = method.returns.map(({ go }) => go).join(', ');
        throw new CliError(`${call} returns ${wanted || 'nothing'}; there are ${texts.length} results`);
      }
      const results =
        protocolError === undefined
          ? method.returns.map((wire, i) => readValue(`result ${i}`, wire, texts[i] as string))
          : [];
      return {
        to: values['reply-to'],
        frame: answerFrame(method, results, { id, error: values.error, protocolError }),
      };
    }
  },
};

async function encodeEvent(name: string, texts: readonly string[]): Promise<Encoded> {
  const { definition, stream, wire } = await findStream(name);
  const [only, ...more] = texts;
  if (only === undefined || more.length > 0) throw new CliError(`an event of ${name} is one value (${wire.go})`);
  return {
    to: `${fullName(definition)}.${stream}`,
    frame: refusing(() => encode(wire, readValue(stream, wire, only))),
  };
}
