/**
 * Files inside a tenant's tree, opened without following a link anywhere on the
 * way: each component is opened on its own, relative to the one before.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, readdir, unlink } from 'node:fs/promises';

/** A component of the path is a link, or the last one is not a regular file. */
export class LinkRefusedError extends Error {
  override readonly name = 'LinkRefusedError';
  readonly path: string;

  constructor(path: string) {
    super(`${path} is a link or not a regular file`);
    this.path = path;
  }
}

const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** A pipe or device opened for reading must not block. */
const FILE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** The open folder `components` below `root`; undefined where there is none. */
async function openFolder(root: string, components: readonly string[]): Promise<FileHandle | undefined> {
  let folder = await open(root, FOLDER);
  for (const component of components) {
    const next = await openAt(folder, component, FOLDER, components.join('/')).finally(() => folder.close());
    if (next === undefined) return undefined;
    folder = next;
  }
  return folder;
}

/** The regular file at `path` below `root`, open for reading; undefined where there is none. Throws `LinkRefusedError`. */
export async function openBeneath(root: string, path: string): Promise<FileHandle | undefined> {
  const components = path.split('/').filter((part) => part !== '');
  const name = components.pop();
  if (name === undefined || [name, ...components].some((part) => part === '.' || part === '..')) {
    throw new LinkRefusedError(path);
  }
  const folder = await openFolder(root, components);
  if (folder === undefined) return undefined;
  const file = await openAt(folder, name, FILE, path).finally(() => folder.close());
  if (file === undefined) return undefined;
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new LinkRefusedError(path);
}

/** Removes the entries of a folder below `root` whose name passes; links themselves are removed, never followed. */
export async function removeBeneath(root: string, folder: string, wanted: (name: string) => boolean): Promise<void> {
  const handle = await openFolder(
    root,
    folder.split('/').filter((part) => part !== ''),
  ).catch((error: unknown) => {
    if (error instanceof LinkRefusedError) return undefined;
    throw error;
  });
  if (handle === undefined) return;
  try {
    const place = `/proc/self/fd/${handle.fd}`;
    for (const name of await readdir(place)) {
      if (wanted(name)) await unlink(`${place}/${name}`);
    }
  } finally {
    await handle.close();
  }
}

async function openAt(folder: FileHandle, name: string, flags: number, path: string): Promise<FileHandle | undefined> {
  try {
    // The kernel resolves the handle itself; only `name` is looked up, and not followed.
    return await open(`/proc/self/fd/${folder.fd}/${name}`, flags);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    if (code === 'ELOOP' || code === 'ENOTDIR' || code === 'ENXIO') throw new LinkRefusedError(path);
    throw error;
  }
}
