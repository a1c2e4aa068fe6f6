/**
 * One mounted btrfs pool: its volumes and what it has promised. Limits and disks are summed up as they are seen,
 * and seen again at the end of each change of theirs, before whoever asked for it hears of it.
 */
import { lstat, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { promisableBytes } from '../fit.ts';
import { DEVICE_VOLUME, DISKS_VOLUME, isOwnVolume, UNFINISHED } from '../names.ts';
import * as btrfs from './btrfs.ts';
import * as diskFiles from './disks.ts';
import type { Disk, PoolItem, PoolType, PoolVolume, StoragePool } from './driver.ts';
import { PromisedBytes } from './promised.ts';
import { mountedStats } from './stats.ts';
import { namespaceBytes } from './zdb.ts';

export class Pool implements StoragePool {
  readonly label: string;
  readonly type: PoolType;
  readonly device: string;
  readonly mountPoint: string;
  readonly #id: string;
  readonly #deviceBytes: number;
  readonly #subvolumes: Map<string, number>;
  readonly #limits = new PromisedBytes();
  readonly #disks = new PromisedBytes();
  /** Volumes that grow without being told to: what they hold is read each time. */
  readonly #unlimited = new Set<string>();
  /** When a volume was last deleted here: the kernel may still be freeing its space. */
  #deletedAt = Number.NEGATIVE_INFINITY;

  private constructor(
    facts: { label: string; type: PoolType; device: string; mountPoint: string; deviceBytes: number },
    id: string,
    subvolumes: Map<string, number>,
  ) {
    this.label = facts.label;
    this.type = facts.type;
    this.device = facts.device;
    this.mountPoint = facts.mountPoint;
    this.#deviceBytes = facts.deviceBytes;
    this.#id = id;
    this.#subvolumes = subvolumes;
  }

  /** Takes over a mounted pool: quotas on, what a crash left unfinished removed. */
  static async open(facts: {
    label: string;
    type: PoolType;
    device: string;
    mountPoint: string;
    deviceBytes: number;
  }): Promise<Pool> {
    const { mountPoint } = facts;
    const id = btrfs.filesystemId(facts.device);
    await btrfs.ensureQuotas(id, mountPoint);
    const subvolumes = await btrfs.listSubvolumes(mountPoint);
    for (const name of subvolumes.keys()) {
      if (!name.startsWith(UNFINISHED)) continue;
      await btrfs.deleteSubvolume(join(mountPoint, name));
      subvolumes.delete(name);
    }
    await btrfs.dropStaleQuotas(id, mountPoint, new Set(subvolumes.values()));
    const pool = new Pool(facts, id, subvolumes);
    for (const [name, id] of subvolumes) pool.#look(name, id);
    if (pool.has(DISKS_VOLUME)) {
      await diskFiles.removeUnfinishedDisks(pool.path(DISKS_VOLUME));
      pool.#lookAtDisks();
    }
    return pool;
  }

  path(volume: string): string {
    return join(this.mountPoint, volume);
  }

  has(volume: string): boolean {
    return this.#subvolumes.has(volume);
  }

  get volumeNames(): string[] {
    return [...this.#subvolumes.keys()];
  }

  /** Bytes that may be promised. */
  get size(): number {
    return promisableBytes(this.#deviceBytes, btrfs.structureBytes(this.#id));
  }

  /** Bytes promised: limits count in full, filled or not. */
  get used(): number {
    let sum = this.#limits.sum + this.#disks.sum;
    for (const name of this.#unlimited) sum += this.volume(name)?.used ?? 0;
    return sum;
  }

  volume(name: string): PoolVolume | undefined {
    const subvolume = this.#subvolumes.get(name);
    if (subvolume === undefined) return undefined;
    const quota = this.#look(name, subvolume);
    const path = this.path(name);
    let used = quota.limit ?? quota.referenced;
    if (name === DISKS_VOLUME) used = this.#lookAtDisks().reduce((sum, { size }) => sum + size, 0);
    else if (name === DEVICE_VOLUME) used = namespaceBytes(path) ?? quota.referenced;
    return { name, path, size: quota.limit ?? 0, used, content: quota.exclusive };
  }

  /** Limit as set, undefined for a volume without one. */
  limit(name: string): number | undefined {
    const subvolume = this.#subvolumes.get(name);
    return subvolume === undefined ? undefined : this.#look(name, subvolume).limit;
  }

  /** Reads a volume's quota, and counts it as it is now. */
  #look(name: string, subvolume: number): btrfs.Quota {
    const quota = btrfs.readQuota(this.#id, subvolume);
    const isOpen = name === DEVICE_VOLUME || quota.limit === undefined;
    this.#limits.set(name, isOpen || name === DISKS_VOLUME ? undefined : quota.limit);
    if (isOpen && name !== DISKS_VOLUME) this.#unlimited.add(name);
    else this.#unlimited.delete(name);
    return quota;
  }

  /**
   * Makes a volume under an unfinished name, prepares it and renames it: after
   * a crash it is there with its limit or not at all.
   */
  async createVolume(name: string, limit?: number): Promise<void> {
    const unfinished = this.path(`${UNFINISHED}${name}`);
    const subvolume = await btrfs.createSubvolume(unfinished);
    try {
      if (limit !== undefined) await btrfs.limitSubvolume(unfinished, limit);
      if (name === DISKS_VOLUME) await btrfs.writeInPlace(unfinished);
      await rename(unfinished, this.path(name));
    } catch (error) {
      await btrfs.deleteSubvolume(unfinished).catch(() => undefined);
      throw error;
    }
    this.#subvolumes.set(name, subvolume);
    this.#look(name, subvolume);
  }

  async limitVolume(name: string, limit: number): Promise<void> {
    try {
      await btrfs.limitSubvolume(this.path(name), limit);
    } finally {
      this.limit(name);
    }
  }

  async deleteVolume(name: string): Promise<void> {
    await btrfs.deleteSubvolume(this.path(name));
    this.#subvolumes.delete(name);
    this.#limits.set(name, undefined);
    this.#unlimited.delete(name);
    if (name === DISKS_VOLUME) this.#disks.replace([]);
    this.#deletedAt = performance.now();
    await btrfs.commit(this.mountPoint);
  }

  /** Whether promised space may be free only in a moment, because a volume was deleted a short time ago. */
  isCleaning(withinMs: number): boolean {
    return performance.now() - this.#deletedAt < withinMs;
  }

  async commit(): Promise<void> {
    await btrfs.commit(this.mountPoint);
  }

  get #diskFolder(): string {
    return this.path(DISKS_VOLUME);
  }

  get disks(): Disk[] {
    return this.has(DISKS_VOLUME) ? this.#lookAtDisks() : [];
  }

  #lookAtDisks(): Disk[] {
    const found = diskFiles.listDisks(this.#diskFolder);
    this.#disks.replace(found.map(({ name, size }) => [name, size] as const));
    return found;
  }

  disk(name: string): Disk | undefined {
    const found = this.has(DISKS_VOLUME) ? diskFiles.findDisk(this.#diskFolder, name) : undefined;
    if (!name.startsWith('.')) this.#disks.set(name, found?.size);
    return found;
  }

  async createDisk(name: string, size: number): Promise<Disk> {
    if (!this.has(DISKS_VOLUME)) await this.createVolume(DISKS_VOLUME);
    return this.#changing(name, () => diskFiles.createDisk(this.#diskFolder, name, size));
  }

  growDisk(disk: Disk, size: number): Promise<Disk> {
    return this.#changing(disk.name, () => diskFiles.growDisk(disk, size));
  }

  /** Counts a disk as it is after the work, also where that fails. */
  async #changing<T>(name: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } finally {
      this.disk(name);
    }
  }

  formatDisk(disk: Disk): Promise<void> {
    return diskFiles.formatDisk(disk);
  }

  writeDisk(disk: Disk, image: string, signal: AbortSignal): Promise<void> {
    return diskFiles.writeDisk(this.#diskFolder, disk, image, signal);
  }

  deleteDisk(name: string): Promise<void> {
    return this.#changing(name, () => diskFiles.deleteDisk(this.#diskFolder, name));
  }

  async items(): Promise<PoolItem[]> {
    const subvolumes = await btrfs.listSubvolumes(this.mountPoint);
    const found: PoolItem[] = [];
    for (const [name, id] of subvolumes) {
      if (isOwnVolume(name)) continue;
      // What others have changed is counted from here on.
      const isKnown = this.#subvolumes.get(name) === id;
      const { limit, referenced } = isKnown ? this.#look(name, id) : btrfs.readQuota(this.#id, id);
      found.push({ kind: 'volume', name, bytes: limit ?? referenced, since: await bornAt(this.path(name)) });
    }
    for (const id of btrfs.staleQuotas(this.#id, new Set(subvolumes.values()))) {
      found.push({ kind: 'quota', name: `${this.label}/${id}`, bytes: 0, since: 0 });
    }
    if (subvolumes.has(DISKS_VOLUME)) {
      found.push(...(await diskFiles.diskItems(this.#diskFolder)));
      if (this.has(DISKS_VOLUME)) this.#lookAtDisks();
    }
    return found;
  }

  async removeItem(kind: PoolItem['kind'], name: string): Promise<void> {
    if (kind === 'disk') {
      if (this.has(DISKS_VOLUME)) await this.deleteDisk(name);
    } else if (kind === 'quota') {
      if (!name.startsWith(`${this.label}/`)) return;
      const live = new Set((await btrfs.listSubvolumes(this.mountPoint)).values());
      await btrfs.dropStaleQuotas(this.#id, this.mountPoint, live);
    } else if ((await btrfs.listSubvolumes(this.mountPoint)).has(name)) {
      await this.deleteVolume(name);
    }
    if (await this.#isThere(kind, name)) throw new Error(`${kind} ${name} is still there after its removal`);
  }

  async #isThere(kind: PoolItem['kind'], name: string): Promise<boolean> {
    if (kind === 'disk') return this.has(DISKS_VOLUME) && this.disk(name) !== undefined;
    const subvolumes = await btrfs.listSubvolumes(this.mountPoint);
    if (kind === 'volume') return subvolumes.has(name);
    return btrfs.staleQuotas(this.#id, new Set(subvolumes.values())).some((id) => name === `${this.label}/${id}`);
  }

  stats(): ReturnType<StoragePool['stats']> {
    return mountedStats(this);
  }
}

/** Milliseconds since 1970 at which a file or folder was made; 0 where it went meanwhile. */
async function bornAt(path: string): Promise<number> {
  const stats = await lstat(path).catch(() => undefined);
  return Math.floor(stats?.birthtimeMs ?? 0);
}
