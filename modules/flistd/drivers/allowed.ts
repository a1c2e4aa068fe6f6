/** Files that flists may name on this host: only below the folders given by `--allow-file`. */
import { constants, fstatSync, readlinkSync, realpathSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { resolve } from 'node:path';

export class NotAllowedError extends Error {
  override readonly name = 'NotAllowedError';
}

export class AllowedFolders {
  readonly #given: readonly string[];

  constructor(folders: readonly string[]) {
    this.#given = folders.map((folder) => resolve(folder));
  }

  /** The folders as they are now: one may be made, or be a link, after the start. */
  get #folders(): string[] {
    return this.#given.flatMap((folder) => {
      try {
        return [realpathSync(folder)];
      } catch {
        return [];
      }
    });
  }

  #holds(path: string): boolean {
    return this.#folders.some((folder) => path.startsWith(`${folder}/`));
  }

  /**
   * Opens a regular file below an allowed folder for reading. Where it really
   * is decides, after it was opened: a link that leads out is refused.
   * @throws NotAllowedError; a system error when there is no such file
   */
  async open(path: string): Promise<{ file: FileHandle; size: number }> {
    const wanted = resolve(path);
    if (!this.#holds(wanted) && !this.#holds(realParent(wanted))) {
      throw new NotAllowedError('it is outside the allowed folders');
    }
    const file = await open(wanted, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      // On an open file these never wait for a disk.
      const stats = fstatSync(file.fd);
      if (!stats.isFile()) throw new NotAllowedError('it is not a regular file');
      const real = readlinkSync(`/proc/self/fd/${file.fd}`);
      if (!this.#holds(real)) throw new NotAllowedError('it is outside the allowed folders');
      return { file, size: stats.size };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Whether a folder is, or is below, an allowed one. */
  allows(folder: string): boolean {
    try {
      const real = realpathSync(folder);
      return this.#folders.includes(real) || this.#holds(real);
    } catch {
      return this.#holds(resolve(folder));
    }
  }
}

/** The path with its folder's links resolved, for an allowed folder that was given by another name. */
function realParent(path: string): string {
  const slash = path.lastIndexOf('/');
  try {
    return `${realpathSync(path.slice(0, slash) || '/')}${path.slice(slash)}`;
  } catch {
    return path;
  }
}
