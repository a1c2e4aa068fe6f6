/** The shape of a command and of what it says when it cannot go on. */
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';

export interface Command {
  /** Printed for `--help`. */
  readonly usage: string;
  /** Whether `--help` goes to `run`, for a command with subcommands of its own. */
  readonly takesHelp?: boolean;
  /**
   * Nobody reads its output any more: whether it goes on, as what changes a node must not stop half-way.
   * Without it such a command ends quietly.
   */
  readonly goesOnUnheard?: boolean;
  /** Exit status. */
  readonly run: (args: readonly string[]) => Promise<number>;
}

/** A failure a person can act on: its text is printed without a stack. */
export class CliError extends Error {
  override readonly name = 'CliError';
}

/** `parseArgs` with a `CliError` that shows the usage instead of a stack. */
export function readOptions<const O extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: O,
  usage: string,
): ReturnType<typeof parseArgs<{ args: string[]; options: O; allowPositionals: true }>> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    // What the parser adds about words behind '--' is no advice here: no option of ours looks like one.
    const [said = ''] = (error as Error).message.split('. To specify');
    throw new CliError(`${said}\n\n${usage}`);
  }
}

/** `readOptions` for a command that takes options alone: a word too many is refused, as `gridnode down purge` is not what it seems. */
export function readFlags<const O extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: O,
  usage: string,
): ReturnType<typeof readOptions<O>>['values'] {
  const { values, positionals } = readOptions(args, options, usage);
  if (positionals.length === 0) return values;
  throw new CliError(`'${positionals.join(' ')}' is no option and belongs to none\n\n${usage}`);
}
