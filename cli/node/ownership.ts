/** Whose a state folder is: a node is started as root from what lies in it, and a purge removes all of it. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { CliError } from '../command.ts';

/** What a start that broke off may leave before the node has a configuration. */
const BEFORE_CONFIGURATION = new Set(['guest', 'keys', 'log', 'run', 'zinit']);

/** Throws `CliError` for a folder that another user of this machine owns or may write to. */
export function checkPrivate(folder: string): void {
  const { uid, mode } = statSync(folder);
  const own = process.geteuid?.() ?? uid;
  if (uid !== own) {
    throw new CliError(`state folder ${folder} belongs to user ${uid}, not to you (${own}). Choose another --state`);
  }
  if ((mode & 0o022) !== 0) {
    throw new CliError(
      `state folder ${folder} has mode ${(mode & 0o7777).toString(8)}: others may write to it. Choose another --state, or: chmod 700 ${folder}`,
    );
  }
}

/** Throws `CliError` where the folder holds things that are no node's: starting there and purging would take them along. */
export function checkNodeFolder(state: string): void {
  const entries = existsSync(state) ? readdirSync(state) : [];
  if (entries.includes('node.json')) return;
  const foreign = entries.filter((name) => !BEFORE_CONFIGURATION.has(name));
  if (foreign.length === 0) return;
  const some = foreign.slice(0, 3).join(', ');
  throw new CliError(
    `${state} is no node's folder: it holds ${some}${foreign.length > 3 ? ', …' : ''}. Choose another --state`,
  );
}

/** Throws `CliError` where anything is in the folder: what ends with a purge begins with nothing. */
export function checkEmpty(state: string): void {
  const entries = readdirSync(state);
  if (entries.length === 0) return;
  const holder = entries.includes('node.json') ? 'holds a node' : 'is not empty';
  throw new CliError(`${state} ${holder}, and the demo removes its folder at the end. Choose another --state`);
}
