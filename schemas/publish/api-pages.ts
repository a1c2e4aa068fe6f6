/** The pages of `docs/api/`: one for each command and workload type, made of the schemas and of recorded examples. */
import type { z } from 'zod';
import { Capacity } from '../capacity.ts';
import {
  CapacityReport,
  type Command,
  commands,
  nothing,
  perfGet,
  perfGetAll,
  taskResults,
} from '../commands/index.ts';
import { Deployment, Workload } from '../deployment.ts';
import { errorTable } from '../errors/index.ts';
import type { ErrorEntry } from '../errors/table.ts';
import { decode } from '../gojson/codec.ts';
import { workloadTypes } from '../workloads/index.ts';
import { piecesOf, type WorkloadType } from '../workloads/type.ts';
import { sample } from './errors-page.ts';
import { fieldTable } from './field-table.ts';
import { Publication } from './json-schema.ts';
import { callers, everyCommand, ownErrorsOf } from './openrpc.ts';
import { type CommandExample, type Examples, shortenedAnswers, type WorkloadExample } from './recorded.ts';

const MADE = 'Made by `npm run generate` from `schemas/`.';
const MAX_DATA_BYTES = 64 * 1024;

/** Path from the project's root, and text. */
export function apiPages(examples: Examples): Map<string, string> {
  const publication = new Publication('written');
  const definitions = publication.definitions();
  const table: Table = (schema, side, isOwnPage) => fieldTable(publication[side](schema), definitions, isOwnPage);
  const pages = new Map<string, string>();
  pages.set('docs/api/README.md', indexPage(table));
  pages.set(
    'docs/api/deployment.md',
    page(
      'Deployment',
      'What a twin wants on a node: signed workloads on one node contract. Numbers beyond 2^53 - 1 may stand in fields of 64 bits: read them with a parser that keeps them.',
      ['Fields', table(Deployment, 'request', true)],
      ['Workload', table(Workload, 'request', true)],
      ['Workload types', workloadTypes.map(({ name }) => `[${name}](workloads/${name}.md)`).join(' · ')],
    ).replaceAll('](../deployment.md', '](deployment.md'),
  );
  for (const command of commands as readonly Command[]) {
    pages.set(`docs/api/commands/${command.name}.md`, commandPage(command, examples.commands[command.name], table));
  }
  for (const type of workloadTypes as readonly WorkloadType[]) {
    pages.set(`docs/api/workloads/${type.name}.md`, workloadPage(type, examples.workloads[type.name], table));
  }
  return pages;
}

type Table = (schema: z.ZodType, side: 'request' | 'answer', isOwnPage?: boolean) => string;
type Section = readonly [heading: string, text: string];

function page(title: string, lead: string, ...sections: readonly (Section | undefined)[]): string {
  const parts = sections.flatMap((section) => (section === undefined ? [] : [`## ${section[0]}\n\n${section[1]}`]));
  return `${[`# ${title}`, lead, ...parts, MADE].join('\n\n')}\n`;
}

function indexPage(table: Table): string {
  const rows = (commands as readonly Command[]).map(
    ({ name, caller, summary }) => `| [\`${name}\`](commands/${name}.md) | ${caller} | ${summary} |`,
  );
  const types = workloadTypes.map(({ name, summary }) => `| [\`${name}\`](workloads/${name}.md) | ${summary} |`);
  const roles = Object.entries(callers).map(([caller, words]) => `**${caller}**: ${words}`);
  return page(
    'API of a node',
    'Every command over RMB, every workload type. The same as data: [`openrpc.json`](../../schemas/openrpc.json) and [JSON Schemas](../schemas.md). A node answers it itself: [`zos.api.describe`](commands/zos.api.describe.md).',
    ['Commands', ['| command | who | |', '|---|---|---|', ...rows].join('\n')],
    ['Who', `${roles.join('; ')}. A stranger's call of anything under a role's names is \`unauthorized\`.`],
    ['Workload types', ['| type | |', '|---|---|', ...types].join('\n')],
    ['Capacity', table(Capacity, 'answer', true)],
    [
      'Errors of every command',
      `${errorRows(everyCommand)}\n\nWhat the door says before a command is looked at, what each error's details are and what to do: [errors](../errors.md).`,
    ],
  );
}

