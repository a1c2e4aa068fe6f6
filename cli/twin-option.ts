import { CliError } from './command.ts';

/** The value of one `--admin-twin`. Throws `CliError` for what is no twin id. */
export function checkedTwin(text: string): number {
  const id = Number(text);
  if (/^\d+$/.test(text) && id >= 1 && id <= 0xffffffff) return id;
  throw new CliError(`--admin-twin ${text}: a twin id is a number from 1 to 4294967295`);
}
