/**
 * Takes down everything that flistd made for a state folder and removes it.
 *
 *     node purge.ts --state DIR
 *
 * Safe to run again and with nothing there. Runs before the purge of storaged,
 * whose volumes are under the writable mounts.
 */
import { existsSync, realpathSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { mountsBelow } from '../host/mounts.ts';
import { unmountPath } from './drivers/mounts.ts';

export async function purgeFlists(state: string): Promise<void> {
  if (!existsSync(state)) return;
  const root = join(realpathSync(state), 'flistd');
  for (const mount of mountsBelow(root)) await unmountPath(mount.target);
  // Removing a folder below which something is mounted would remove what is in there.
  const left = mountsBelow(root).map((mount) => mount.target);
  if (left.length > 0) throw new Error(`still mounted: ${left.join(', ')}`);
  await rm(root, { recursive: true, force: true });
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { state: { type: 'string' } } });
  if (values.state === undefined) throw new Error('purge: --state DIR is required');
  await purgeFlists(values.state);
}
