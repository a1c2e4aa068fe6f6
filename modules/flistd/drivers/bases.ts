/**
 * Unpacked flists by the hash of their file: each unpacked once, published in
 * one rename, never changed, evicted when nobody refers to it and longest unused.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { mkdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { GridError, isGridError } from '../../../schemas/errors/index.ts';
import type { AddressRules } from '../../host/addresses.ts';
import { listMounts } from '../../host/mounts.ts';
import { run } from '../../host/run.ts';
import { Shared } from './shared.ts';
import type { FlistFile } from './source.ts';
import { unpackApart } from './unpacking.ts';

export interface Base {
  readonly sha256: string;
  readonly md5: string;
  /** Where the flist came from first. */
  readonly url: string;
  /** Bytes it counts for in the cache. */
  readonly bytes: number;
  readonly entries: number;
  readonly skipped: number;
  /** Boot in which it was unpacked. */
  readonly boot: string;
}

const TREE = 'root';
const FACTS = 'base.json';
/** Present once the host has written everything to disk. */
const DURABLE = 'durable';
const UNFINISHED = '.unpack-';
const LEAVING = '.evict-';
const HASH = /^[0-9a-f]{64}$/;
const BASE_PATH = /\/base\/([0-9a-f]{64})\/root$/;
/** Free space that unpacking leaves on the host. */
const HOST_RESERVE_BYTES = 64 * 1024 ** 2;
const CALM_MS = 1500;

/** The flist hash in a path of a base's tree, as mounts name it. */
export function hashInPath(path: string): string | undefined {
  return BASE_PATH.exec(path)?.[1];
}

