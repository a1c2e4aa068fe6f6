/** What a machine's mounted image brings along: its own kernel, or a disk image for another way to boot. */
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { GridError } from '../../schemas/errors/index.ts';
import { LinkRefusedError, openBeneath, removeBeneath } from './beneath.ts';
import type { GuestBoot } from './workload.ts';

/** A kernel or first root file system beyond this is refused. */
const BOOT_FILE_LIMIT_BYTES = 512 * 1024 ** 2;

/** How a container machine boots. `ownKernel`: the image's, whose init is named on its command line. */
export interface ImageBoot extends GuestBoot {
  readonly ownKernel: boolean;
}

/**
 * Looks into the mounted tree. A kernel of the image's own is copied into
 * `folder`, outside of what the machine can write to, so that the file that was
 * looked at is the file that boots, also after the machine ran.
 */
export async function imageBoot(
  workload: string,
  mounted: string,
  folder: string,
  guest: GuestBoot,
  signal: AbortSignal,
): Promise<ImageBoot> {
  try {
    const disk = await openBeneath(mounted, 'image.raw');
    if (disk !== undefined) {
      await disk.close();
      throw new GridError('vm_mode_unsupported', { workload });
    }
    const kernel = join(folder, 'vmlinuz');
    if (!(await copyOut(mounted, 'boot/vmlinuz', kernel, signal))) return { ...guest, ownKernel: false };
    const initrd = join(folder, 'initrd.img');
    const hasInitrd = await copyOut(mounted, 'boot/initrd.img', initrd, signal);
    return { kernel, initrd: hasInitrd ? initrd : '', ownKernel: true };
  } catch (error) {
    if (error instanceof LinkRefusedError) throw new GridError('image_link_refused', { workload, path: error.path });
    throw error;
  }
}

/** Machines from one image must not share host keys: the guest makes its own at its first start. */
export async function removeHostKeys(mounted: string): Promise<void> {
  await removeBeneath(mounted, 'etc/ssh', (name) => name.startsWith('ssh_host_'));
}

async function copyOut(mounted: string, path: string, target: string, signal: AbortSignal): Promise<boolean> {
  const source = await openBeneath(mounted, path);
  if (source === undefined) return false;
  const partial = `${target}.part`;
  try {
    if ((await source.stat()).size > BOOT_FILE_LIMIT_BYTES)
      throw new Error(`/${path} is larger than ${BOOT_FILE_LIMIT_BYTES} bytes`);
    await mkdir(join(target, '..'), { recursive: true, mode: 0o755 });
    await rm(partial, { force: true });
    const out = await open(partial, 'wx', 0o644);
    await pipeline(source.createReadStream({ autoClose: false }), out.createWriteStream(), { signal });
    await rename(partial, target);
    return true;
  } finally {
    await source.close();
  }
}
