/**
 * Takes down everything that storaged made for a state folder and removes it.
 *
 *     node purge.ts --state DIR
 *
 * Safe to run again and with nothing there. Pools on named devices are
 * unmounted and keep their content.
 */
import { existsSync, realpathSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { mountsBelow } from '../host/mounts.ts';
import { run } from '../host/run.ts';
import { detachLoop, listLoops } from './drivers/loop.ts';

const ATTEMPTS = 10;
const RETRY_MS = 200;

async function unmount(target: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await run('umount', ['--', target], { deadlineMs: 60_000 });
      return;
    } catch (error) {
      if (attempt < ATTEMPTS) {
        await delay(RETRY_MS);
        continue;
      }
      // Something still has a file open there: out of the tree now, gone when that is closed.
      await run('umount', ['--lazy', '--', target], { deadlineMs: 20_000 }).catch(() => {
        throw error;
      });
      return;
    }
  }
}

/** Unmounts the pools of `state`, detaches their loop devices and removes both folders. */
export async function purgeStorage(state: string): Promise<void> {
  if (!existsSync(state)) return;
  const real = realpathSync(state);
  const pools = join(real, 'pools');
  const root = join(real, 'storaged');
  for (const mount of mountsBelow(pools)) await unmount(mount.target);
  for (const [device, file] of listLoops()) if (file.startsWith(`${root}/`)) await detachLoop(device);

  // Removing a folder below which something is mounted would remove what is in there.
  const left = [...mountsBelow(pools), ...mountsBelow(root)].map((mount) => mount.target);
  if (left.length > 0) throw new Error(`still mounted: ${left.join(', ')}`);
  for (const folder of [pools, root]) await rm(folder, { recursive: true, force: true });
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { state: { type: 'string' } } });
  if (values.state === undefined) throw new Error('purge: --state DIR is required');
  await purgeStorage(values.state);
}
