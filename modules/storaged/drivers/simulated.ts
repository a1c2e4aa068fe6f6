/** Pools that are books: volumes are empty folders, disks are entries with a size. */
import { lstat, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { MINIMUM_FORMATTED_BYTES } from '../../../schemas/capacity.ts';
import { GridError } from '../../../schemas/errors/index.ts';
import { Book, type SimulatedHost } from '../../host/simulation.ts';
import { DISKS_VOLUME, isOwnVolume } from '../names.ts';
import type { Disk, OpenedPools, PoolItem, PoolType, PoolVolume, StoragePool } from './driver.ts';
import { PromisedBytes } from './promised.ts';

const poolBook = z.object({
  volumes: z.record(z.string(), z.object({ limit: z.int().nonnegative().optional() })),
  disks: z.record(z.string(), z.object({ size: z.int(), hasContent: z.boolean() })),
});

export interface SimulatedPoolsOptions {
  /** storaged's folder, which holds the books. */
  readonly root: string;
  /** Folder of the pools' folders. */
  readonly pools: string;
  /** Bytes that may be promised of each type; 0 for no pool of that type. */
  readonly bytes: Readonly<Record<PoolType, number>>;
  readonly host: SimulatedHost;
}

/** One pool of each type that has bytes. */
export async function openSimulatedPools(options: SimulatedPoolsOptions): Promise<OpenedPools> {
  const types = (['ssd', 'hdd'] as const).filter((type) => options.bytes[type] > 0);
  const pools = await Promise.all(
    types.map(async (type) => {
      const label = `simulated-${type}`;
      const folder = join(options.pools, label);
      await mkdir(folder, { recursive: true, mode: 0o700 });
      const book = Book.open(join(options.root, `${label}.json`), poolBook, () => ({ volumes: {}, disks: {} }));
      return new SimulatedPool({ label, type, folder, size: options.bytes[type], book, host: options.host });
    }),
  );
  return { pools, brokenPools: [], brokenDevices: [] };
}

interface PoolFacts {
  readonly label: string;
  readonly type: PoolType;
  readonly folder: string;
  readonly size: number;
  readonly book: Book<z.infer<typeof poolBook>>;
  readonly host: SimulatedHost;
}

class SimulatedPool implements StoragePool {
  readonly label: string;
  readonly type: PoolType;
  readonly device = 'simulated';
  readonly size: number;
  readonly #folder: string;
  readonly #book: PoolFacts['book'];
  readonly #host: SimulatedHost;
  readonly #limits = new PromisedBytes();
  readonly #sizes = new PromisedBytes();

  constructor({ label, type, folder, size, book, host }: PoolFacts) {
    this.label = label;
    this.type = type;
    this.size = size;
    this.#folder = folder;
    this.#book = book;
    this.#host = host;
    const { volumes, disks } = book.content;
    this.#limits.replace(Object.entries(volumes).map(([name, { limit = 0 }]) => [name, limit] as const));
    this.#sizes.replace(Object.entries(disks).map(([name, { size: bytes }]) => [name, bytes] as const));
  }

  get used(): number {
    return this.#limits.sum + this.#sizes.sum;
  }

  has(volume: string): boolean {
    return Object.hasOwn(this.#book.content.volumes, volume);
  }

  get volumeNames(): string[] {
    return Object.keys(this.#book.content.volumes);
  }

  path(volume: string): string {
    return join(this.#folder, volume);
  }

  volume(name: string): PoolVolume | undefined {
    if (!this.has(name)) return undefined;
    const limit = this.limit(name) ?? 0;
    const used = name === DISKS_VOLUME ? this.#sizes.sum : limit;
    // Nobody writes here: what is in the folders is the node's own marks.
    return { name, path: this.path(name), size: limit, used, content: 0 };
  }

  limit(name: string): number | undefined {
    return this.has(name) ? this.#book.content.volumes[name]?.limit : undefined;
  }

  async createVolume(name: string, limit?: number): Promise<void> {
    await this.#host.act(`storaged createVolume ${name}`);
    // A removal that was cut short left the folder of another volume of that name.
    await rm(this.path(name), { recursive: true, force: true });
    await mkdir(this.path(name), { recursive: true, mode: 0o755 });
    this.#book.content.volumes[name] = limit === undefined ? {} : { limit };
    this.#limits.set(name, limit);
    this.#book.save();
  }

  async limitVolume(name: string, limit: number): Promise<void> {
    await this.#host.act(`storaged limitVolume ${name}`);
    this.#book.content.volumes[name] = { limit };
    this.#limits.set(name, limit);
    this.#book.save();
  }

  async deleteVolume(name: string): Promise<void> {
    await this.#host.act(`storaged deleteVolume ${name}`);
    delete this.#book.content.volumes[name];
    this.#limits.set(name, undefined);
    this.#book.save();
    await rm(this.path(name), { recursive: true, force: true });
  }

  isCleaning(): boolean {
    return false;
  }

  commit(): Promise<void> {
    return Promise.resolve();
  }

  get disks(): Disk[] {
    return Object.entries(this.#book.content.disks).map(([name, { size }]) => this.#disk(name, size));
  }

  disk(name: string): Disk | undefined {
    const found = Object.hasOwn(this.#book.content.disks, name) ? this.#book.content.disks[name] : undefined;
    return found === undefined ? undefined : this.#disk(name, found.size);
  }

  #disk(name: string, size: number): Disk {
    return { name, path: join(this.path(DISKS_VOLUME), name), size };
  }

  async createDisk(name: string, size: number): Promise<Disk> {
    await this.#host.act(`storaged createDisk ${name}`);
    if (!this.has(DISKS_VOLUME)) await this.createVolume(DISKS_VOLUME);
    this.#book.content.disks[name] = { size, hasContent: false };
    this.#sizes.set(name, size);
    this.#book.save();
    return this.#disk(name, size);
  }

  async growDisk(disk: Disk, size: number): Promise<Disk> {
    await this.#host.act(`storaged growDisk ${disk.name}`);
    this.#entry(disk).size = size;
    this.#sizes.set(disk.name, size);
    this.#book.save();
    return this.#disk(disk.name, size);
  }

  async formatDisk(disk: Disk): Promise<void> {
    if (this.#entry(disk).hasContent) return;
    const { name, size: requested } = disk;
    if (requested < MINIMUM_FORMATTED_BYTES) {
      throw new GridError('storage_invalid_size', { name, requested, minimum: MINIMUM_FORMATTED_BYTES });
    }
    await this.#host.act(`storaged formatDisk ${name}`);
    this.#fill(disk);
  }

  async writeDisk(disk: Disk, image: string, signal: AbortSignal): Promise<void> {
    if (this.#entry(disk).hasContent) return;
    const { name } = disk;
    const refuse = (reason: string): GridError => new GridError('storage_image_refused', { name, image, reason });
    const found = await lstat(image).catch((error: Error) => {
      throw refuse(error.message);
    });
    if (found.isSymbolicLink()) throw refuse('it is a symbolic link');
    if (!found.isFile()) throw refuse('it is not a regular file');
    if (found.size > disk.size) {
      throw new GridError('storage_image_too_big', { name, image: found.size, disk: disk.size });
    }
    await this.#host.act(`storaged writeDisk ${name}`);
    signal.throwIfAborted();
    this.#fill(disk);
  }

  async deleteDisk(name: string): Promise<void> {
    await this.#host.act(`storaged deleteDisk ${name}`);
    delete this.#book.content.disks[name];
    this.#sizes.set(name, undefined);
    this.#book.save();
  }

  items(): Promise<PoolItem[]> {
    const volumes = this.volumeNames
      .filter((name) => !isOwnVolume(name))
      .map((name): PoolItem => ({ kind: 'volume', name, bytes: this.limit(name) ?? 0, since: 0 }));
    const disks = this.disks.map(({ name, size }): PoolItem => ({ kind: 'disk', name, bytes: size, since: 0 }));
    return Promise.resolve([...volumes, ...disks]);
  }

  async removeItem(kind: PoolItem['kind'], name: string): Promise<void> {
    if (kind === 'volume' && this.has(name)) await this.deleteVolume(name);
    if (kind === 'disk' && this.disk(name) !== undefined) await this.deleteDisk(name);
  }

  stats(): ReturnType<StoragePool['stats']> {
    const { size: Total, used: Used } = this;
    return Promise.resolve({
      Path: this.#folder,
      Fstype: 'simulated',
      Total,
      Free: Total - Used,
      Used,
      UsedPercent: (Used / Total) * 100,
      InodesTotal: 0,
      InodesUsed: 0,
      InodesFree: 0,
      InodesUsedPercent: 0,
      Counters: new Map(),
    });
  }

  #fill(disk: Disk): void {
    this.#entry(disk).hasContent = true;
    this.#book.save();
  }

  #entry({ name }: Disk): { size: number; hasContent: boolean } {
    const found = this.#book.content.disks[name];
    if (found === undefined) throw new GridError('storage_disk_not_found', { name });
    return found;
  }
}