function commandPage(command: Command, example: CommandExample | undefined, table: Table): string {
  const { name, aliases, summary, caller, input, output } = command;
  const who = `Who may call: ${callers[caller]}.`;
  const also = aliases === undefined ? '' : ` Also called \`${aliases.join('`, `')}\`.`;
  return page(
    name,
    `${summary}\n\n${who}${also}`,
    ['Payload', input === nothing ? 'None; what is there is ignored.' : table(input, 'request')],
    ['Answer', output === nothing ? '`null`.' : table(output, 'answer', output === CapacityReport)],
    command === perfGet || command === perfGetAll ? ['Results', taskTables(table)] : undefined,
    example && [
      'Example',
      [
        'Request:',
        block(example.request ?? null),
        'answer' in example ? `Answer${shortenedAnswers.has(name) ? ', shortened' : ''}:` : 'Error:',
        block('answer' in example ? example.answer : example.error),
      ].join('\n\n'),
    ],
    ['Errors', errorsSection(command)],
  );
}

/** What `result` holds, by the name of the task. */
function taskTables(table: Table): string {
  return Object.entries(taskResults)
    .map(([name, result]) => {
      const text = table(result, 'answer');
      // A table has no row for the whole, so what a map's keys are would be lost.
      const words = text.startsWith('|') ? (result.description ?? '') : '';
      return `### ${name}\n\n${words === '' ? '' : `${words[0]?.toUpperCase()}${words.slice(1)}.\n\n`}${text}`;
    })
    .join('\n\n');
}

function errorsSection(command: Command): string {
  const own = ownErrorsOf(command);
  const all = 'Those of [every command](../README.md#errors-of-every-command)';
  return own.length === 0 ? `${all}.` : `${all}, and:\n\n${errorRows(own)}`;
}

function errorRows(codes: readonly string[]): string {
  const rows = codes.map((code) => {
    const { number, details, message, retryable } = (errorTable as Record<string, ErrorEntry>)[code] as ErrorEntry;
    const text = sample(details, message).replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('\n', ' ');
    return `| ${code} | ${number} | ${retryable ? 'yes' : 'no'} | ${text} |`;
  });
  return ['| code | number | may succeed later | text |', '|---|---|---|---|', ...rows].join('\n');
}

function workloadPage(type: WorkloadType, example: WorkloadExample | undefined, table: Table): string {
  const { name, summary, data, result, change, pausable } = type;
  return page(
    name,
    `${summary[0]?.toUpperCase()}${summary.slice(1)}.`,
    ['Data', table(data, 'request', true)],
    ['Result', result === undefined ? 'None: `data` of the result is `null`.' : table(result, 'answer')],
    [
      'Life',
      [
        change === undefined
          ? 'Cannot change in place: remove it and add another.'
          : 'May change in place by an update of its deployment.',
        pausable
          ? 'Pauses while its contract is in the grace period.'
          : 'Runs on while its contract is in the grace period.',
      ].join(' '),
    ],
    example && ['Example', [block(example.workload), ...outcome(example)].join('\n\n')],
    example && ['What is signed of it', pieces(type, example)],
  );
}

function outcome(example: WorkloadExample): string[] {
  if ('result' in example) return ['Its result:', block(example.result)];
  return ['This node does not run the type yet and says so before it accepts anything:', block(example.refusal)];
}

/** Every piece of the challenge that the example's data adds, in order. */
function pieces(type: WorkloadType, { workload }: WorkloadExample): string {
  const source = JSON.stringify((workload as { readonly data: unknown }).data);
  const read = decode(type.data, source, { struct: type.goType, maxBytes: MAX_DATA_BYTES });
  const rows = piecesOf(type.challenge, read).map(
    ([path, text]) => `| \`${path}\` | ${text === '' ? '' : `\`${text}\``} |`,
  );
  if (rows.length === 0)
    return 'Nothing of its data; version, name, type, metadata and description are signed of every workload.';
  return [
    'After version, name, type, metadata and description, with nothing between:',
    '',
    '| field | text |',
    '|---|---|',
    ...rows,
  ].join('\n');
}

function block(value: unknown): string {
  return `\`\`\`json\n${JSON.stringify(value, null, 2)}\n\`\`\``;
}
