import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { CliError, readFlags, readOptions } from './command.ts';
import { command as up } from './commands/up.ts';
import { command as upSimulated } from './commands/up-simulated.ts';

const options = { purge: { type: 'boolean' }, state: { type: 'string' } } as const;

it('refuses words that belong to no option where a command takes none, and says which', () => {
  expect(readFlags(['--purge', '--state', 'x'], options, 'usage: down')).toEqual({ purge: true, state: 'x' });
  const wrong = () => readFlags(['purge', '/some/folder'], options, 'usage: down');
  expect(wrong).toThrow(CliError);
  expect(wrong).toThrow("'purge /some/folder' is no option and belongs to none\n\nusage: down");
});

it('shows the usage for an unknown option', () => {
  expect(() => readOptions(['--bogus'], options, 'usage: down')).toThrow(/^Unknown option '--bogus'\n\nusage: down$/);
});

it.each([
  { command: up, words: [] },
  { command: upSimulated, words: ['--simulate'] },
])('refuses a level of the log that no daemon knows before anything is made: up $words', async ({ command, words }) => {
  const state = join(tmpdir(), 'gn-command-never-made');
  await expect(command.run([...words, '--log-level', 'loud', '--state', state])).rejects.toThrow(
    '--log-level loud: use trace, debug, info, warn, error',
  );
  expect(existsSync(state)).toBe(false);
});
