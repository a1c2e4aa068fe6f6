/**
 * Named network namespaces. Their files lie in one folder for the whole
 * machine, so a node that itself runs inside a named namespace puts that name
 * before every name of its own.
 */
import { readdir, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { ipForced } from './commands.ts';

const FOLDER = '/run/netns';
/** File system type of a live namespace file; what is left of a dead one is a plain file. */
const NSFS_MAGIC = 0x6e736673;

export class Namespaces {
  readonly scope: string;
  /** Identity of the namespace this process runs in. */
  readonly self: number;

  private constructor(scope: string, self: number) {
    this.scope = scope;
    this.self = self;
  }

  /** Finds out under which name, if any, the process's own namespace is known. */
  static async open(): Promise<Namespaces> {
    const self = (await stat('/proc/self/ns/net')).ino;
    return new Namespaces((await nameOf(self)) ?? '', self);
  }

  /** The same, for a node whose namespace had a name that is known from before. */
  withScope(scope: string): Namespaces {
    return new Namespaces(scope, this.self);
  }

  /** The name under which `ip netns exec` finds a namespace of this node. */
  nameFor(name: string): string {
    return this.scope === '' ? name : `${this.scope}.${name}`;
  }

  /** Names of this node's namespaces that have a file, alive or dead. */
  async names(): Promise<string[]> {
    const prefix = this.nameFor('');
    const files = await readdir(FOLDER).catch(() => [] as string[]);
    return files.filter((file) => file.startsWith(prefix)).map((file) => file.slice(prefix.length));
  }

  pathOf(name: string): string {
    return join(FOLDER, this.nameFor(name));
  }

  async isAlive(name: string): Promise<boolean> {
    return isNamespaceFile(this.pathOf(name));
  }

  /**
   * Removes a namespace's name, and the plain file that is left where the
   * mounts it lived in went away. The kernel takes the namespace itself down
   * some time later; its name can be used again at once.
   */
  async drop(name: string): Promise<void> {
    if (await this.isAlive(name)) await ipForced([`netns del ${this.nameFor(name)}`]);
    if (!(await this.isAlive(name))) await rm(this.pathOf(name), { force: true });
  }
}

/** Whether a file is a live namespace. */
export async function isNamespaceFile(path: string): Promise<boolean> {
  return statfs(path).then(
    (info) => info.type === NSFS_MAGIC,
    () => false,
  );
}

/** The name of the namespace with an inode number; the first by name where it has several. */
export async function nameOf(inode: number): Promise<string | undefined> {
  const names = await readdir(FOLDER).catch(() => [] as string[]);
  for (const name of names.sort()) {
    const path = join(FOLDER, name);
    if ((await isNamespaceFile(path)) && (await stat(path)).ino === inode) return name;
  }
  return undefined;
}

/** The file of a named namespace. */
export function namespaceFile(name: string): string {
  return join(FOLDER, name);
}
