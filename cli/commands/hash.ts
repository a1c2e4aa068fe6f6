import { readFile } from 'node:fs/promises';
import { challenge, deploymentHash, parseDeployment, validateDeployment } from '../../schemas/index.ts';
import { CliError, type Command, readOptions } from '../command.ts';

const usage = `usage: gridnode hash FILE [--challenge]

Prints the challenge hash of a deployment (JSON), hex: what its contract names and
its signers sign. --challenge prints the text that is hashed. - reads standard input.`;

export const command: Command = {
  usage,
  async run(args) {
    const { values, positionals } = readOptions(args, { challenge: { type: 'boolean' } }, usage);
    const [file] = positionals;
    if (file === undefined || positionals.length > 1) throw new CliError(usage);
    const source = await readFile(file === '-' ? '/dev/stdin' : file).catch((error: NodeJS.ErrnoException) => {
      throw new CliError(`cannot read ${file}: ${error.code}`);
    });
    const deployment = parseDeployment(source);
    validateDeployment(deployment);
    process.stdout.write(`${values.challenge ? challenge(deployment) : deploymentHash(deployment)}\n`);
    return 0;
  },
};