function isRemains(name: string): boolean {
  return /^\.(unpack|evict)-[0-9a-f]{12}$/.test(name);
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

export interface BasesOptions {
  readonly folder: string;
  readonly limitBytes: number;
  /** Folders from which `dir:` stores may be read. */
  readonly allowed: readonly string[];
  /** Hosts of which other stores may be. */
  readonly addresses: AddressRules;
  /** Hashes of flists that are kept although they may not be mounted now. */
  readonly held: () => ReadonlySet<string>;
  readonly log: Logger;
}

/** Soon returns what the flist's file took, which an idle heap would keep. Needs `--expose-gc`. */
function giveBackMemory(): void {
  setTimeout(() => globalThis.gc?.({ type: 'major', execution: 'async', flavor: 'last-resort' }), CALM_MS).unref();
}

export class Bases {
  readonly #folder: string;
  readonly #limitBytes: number;
  readonly #allowed: readonly string[];
  readonly #addresses: AddressRules;
  readonly #held: () => ReadonlySet<string>;
  readonly #log: Logger;
  readonly #bases = new Map<string, Base>();
  /** Bases that a mount under way needs, with the number of such mounts. */
  readonly #pins = new Map<string, number>();
  readonly #unpacking = new Shared<Base>();
  /** Names of folders in which something is being unpacked or removed. */
  readonly #atWork = new Set<string>();
  #reservedBytes = 0;

  private constructor({ folder, limitBytes, allowed, addresses, held, log }: BasesOptions) {
    this.#folder = folder;
    this.#limitBytes = limitBytes;
    this.#allowed = allowed;
    this.#addresses = addresses;
    this.#held = held;
    this.#log = log;
  }

  /** Opens the cache: what a crash left unfinished goes, what the host may have lost too. */
  static async open(options: BasesOptions): Promise<Bases> {
    const { folder } = options;
    const bases = new Bases(options);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const boot = bootId();
    for (const name of readdirSync(folder)) {
      const base = HASH.test(name) ? bases.#readFacts(name) : undefined;
      const whole = base !== undefined && (base.boot === boot || existsSync(join(folder, name, DURABLE)));
      if (base !== undefined && whole) bases.#bases.set(name, base);
      else await rm(join(folder, name), { recursive: true, force: true });
    }
    return bases;
  }

  #readFacts(name: string): Base | undefined {
    try {
      const base = JSON.parse(readFileSync(join(this.#folder, name, FACTS), 'utf8')) as Base;
      return base.sha256 === name ? base : undefined;
    } catch {
      return undefined;
    }
  }

  /** The base of a flist, unless its tree has gone from under it. */
  get(sha256: string): Base | undefined {
    const base = this.#bases.get(sha256);
    if (base === undefined || lstatSync(this.path(sha256), { throwIfNoEntry: false })?.isDirectory()) return base;
    this.#bases.delete(sha256);
    this.#log.warn({ url: base.url, sha256 }, 'tree of a flist is gone from the cache');
    return undefined;
  }

  /** Root folder of a base's tree. */
  path(sha256: string): string {
    return join(this.#folder, sha256, TREE);
  }

  /**
   * Runs `use` with the tree of a flist, unpacked before where it is not there;
   * callers for the same flist share one unpacking. It is not evicted meanwhile.
   */
  async with<T>(file: FlistFile, signal: AbortSignal, use: (path: string, base: Base) => Promise<T>): Promise<T> {
    const { sha256 } = file;
    this.#pins.set(sha256, (this.#pins.get(sha256) ?? 0) + 1);
    try {
      const base =
        this.get(sha256) ?? (await this.#unpacking.run(sha256, signal, (shared) => this.#unpack(file, shared)));
      const now = new Date();
      await utimes(join(this.#folder, sha256, FACTS), now, now);
      return await use(this.path(sha256), base);
    } finally {
      const left = (this.#pins.get(sha256) ?? 1) - 1;
      if (left === 0) this.#pins.delete(sha256);
      else this.#pins.set(sha256, left);
    }
  }

  async #unpack(file: FlistFile, signal: AbortSignal): Promise<Base> {
    const { sha256, md5, url } = file;
    if (file.path === undefined) throw new GridError('flist_malformed', { url, reason: 'it left the cache meanwhile' });
    const started = performance.now();
    let reserved = 0;
    const workName = `${UNFINISHED}${randomBytes(6).toString('hex')}`;
    const unfinished = join(this.#folder, workName);
    this.#atWork.add(workName);
    try {
      const folder = join(unfinished, TREE);
      await mkdir(folder, { recursive: true, mode: 0o700 });
      const job = { file: file.path, folder, url, allowed: this.#allowed, addresses: this.#addresses };
      const admit = async ({ treeBytes }: { treeBytes: number }): Promise<void> => {
        await this.#makeRoom(treeBytes, url);
        reserved = treeBytes;
        this.#reservedBytes += treeBytes;
      };
      const { bytes, entries, skipped } = await unpackApart(job, admit, signal);
      const base: Base = { sha256, md5, url, bytes: reserved, entries, skipped, boot: bootId() };
      await writeFile(join(unfinished, FACTS), JSON.stringify(base), { mode: 0o600, flag: 'wx' });
      await rm(join(this.#folder, sha256), { recursive: true, force: true });
      await rename(unfinished, join(this.#folder, sha256));
      this.#bases.set(sha256, base);
      const milliseconds = Math.round(performance.now() - started);
      this.#log.info({ url, md5, bytes, entries, skipped, milliseconds }, 'flist unpacked');
      this.#makeDurable(sha256);
      return base;
    } catch (error) {
      await rm(unfinished, { recursive: true, force: true });
      if (isGridError(error, 'flist_unpack_failed')) this.#log.warn({ err: error }, 'flist not unpacked');
      throw error;
    } finally {
      this.#atWork.delete(workName);
      this.#reservedBytes -= reserved;
      giveBackMemory();
    }
  }

  /** Folders of unpackings and evictions that nobody is at any more. */
  remains(): string[] {
    return readdirSync(this.#folder).filter((name) => isRemains(name) && !this.#atWork.has(name));
  }

  async removeRemains(name: string): Promise<void> {
    if (!isRemains(name) || this.#atWork.has(name)) return;
    await rm(join(this.#folder, name), { recursive: true, force: true });
  }

  /** Writes the base to disk behind the mount's back; until then a host that loses power loses it whole. */
  #makeDurable(sha256: string): void {
    const folder = join(this.#folder, sha256);
    run('sync', ['--file-system', folder], { deadlineMs: 600_000 })
      .then(() => writeFile(join(folder, DURABLE), '', { mode: 0o600 }))
      .catch((error: unknown) => this.#log.warn({ err: error, sha256 }, 'base not marked as durable'));
  }

  /** Hashes of the bases that are mounted now, by the kernel's table. */
  mounted(): Set<string> {
    const found = new Set<string>();
    for (const mount of listMounts()) {
      const lower = mount.superOptions.find((option) => option.startsWith('lowerdir='));
      const hash = hashInPath(mount.type === 'overlay' ? (lower ?? '') : mount.root);
      if (hash !== undefined) found.add(hash);
    }
    return found;
  }

  #total(): number {
    return [...this.#bases.values()].reduce((sum, base) => sum + base.bytes, this.#reservedBytes);
  }

  #hostFree(): number {
    const host = statfsSync(this.#folder);
    return host.bavail * host.bsize - HOST_RESERVE_BYTES - this.#reservedBytes;
  }

  /** What the images at hand take, those that are being unpacked too. */
  get bytes(): number {
    return this.#total();
  }

  /** Evicts, longest unused first, until `bytes` more fit; throws when what is mounted or held leaves no room. */
  async #makeRoom(bytes: number, url: string): Promise<void> {
    const fits = (): boolean => this.#total() + bytes <= this.#limitBytes && bytes <= this.#hostFree();
    if (fits()) return;
    const mounted = this.mounted();
    const isFree = ({ sha256 }: Base): boolean =>
      !mounted.has(sha256) && !this.#pins.has(sha256) && !this.#held().has(sha256);
    const lastUse = (base: Base): number =>
      statSync(join(this.#folder, base.sha256, FACTS), { throwIfNoEntry: false })?.mtimeMs ?? 0;
    const free = [...this.#bases.values()].filter(isFree).sort((a, b) => lastUse(a) - lastUse(b));
    const occupied = this.#total() - free.reduce((sum, base) => sum + base.bytes, 0);
    if (bytes + occupied > this.#limitBytes) throw this.#full(bytes, occupied, url);
    for (const base of free) {
      if (fits()) return;
      // Whatever was evicted before took its time: another mount may have come meanwhile.
      if (isFree(base)) await this.#evict(base);
    }
    if (!fits()) throw this.#full(bytes, occupied, url);
  }

  #full(requested: number, occupied: number, url: string): GridError {
    const hostFree = Math.max(0, this.#hostFree());
    return new GridError('flist_cache_full', { url, requested, limit: this.#limitBytes, occupied, hostFree });
  }

  async #evict({ sha256, url, bytes }: Base): Promise<void> {
    const workName = `${LEAVING}${randomBytes(6).toString('hex')}`;
    const leaving = join(this.#folder, workName);
    this.#bases.delete(sha256);
    this.#atWork.add(workName);
    try {
      await rename(join(this.#folder, sha256), leaving);
      await rm(leaving, { recursive: true, force: true });
    } finally {
      this.#atWork.delete(workName);
    }
    this.#log.info({ url, bytes }, 'flist evicted');
  }
}
