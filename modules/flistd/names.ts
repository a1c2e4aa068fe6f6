/** Names of mounts are names of folders: one plain path component. */
import { GridError } from '../../schemas/errors/index.ts';

const NAME = /^[A-Za-z0-9_][A-Za-z0-9._:@+-]*$/;
const LENGTH_LIMIT = 200;

export function checkMountName(name: string): void {
  const reason =
    name.length === 0 || name.length > LENGTH_LIMIT
      ? `a name has 1 to ${LENGTH_LIMIT} characters`
      : NAME.test(name)
        ? undefined
        : 'a name consists of letters, digits and ._:@+- and begins with a letter, a digit or _';
  if (reason !== undefined) throw new GridError('flist_invalid_name', { name, reason });
}
