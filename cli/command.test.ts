import { expect, it } from 'vitest';
import { CliError, readFlags, readOptions } from './command.ts';

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
