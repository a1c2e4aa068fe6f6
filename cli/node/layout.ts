/** Where a node keeps its state, and the names derived from that place. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { CliError } from '../command.ts';
import { checkPrivate } from './ownership.ts';

/** Unix socket paths end at 107 bytes; the longest one below the state folder needs 40. */
const STATE_PATH_LIMIT = 64;

export interface Layout {
  readonly state: string;
  /** Six hex digits that make kernel-wide names of this node its own. */
  readonly id: string;
  readonly config: string;
  readonly units: string;
  readonly control: string;
  readonly broker: string;
  readonly keys: string;
}

/** `--state`, else GRIDNODE_STATE, else a folder under /var/lib, per user without root. */
export function stateFolder(option: string | undefined): string {
  const own = join(process.env.XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'gridnode');
  const fallback = process.getuid?.() === 0 ? '/var/lib/gridnode/node' : own;
  return resolve(option ?? process.env.GRIDNODE_STATE ?? fallback);
}

/** Makes the folder and derives the names. Throws `CliError` for a path too long for sockets. */
export function makeLayout(option: string | undefined): Layout {
  mkdirSync(stateFolder(option), { recursive: true, mode: 0o700 });
  return layoutOf(option);
}

/** The names of a folder that may not exist: asking about a node makes none. Throws `CliError` for another user's. */
export function layoutOf(option: string | undefined): Layout {
  const wanted = stateFolder(option);
  const exists = existsSync(wanted);
  const state = exists ? realpathSync(wanted) : wanted;
  if (exists) checkPrivate(state);
  if (Buffer.byteLength(state) > STATE_PATH_LIMIT) {
    throw new CliError(
      `state folder ${state} has ${Buffer.byteLength(state)} bytes; sockets below it need ${STATE_PATH_LIMIT} or fewer. Choose a shorter --state`,
    );
  }
  return {
    state,
    id: createHash('sha256').update(state).digest('hex').slice(0, 6),
    config: join(state, 'node.json'),
    units: join(state, 'zinit'),
    control: join(state, 'zinit.sock'),
    broker: `unix://${join(state, 'redis.sock')}`,
    keys: join(state, 'keys'),
  };
}

/** Top folder of the checkout. */
export const checkout = resolve(import.meta.dirname, '..', '..');
