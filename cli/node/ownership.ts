/** Whose a state folder is: a node is started as root from what lies in it, and a purge removes all of it. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CliError } from '../command.ts';

/** Where a folder is a file system of its own, that file system's. */
const OF_THE_FILE_SYSTEM = 'lost+found';
/** What may be there before the node has a configuration: what a start that broke off leaves, and what is never a node's. */
const BEFORE_CONFIGURATION = new Set(['guest', 'keys', 'log', 'run', 'zinit', OF_THE_FILE_SYSTEM]);

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

/** Removes all that is in the folder, and the folder; why that stays, where it must. Throws `CliError` naming what would not go. */
export async function removeFolder(folder: string): Promise<string | undefined> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (name === OF_THE_FILE_SYSTEM) continue;
    await rm(join(folder, name), { recursive: true, force: true }).catch((error: NodeJS.ErrnoException) => {
      const why = error.code === 'EBUSY' ? 'it is mounted or in use' : error.message;
      throw new CliError(`${error.path ?? join(folder, name)} would not go: ${why}`);
    });
  }
  try {
    await rmdir(folder);
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    if (code === 'EBUSY') return 'it is a mount point';
    if (code === 'EACCES' || code === 'EPERM') return 'the folder above it is not yours to change';
    throw error;
  }
}

/** Throws `CliError` where anything is in the folder: what ends with a purge begins with nothing. */
export function checkEmpty(state: string): void {
  const entries = readdirSync(state);
  if (entries.length === 0) return;
  const holder = entries.includes('node.json') ? 'holds a node' : 'is not empty';
  throw new CliError(`${state} ${holder}, and the demo removes its folder at the end. Choose another --state`);
}
