import {
  challenge,
  challengePieces,
  type Deployment,
  deploymentHash,
  type Formula,
  formulasOf,
  signedMessage,
  validateDeployment,
} from '../../schemas/index.ts';
import { CliError, type Command, readOptions } from '../command.ts';
import { readDeploymentFile } from '../deployment-file.ts';
import { shown } from '../rmb/text.ts';
import { table } from '../table.ts';

const usage = `usage: gridnode hash FILE [--explain | --challenge]

Prints the challenge hash of a deployment (JSON), hex: what its contract names and
its signers sign. - reads standard input.

  --explain    every piece that is hashed with the path it comes from, the hash and
               the bytes that signers sign; two programs whose hashes differ see in
               the pieces where they part
  --challenge  the text that is hashed

With a network-light in it, --explain also has the hash that nodes made before
September 2025: a contract of an older client may carry that one.`;

export const command: Command = {
  usage,
  async run(args) {
    const { values, positionals } = readOptions(
      args,
      { challenge: { type: 'boolean' }, explain: { type: 'boolean' } },
      usage,
    );
    const [file] = positionals;
    if (file === undefined || positionals.length > 1) throw new CliError(usage);
    if (values.challenge && values.explain) throw new CliError(`give --challenge or --explain\n\n${usage}`);
    const deployment = await readDeploymentFile(file);
    validateDeployment(deployment);
    process.stdout.write(`${values.challenge ? challenge(deployment) : told(deployment, values.explain === true)}\n`);
    return 0;
  },
};

function told(deployment: Deployment, explain: boolean): string {
  if (!explain) return deploymentHash(deployment);
  return formulasOf(deployment)
    .map((formula) => explained(deployment, formula))
    .join('\n\n');
}

function explained(deployment: Deployment, formula: Formula): string {
  const encoder = new TextEncoder();
  const rows = challengePieces(deployment, formula).map(([path, text]) => [
    shown(path, Number.POSITIVE_INFINITY),
    `${encoder.encode(text).length}`,
    text === '' ? '' : shown(text, Number.POSITIVE_INFINITY),
  ]);
  return [
    formula === 'current' ? 'hashed, one after another without anything between:' : 'before September 2025:',
    table(['path', 'bytes', 'text'], rows),
    '',
    `hash    ${deploymentHash(deployment, formula)}`,
    `signed  ${Buffer.from(signedMessage(deployment, formula)).toString('hex')}`,
  ].join('\n');
}
