/** Flists that nobody fetches: every address is an empty tree, and a mount is an entry with an empty folder. */
import { createHash } from 'node:crypto';
import { lstatSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { GridError } from '../../../schemas/errors/index.ts';
import { Book, type SimulatedHost } from '../../host/simulation.ts';
import type { FlistMount, FlistMounts, FlistTree, FlistTrees } from './driver.ts';
import { shownUrl } from './http.ts';
import { parseFlistUrl } from './source.ts';

const NOT_READ = 'it does not fetch or read flists';

export class SimulatedTrees implements FlistTrees {
  readonly #path: string;
  readonly #host: SimulatedHost;

  /** `path`: an empty folder. */
  constructor(path: string, host: SimulatedHost) {
    this.#path = path;
    this.#host = host;
  }

  /** Takes either format: nodes of the grid do, and neither is read here. */
  check(url: string): void {
    parseFlistUrl(url.replace(/\.flist$/, '.fl'));
  }

  async with<T>(
    url: string,
    known: string | undefined,
    signal: AbortSignal,
    use: (tree: FlistTree) => Promise<T>,
  ): Promise<T> {
    await this.#host.act(`flistd fetch ${shownUrl(url)}`);
    signal.throwIfAborted();
    const sha256 = known ?? createHash('sha256').update(url).digest('hex');
    return use({ path: this.#path, sha256, shown: shownUrl(url), kept: known !== undefined });
  }

  hash(): Promise<string> {
    return Promise.reject(new GridError('simulation_cannot', { what: 'hash of a flist', reason: NOT_READ }));
  }

  md5(): string | undefined {
    throw new GridError('simulation_cannot', { what: 'hash of a flist', reason: NOT_READ });
  }
}

const mountBook = z.record(
  z.string(),
  z.object({ sha256: z.string(), readOnly: z.boolean(), volume: z.string().optional() }),
);

export class SimulatedMounts implements FlistMounts {
  readonly #folder: string;
  readonly #book: Book<z.infer<typeof mountBook>>;
  readonly #host: SimulatedHost;

  /** `folder` holds the mount points, `book` is the file of their entries. */
  constructor(folder: string, book: string, host: SimulatedHost) {
    this.#folder = folder;
    this.#book = Book.open(book, mountBook, () => ({}));
    this.#host = host;
  }

  path(name: string): string {
    return join(this.#folder, name);
  }

  find(name: string): FlistMount | undefined {
    const found = Object.hasOwn(this.#book.content, name) ? this.#book.content[name] : undefined;
    if (found === undefined) return undefined;
    return { path: this.path(name), sha256: found.sha256, readOnly: found.readOnly, volume: found.volume };
  }

  mountReadOnly(name: string, tree: FlistTree): Promise<string> {
    return this.#mount(name, { sha256: tree.sha256, readOnly: true });
  }

  mountWritable(name: string, tree: FlistTree, volume: string): Promise<string> {
    if (!lstatSync(volume, { throwIfNoEntry: false })?.isDirectory()) {
      throw new GridError('flist_option_refused', { name, reason: `'${volume}' is not a folder` });
    }
    return this.#mount(name, { sha256: tree.sha256, readOnly: false, volume });
  }

  async #mount(name: string, entry: z.infer<typeof mountBook>[string]): Promise<string> {
    await this.#host.act(`flistd mount ${name}`);
    const path = this.path(name);
    await mkdir(path, { recursive: true, mode: 0o755 });
    this.#book.content[name] = entry;
    this.#book.save();
    return path;
  }

  names(): string[] {
    return Object.keys(this.#book.content);
  }

  async unmount(name: string): Promise<void> {
    if (this.find(name) !== undefined) await this.#host.act(`flistd unmount ${name}`);
    delete this.#book.content[name];
    this.#book.save();
    await rm(this.path(name), { recursive: true, force: true });
  }
}
