/** The shape of a command and of what it says when it cannot go on. */
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';

export interface Command {
  /** Printed for `--help`. */
  readonly usage: string;
  /** Whether `--help` goes to `run`, for a command with subcommands of its own. */
  readonly takesHelp?: boolean;
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
    throw new CliError(`${(error as Error).message}\n\n${usage}`);
  }
}
