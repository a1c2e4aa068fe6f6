/** The guest kernel and initramfs, built once for the machine and given to each node. */
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../modules/host/run.ts';
import { checkout, type Layout } from './layout.ts';

const BUILD_DEADLINE_MS = 5 * 60_000;

/** Puts `guest/vmlinux` and `guest/initrd.img` into the state folder. */
export async function ensureGuest(layout: Layout, signal?: AbortSignal): Promise<void> {
  const cache = join(checkout, '.tools');
  await run(process.execPath, [join(checkout, 'modules/vmd/guest/build.ts'), '--state', cache], {
    deadlineMs: BUILD_DEADLINE_MS,
    ...(signal === undefined ? {} : { signal }),
  });
  await mkdir(join(layout.state, 'guest'), { recursive: true, mode: 0o700 });
  for (const file of ['vmlinux', 'initrd.img']) {
    await copyFile(join(cache, 'guest', file), join(layout.state, 'guest', file));
  }
}
