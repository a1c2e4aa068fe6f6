/** The node's commands as one OpenRPC document: `schemas/openrpc.json`, and the answer of `zos.api.describe`. */
import { type Caller, type Command, commands, nothing } from '../commands/index.ts';
import { errorTable } from '../errors/index.ts';
import type { ErrorEntry, Stage } from '../errors/table.ts';
import { sample } from './errors-page.ts';
import { type JsonSchema, Publication } from './json-schema.ts';
import type { CommandExample, Examples } from './recorded.ts';

const OPENRPC_VERSION = '1.3.2';

/** Version of the table of commands: the second number grows with additions, the first with what breaks clients. */
export const API_VERSION = '1.0.0';

export const callers: Readonly<Record<Caller, string>> = {
  any: 'any twin',
  own: 'any twin; it sees only what is its own',
  farmer: "the twin that owns the node's farm",
  admin: "twins that the node's operator named",
};

/** Stages whose errors a command that takes a deployment may answer with. */
const stagesOf: Readonly<Record<string, readonly Stage[]>> = {
  'zos.deployment.deploy': ['deployment', 'contract', 'capacity'],
  'zos.deployment.update': ['deployment', 'contract', 'capacity'],
  'zos.deployment.plan': ['deployment'],
};

/** Of those stages, what comes of other commands or is told in results of workloads alone. */
const toldElsewhere: readonly string[] = [
  'workload_id_invalid',
  'deployment_delete_disabled',
  'dependency_failed',
  'step_failed',
];
const ofUpdates = /^upgrade_|^deployment_to_update_missing$/;
const ofFirstVersions = /^deployment_(version|exists)$/;
/** What a command cannot come upon, as it does not look there. A plan lists what is busy as a reason. */
const unaskedBy: Readonly<Record<string, readonly RegExp[]>> = {
  'zos.deployment.deploy': [ofUpdates],
  'zos.deployment.update': [ofFirstVersions],
  'zos.deployment.plan': [/^signature_/, /^deployment_(version|busy)$/],
};

const entries = Object.entries<ErrorEntry>(errorTable);
const codesOf = (...stages: readonly Stage[]): string[] =>
  entries.filter(([, { stage }]) => stages.includes(stage)).map(([code]) => code);

/** Codes that the answer of any command may carry. */
export const everyCommand: readonly string[] = codesOf('command', 'bus');

/** Codes beyond those, of the error table, that this command's answer may carry. */
export function ownErrorsOf({ name, errors = [] }: Command): string[] {
  const ofDeployments = codesOf(...(stagesOf[name] ?? [])).filter(
    (code) => !toldElsewhere.includes(code) && !unaskedBy[name]?.some((pattern) => pattern.test(code)),
  );
  return [...ofDeployments, ...errors];
}

export function openrpc(examples: Examples): JsonSchema {
  const schemas = new Publication('accepted', (name) => `#/components/schemas/${name}`);
  return {
    openrpc: OPENRPC_VERSION,
    info: {
      title: 'Grid node',
      version: API_VERSION,
      description:
        'Commands of a grid node over RMB. The method is the command of an RMB request, the one parameter is its whole payload as JSON, the result the whole payload of the answer. Commands without parameter ignore the payload.',
      license: { name: 'Apache-2.0' },
    },
    methods: (commands as readonly Command[]).map((command) =>
      method(command, schemas, examples.commands[command.name]),
    ),
    components: { schemas: schemas.definitions(), errors: errors() },
  };
}

function method(command: Command, schemas: Publication, example: CommandExample | undefined): JsonSchema {
  const { name, aliases, summary, caller, input, output } = command;
  const takesNothing = input === nothing;
  return {
    name,
    summary,
    description: `Who may call: ${callers[caller]}.`,
    tags: [{ name: name.split('.')[1] as string }],
    paramStructure: 'by-position',
    params: takesNothing ? [] : [{ name: 'payload', required: true, schema: schemas.request(input) }],
    result: { name: 'answer', schema: schemas.answer(output) },
    errors: [...everyCommand, ...ownErrorsOf(command)].map((code) => ({ $ref: `#/components/errors/${code}` })),
    ...(example === undefined || !('answer' in example)
      ? {}
      : {
          examples: [
            {
              name: `${name} example`,
              params: takesNothing ? [] : [{ name: 'payload', value: example.request }],
              result: { name: 'answer', value: example.answer },
            },
          ],
        }),
    'x-caller': caller,
    ...(aliases === undefined ? {} : { 'x-aliases': aliases }),
  };
}

function errors(): JsonSchema {
  return Object.fromEntries(
    entries.map(([code, { number, details, message, retryable, fault }]) => [
      code,
      { code: number, message: sample(details, message), data: { code, fault, retryable } },
    ]),
  );
}
