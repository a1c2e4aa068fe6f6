/**
 * btrfs through its own program for changes and through sysfs for numbers.
 *
 * Quotas are full qgroups: simple quotas need an ioctl that the btrfs program of
 * Debian 12 does not offer, and their advantage (cheap deletion of snapshots)
 * is not needed where volumes are never snapshots.
 */
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { HostCommandError, run } from '../../host/run.ts';

const DEADLINE_MS = 30_000;
const SYSFS = '/sys/fs/btrfs';

async function btrfs(...args: string[]): Promise<string> {
  return (await run('btrfs', args, { deadlineMs: DEADLINE_MS })).stdout;
}

/** A pool label of ours; anything else on a device is foreign. */
export const OWN_LABEL = /^gridnode-[0-9a-f]{12}$/;

export function newLabel(): string {
  return `gridnode-${randomUUID().slice(-12)}`;
}

/** Makes a file system on a blank device or file; the program itself refuses one with content. */
export async function makeFilesystem(target: string, label?: string): Promise<void> {
  await run('mkfs.btrfs', ['--quiet', ...(label === undefined ? [] : ['--label', label]), target], {
    deadlineMs: 120_000,
  });
}

/** File system id of a mounted device, the name of its folder in sysfs. */
export function filesystemId(device: string): string {
  const found = readdirSync(SYSFS).find((id) => {
    try {
      return readdirSync(`${SYSFS}/${id}/devices`).includes(basename(device));
    } catch {
      return false;
    }
  });
  if (found === undefined) throw new Error(`no mounted btrfs on ${device}`);
  return found;
}

function sysfsNumber(path: string): number | undefined {
  try {
    return Number(readFileSync(path, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Bytes that the file system's own structures occupy on the device. */
export function structureBytes(id: string): number {
  return ['metadata', 'system']
    .map((kind) => sysfsNumber(`${SYSFS}/${id}/allocation/${kind}/disk_total`) ?? 0)
    .reduce((sum, size) => sum + size, 0);
}

export interface Quota {
  /** Limit in bytes, undefined where none is set. */
  readonly limit: number | undefined;
  readonly referenced: number;
  readonly exclusive: number;
}

/** Quota numbers of a subvolume; all zero where the kernel keeps none. */
export function readQuota(id: string, subvolume: number): Quota {
  const folder = `${SYSFS}/${id}/qgroups/0_${subvolume}`;
  const flags = sysfsNumber(`${folder}/limit_flags`) ?? 0;
  return {
    limit: (flags & 1) === 1 ? sysfsNumber(`${folder}/max_referenced`) : undefined,
    referenced: sysfsNumber(`${folder}/referenced`) ?? 0,
    exclusive: sysfsNumber(`${folder}/exclusive`) ?? 0,
  };
}

/** Turns quotas on where they are off and mends them after a crash. */
export async function ensureQuotas(id: string, mountPoint: string): Promise<void> {
  if (sysfsNumber(`${SYSFS}/${id}/qgroups/enabled`) !== 1) {
    await btrfs('quota', 'enable', mountPoint);
  } else if (sysfsNumber(`${SYSFS}/${id}/qgroups/inconsistent`) === 1) {
    await btrfs('quota', 'rescan', mountPoint).catch((error: unknown) => {
      const running = error instanceof HostCommandError && error.stderr.includes('in progress');
      if (!running) throw error;
    });
  }
}

/** Subvolumes that have a quota group and are gone. */
export function staleQuotas(id: string, live: ReadonlySet<number>): number[] {
  return (
    readdirSync(`${SYSFS}/${id}/qgroups`)
      .map((name) => Number(/^0_(\d+)$/.exec(name)?.[1] ?? 0))
      // Below 256 are the file system's own trees.
      .filter((subvolume) => subvolume >= 256 && !live.has(subvolume))
  );
}

/** Removes quota groups whose subvolume is gone; older kernels keep them for ever. */
export async function dropStaleQuotas(id: string, mountPoint: string, live: ReadonlySet<number>): Promise<void> {
  for (const subvolume of staleQuotas(id, live)) {
    // Refused while the subvolume is still being cleaned; the next start tries again.
    await btrfs('qgroup', 'destroy', `0/${subvolume}`, mountPoint).catch(() => undefined);
  }
}

/** Subvolumes directly below a mounted pool, name → id. */
export async function listSubvolumes(mountPoint: string): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const line of (await btrfs('subvolume', 'list', '-o', mountPoint)).split('\n')) {
    const match = /^ID (\d+) gen \d+ top level 5 path (.+)$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined && !match[2].includes('/')) {
      found.set(match[2], Number(match[1]));
    }
  }
  return found;
}

/** Makes an empty subvolume and returns its id. */
export async function createSubvolume(path: string): Promise<number> {
  await btrfs('subvolume', 'create', '--', path);
  return Number((await btrfs('inspect-internal', 'rootid', '--', path)).trim());
}

/** Removes a subvolume with all its content. The kernel frees its space in the background. */
export async function deleteSubvolume(path: string): Promise<void> {
  await btrfs('subvolume', 'delete', '--', path);
}

export async function limitSubvolume(path: string, size: number): Promise<void> {
  await btrfs('qgroup', 'limit', '--', String(size), path);
}

/** Commits what is pending and wakes the kernel's cleaner. */
export async function commit(mountPoint: string): Promise<void> {
  await btrfs('filesystem', 'sync', mountPoint);
}

/** Extends a mounted file system to its device's size. */
export async function growFilesystem(mountPoint: string): Promise<void> {
  await btrfs('filesystem', 'resize', 'max', mountPoint);
}

/** New files of the folder are written in place, as virtual disks need. */
export async function writeInPlace(folder: string): Promise<void> {
  await run('chattr', ['+C', '--', folder], { deadlineMs: DEADLINE_MS });
}

/** What is found on a device or file, or undefined when it is blank. */
export async function probeContent(path: string): Promise<Record<string, string> | undefined> {
  try {
    const { stdout } = await run('blkid', ['-p', '-o', 'export', '--', path], { deadlineMs: DEADLINE_MS });
    return Object.fromEntries(
      stdout
        .split('\n')
        .filter((line) => line.includes('='))
        .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
  } catch (error) {
    // 2: nothing known found. 8: more than one signature, which is content too.
    if (error instanceof HostCommandError && error.exitCode === 2) return undefined;
    if (error instanceof HostCommandError && error.exitCode === 8) return { TYPE: 'ambiguous' };
    throw error;
  }
}
