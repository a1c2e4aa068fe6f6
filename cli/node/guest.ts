/** The guest kernel and initramfs, built once for the machine and given to each node. */
import { constants, copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { buildGuest } from '../../modules/vmd/guest/build.ts';
import { checkout, type Layout } from './layout.ts';

/** Puts `guest/kernel` and `guest/initrd.img` into the state folder. */
export async function ensureGuest(layout: Layout, signal?: AbortSignal): Promise<void> {
  const guest = await buildGuest({ stateDir: join(checkout, '.tools'), ...(signal === undefined ? {} : { signal }) });
  const folder = join(layout.state, 'guest');
  await mkdir(folder, { recursive: true, mode: 0o755 });
  await copyFile(guest.kernel, join(folder, 'kernel'), constants.COPYFILE_FICLONE);
  await copyFile(guest.initrd, join(folder, 'initrd.img'), constants.COPYFILE_FICLONE);
}
