/** Names of volumes and disks are names of files in a pool: one plain path component. */
import { GridError } from '../../schemas/errors/index.ts';

export const CACHE_VOLUME = 'zos-cache';
export const DISKS_VOLUME = 'vdisks';
export const DEVICE_VOLUME = 'zdb';
/** What bears this prefix was not finished; a start removes it. */
export const UNFINISHED = '.making-';

/** Volumes that belong to the node or to zdb, not to a workload. */
export function isOwnVolume(name: string): boolean {
  return name === CACHE_VOLUME || name === DISKS_VOLUME || name.startsWith(DEVICE_VOLUME);
}

/** The name something has or would have had, had it been finished. */
export function finishedName(name: string): string {
  return name.startsWith(UNFINISHED) ? name.slice(UNFINISHED.length) : name;
}

const NAME = /^[A-Za-z0-9_][A-Za-z0-9._:@+-]*$/;
const LENGTH_LIMIT = 200;

function nameFault(name: string): string | undefined {
  if (name.length === 0 || name.length > LENGTH_LIMIT) return `a name has 1 to ${LENGTH_LIMIT} characters`;
  if (!NAME.test(name)) return 'a name consists of letters, digits and ._:@+- and begins with a letter, a digit or _';
  return undefined;
}

/** Throws for a name that no caller may give a volume. */
export function checkVolumeName(name: string): void {
  let reason = nameFault(name);
  if (name.startsWith(DEVICE_VOLUME)) reason = 'zdb prefix is reserved';
  if (name === CACHE_VOLUME || name === DISKS_VOLUME) reason = `'${name}' is reserved`;
  if (reason !== undefined) throw new GridError('storage_invalid_name', { kind: 'volume', name, reason });
}

export function checkDiskName(name: string): void {
  const reason = nameFault(name);
  if (reason !== undefined) throw new GridError('storage_invalid_name', { kind: 'disk', name, reason });
}

export function isDiskName(name: string): boolean {
  return nameFault(name) === undefined;
}
