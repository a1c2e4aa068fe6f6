/** How much daemons log, as an option. */
import { CliError } from './command.ts';

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error'];

/** Refused here, and not by daemons that would start again and again. */
export function checkedLevel(text: string): string {
  if (LEVELS.includes(text)) return text;
  throw new CliError(`--log-level ${text}: use ${LEVELS.join(', ')}`);
}
