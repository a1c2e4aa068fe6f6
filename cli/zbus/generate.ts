import { CliError, type Command, readFlags } from '../command.ts';
import { catalogue, findObject, fullName } from './catalogue.ts';
import { describeInterface } from './description.ts';
import { goStub } from './stub-go.ts';
import { tsStub } from './stub-ts.ts';

const usage = `usage: gridnode zbus generate --module MODULE --lang ts|go|json

Prints a client of a module's object (MODULE as storage, or module.object where there
are several): ts needs gridnode/zbus, go the existing bus library, json is the
interface as data (with --module all, of every object). Nothing runs for it.`;

const LANGUAGES = { ts: tsStub, go: goStub, json: undefined } as const;

export const command: Command = {
  usage,
  async run(args) {
    const values = readFlags(args, { module: { type: 'string' }, lang: { type: 'string' } }, usage);
    const { module, lang } = values;
    if (module === undefined || lang === undefined || !Object.hasOwn(LANGUAGES, lang)) throw new CliError(usage);
    if (module === 'all') {
      if (lang !== 'json') throw new CliError('one client is one object; --module all is for --lang json');
      const all = (await catalogue()).map((one) => [fullName(one), describeInterface(one)]);
      process.stdout.write(`${JSON.stringify(Object.fromEntries(all), undefined, 2)}\n`);
      return 0;
    }
    const definition = await findObject(module);
    const stub = LANGUAGES[lang as keyof typeof LANGUAGES];
    const text =
      stub === undefined ? `${JSON.stringify(describeInterface(definition), undefined, 2)}\n` : stub(definition);
    process.stdout.write(text);
    return 0;
  },
};
