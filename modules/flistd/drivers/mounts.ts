/** Puts trees at their mount points. The kernel's mount table is the truth about what is mounted. */
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readdirSync, statSync, utimesSync } from 'node:fs';
import { mkdir, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { GridError } from '../../../schemas/errors/index.ts';
import { listMounts, mountAt } from '../../host/mounts.ts';
import { HostCommandError, run } from '../../host/run.ts';
import { hashInPath } from './bases.ts';
import type { FlistMount, FlistMounts, FlistTree } from './driver.ts';

const DEADLINE_MS = 20_000;
const BUSY_ATTEMPTS = 10;
const BUSY_PAUSE_MS = 100;
/** Nothing from a flist runs, opens devices or gains rights on the host; a guest sees the modes as they are. */
const GUARDED = 'nodev,nosuid,noexec';
const UPPER = 'rw';
const WORK = 'wd';

export class Mounts implements FlistMounts {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  path(name: string): string {
    return join(this.#folder, name);
  }

  find(name: string): FlistMount | undefined {
    const mount = mountAt(this.path(name));
    if (mount === undefined) return undefined;
    const option = (key: string): string | undefined =>
      mount.superOptions.find((found) => found.startsWith(`${key}=`))?.slice(key.length + 1);
    if (mount.type !== 'overlay') {
      return { path: mount.target, sha256: hashInPath(mount.root), readOnly: true, volume: undefined };
    }
    const upper = option('upperdir');
    const volume = upper === undefined ? undefined : dirname(unescapeOption(upper));
    return { path: mount.target, sha256: hashInPath(option('lowerdir') ?? ''), readOnly: false, volume };
  }

  async mountReadOnly(name: string, { path: tree }: FlistTree): Promise<string> {
    const path = this.path(name);
    await mkdir(path, { recursive: true, mode: 0o755 });
    await this.#mount(path, ['-o', `bind,ro,${GUARDED}`, tree, path]);
    return path;
  }

  /**
   * A writable view: reads come from the tree, writes go to `volume`, a folder
   * on a pool. Tree and volume are on different file systems: on one btrfs the
   * inode numbers of both would collide.
   */
  async mountWritable(name: string, { path: tree }: FlistTree, volume: string): Promise<string> {
    const refuse = (reason: string): GridError => new GridError('flist_option_refused', { name, reason });
    if (!lstatSync(volume, { throwIfNoEntry: false })?.isDirectory()) throw refuse(`'${volume}' is not a folder`);
    if (statSync(volume).dev === statSync(tree).dev) throw refuse(`'${volume}' is on the flist cache's file system`);
    for (const part of [UPPER, WORK]) {
      const folder = join(volume, part);
      const found = lstatSync(folder, { throwIfNoEntry: false });
      if (found !== undefined && !found.isDirectory()) throw refuse(`'${folder}' is not a folder`);
      if (found === undefined) makeFolderLike(folder, tree);
    }
    const path = this.path(name);
    await mkdir(path, { recursive: true, mode: 0o755 });
    const folders = [
      `lowerdir=${escapeOption(tree, true)}`,
      `upperdir=${escapeOption(join(volume, UPPER), false)}`,
      `workdir=${escapeOption(join(volume, WORK), false)}`,
    ].join(',');
    // One device number and stable inode numbers for both layers.
    await this.#mount(path, ['-t', 'overlay', '-o', `noatime,${GUARDED},xino=on,${folders}`, 'overlay', path]);
    return path;
  }

  async #mount(path: string, args: readonly string[]): Promise<void> {
    try {
      await run('mount', args, { deadlineMs: DEADLINE_MS });
    } catch (error) {
      await rmdir(path).catch(() => undefined);
      throw error;
    }
  }

  /** Unmounts and removes the mount point; nothing to do is fine. */
  async unmount(name: string): Promise<void> {
    const path = this.path(name);
    while (mountAt(path) !== undefined) await unmountPath(path);
    if (existsSync(path)) await rmdir(path);
  }

  /** Names that have a mount point or are mounted. */
  names(): string[] {
    const mounted = listMounts()
      .filter((mount) => dirname(mount.target) === this.#folder)
      .map((mount) => basename(mount.target));
    return [...new Set([...readdirSync(this.#folder), ...mounted])];
  }

  /** After a crash: removes empty mount points and mounts that never became read-only. */
  async settle(): Promise<void> {
    for (const name of this.names()) {
      const mount = mountAt(this.path(name));
      const whole = mount !== undefined && (mount.type === 'overlay' || mount.options.includes('ro'));
      if (!whole) await this.unmount(name);
    }
  }
}

export async function unmountPath(path: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await run('umount', ['--', path], { deadlineMs: DEADLINE_MS });
      return;
    } catch (error) {
      if (!(error instanceof HostCommandError) || mountAt(path) === undefined) return;
      if (attempt < BUSY_ATTEMPTS) {
        await delay(BUSY_PAUSE_MS);
        continue;
      }
      // Something still holds a file there: out of the tree now, gone when that is closed.
      await run('umount', ['--lazy', '--', path], { deadlineMs: DEADLINE_MS });
      return;
    }
  }
}

/** A folder with the owner, mode and time of another: a writable root looks like the flist's. */
function makeFolderLike(folder: string, model: string): void {
  const stats = statSync(model);
  mkdirSync(folder, { mode: 0o700 });
  chownSync(folder, stats.uid, stats.gid);
  chmodSync(folder, stats.mode & 0o7777);
  utimesSync(folder, stats.mtime, stats.mtime);
}

/** Overlay options end at a comma, lower folders also at a colon. */
function escapeOption(path: string, isLower: boolean): string {
  return path.replace(isLower ? /[\\,:]/g : /[\\,]/g, '\\$&');
}

function unescapeOption(text: string): string {
  return text.replace(/\\([\\,:])/g, '$1');
}
