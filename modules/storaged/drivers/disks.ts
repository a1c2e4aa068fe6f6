/**
 * Virtual disks: files in a pool's `vdisks` volume, fully allocated and written
 * in place. A disk appears under its name in one step.
 */
import { constants, type Dirent, lstatSync, readdirSync } from 'node:fs';
import { type FileHandle, lstat, open, readdir, rename, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { MINIMUM_FORMATTED_BYTES } from '../../../schemas/capacity.ts';
import { GridError } from '../../../schemas/errors/index.ts';
import { HostCommandError, run } from '../../host/run.ts';
import { UNFINISHED } from '../names.ts';
import { makeFilesystem, probeContent } from './btrfs.ts';
import { type Disk, NoRoomError, type PoolItem } from './driver.ts';

/** Beside a disk while an image is written to it: its content is no content yet. */
const WRITING = '.writing-';
const COPY_BYTES = 4 * 1024 ** 2;

export function listDisks(folder: string): Disk[] {
  const isDisk = (entry: Dirent): boolean => entry.isFile() && !entry.name.startsWith('.');
  return readdirSync(folder, { withFileTypes: true })
    .filter(isDisk)
    .map((entry) => ({
      name: entry.name,
      path: join(folder, entry.name),
      size: lstatSync(join(folder, entry.name)).size,
    }));
}

/** Every file of the folder that is or was to be a disk, by its name there. */
export async function diskItems(folder: string): Promise<PoolItem[]> {
  const found: PoolItem[] = [];
  for (const name of await readdir(folder)) {
    const stats = await lstat(join(folder, name)).catch(() => undefined);
    // Marks beside a disk go with it.
    if (stats?.isFile() !== true || (name.startsWith('.') && !name.startsWith(UNFINISHED))) continue;
    found.push({ kind: 'disk', name, bytes: stats.size, since: Math.floor(stats.birthtimeMs) });
  }
  return found;
}

export function findDisk(folder: string, name: string): Disk | undefined {
  const path = join(folder, name);
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat?.isFile() ? { name, path, size: stat.size } : undefined;
}

export async function removeUnfinishedDisks(folder: string): Promise<void> {
  for (const name of readdirSync(folder)) if (name.startsWith(UNFINISHED)) await rm(join(folder, name));
}

async function allocate(path: string, size: number): Promise<void> {
  try {
    await run('fallocate', ['--length', String(size), '--', path], { deadlineMs: 60_000 });
  } catch (error) {
    const full = error instanceof HostCommandError && /No space left|Disk quota exceeded/.test(error.stderr);
    throw full ? new NoRoomError(`no room for ${size} bytes`, { cause: error }) : error;
  }
}

export async function createDisk(folder: string, name: string, size: number): Promise<Disk> {
  const unfinished = join(folder, `${UNFINISHED}${name}`);
  const path = join(folder, name);
  try {
    await allocate(unfinished, size);
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
  return { name, path, size };
}

/** Makes a disk larger; a failure leaves the old size. */
export async function growDisk(disk: Disk, size: number): Promise<Disk> {
  try {
    await allocate(disk.path, size);
  } catch (error) {
    await truncate(disk.path, disk.size);
    throw error;
  }
  return { ...disk, size };
}

export async function deleteDisk(folder: string, name: string): Promise<void> {
  await rm(join(folder, name), { force: true });
  await rm(join(folder, `${WRITING}${name}`), { force: true });
}

/** Makes a btrfs file system on a blank disk; a disk with content stays as it is. */
export async function formatDisk(disk: Disk): Promise<void> {
  if ((await probeContent(disk.path)) !== undefined) return;
  if (disk.size < MINIMUM_FORMATTED_BYTES) {
    const { name, size: requested } = disk;
    throw new GridError('storage_invalid_size', { name, requested, minimum: MINIMUM_FORMATTED_BYTES });
  }
  try {
    await makeFilesystem(disk.path);
  } catch (error) {
    if (!(error instanceof HostCommandError)) throw error;
    // Content that only mkfs knows: kept as well.
    if (error.stderr.includes('use the -f option to force overwrite')) return;
    const words = error.stderr.trim().replaceAll(disk.path, disk.name);
    const reason = error.reason === 'exit' && words !== '' ? words : `mkfs.btrfs: ${error.reason}`;
    throw new GridError('storage_format_failed', { name: disk.name, reason }, { cause: error });
  }
}

async function openImage(disk: Disk, image: string): Promise<FileHandle> {
  const refuse = (reason: string): GridError =>
    new GridError('storage_image_refused', { name: disk.name, image, reason });
  let file: FileHandle;
  try {
    file = await open(image, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw refuse(code === 'ELOOP' ? 'it is a symbolic link' : (error as Error).message);
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw refuse('it is not a regular file');
}

/** Copies an image to the beginning of a blank disk; runs again after a crash as if it had never run. */
export async function writeDisk(folder: string, disk: Disk, image: string, signal: AbortSignal): Promise<void> {
  const marker = join(folder, `${WRITING}${disk.name}`);
  const interrupted = lstatSync(marker, { throwIfNoEntry: false }) !== undefined;
  if (!interrupted && (await probeContent(disk.path)) !== undefined) return;

  const source = await openImage(disk, image);
  try {
    const { size } = await source.stat();
    if (size > disk.size) {
      throw new GridError('storage_image_too_big', { name: disk.name, image: size, disk: disk.size });
    }
    await (await open(marker, 'w', 0o600)).close();
    if (interrupted) {
      await run('fallocate', ['--zero-range', '--length', String(disk.size), '--', disk.path], { deadlineMs: 60_000 });
    }
    const target = await open(disk.path, 'r+');
    try {
      await copy(source, target, signal);
      await target.sync();
    } finally {
      await target.close();
    }
    await rm(marker);
  } finally {
    await source.close();
  }
}

/** Copies what is not zero: an allocated disk reads as zeros already. */
async function copy(source: FileHandle, target: FileHandle, signal: AbortSignal): Promise<void> {
  const buffer = Buffer.alloc(COPY_BYTES);
  const zeros = Buffer.alloc(COPY_BYTES);
  for (let offset = 0; ; ) {
    signal.throwIfAborted();
    const { bytesRead } = await source.read(buffer, 0, COPY_BYTES, offset);
    if (bytesRead === 0) return;
    const part = buffer.subarray(0, bytesRead);
    if (!part.equals(zeros.subarray(0, bytesRead))) {
      for (let written = 0; written < bytesRead; ) {
        written += (await target.write(part, written, bytesRead - written, offset + written)).bytesWritten;
      }
    }
    offset += bytesRead;
  }
}
