/** A pool as the service uses it: volumes and virtual disks with their limits. One suite holds for each that implements it. */
import type { Infer } from '../../zbus/wire.ts';
import type { PoolSpace } from '../fit.ts';
import type { PoolStats } from '../interface.ts';

export type PoolType = 'ssd' | 'hdd';

export interface PoolVolume {
  readonly name: string;
  readonly path: string;
  /** Bytes it may hold and bytes promised to it; size 0 where it has no limit. */
  readonly size: number;
  readonly used: number;
  /** Bytes stored in it alone. */
  readonly content: number;
}

export interface Disk {
  readonly name: string;
  readonly path: string;
  readonly size: number;
}

/** What the pool has of tenants, as the host tells it. */
export interface PoolItem {
  /** `quota`: of a volume that is gone. */
  readonly kind: 'volume' | 'disk' | 'quota';
  readonly name: string;
  readonly bytes: number;
  /** Milliseconds since 1970; 0 where nobody wrote it down. */
  readonly since: number;
}

/** `size` is what may be promised, `used` what is: limits count in full, filled or not. Bytes. */
export interface StoragePool extends PoolSpace {
  readonly label: string;
  readonly type: PoolType;
  readonly device: string;

  has(volume: string): boolean;
  readonly volumeNames: readonly string[];
  path(volume: string): string;
  volume(name: string): PoolVolume | undefined;
  /** Limit as set, undefined for a volume without one. */
  limit(name: string): number | undefined;
  /** After a crash the volume is there with its limit or not at all. */
  createVolume(name: string, limit?: number): Promise<void>;
  limitVolume(name: string, limit: number): Promise<void>;
  deleteVolume(name: string): Promise<void>;
  /** Whether promised space may be free only in a moment, because a volume was deleted a short time ago. */
  isCleaning(withinMs: number): boolean;
  commit(): Promise<void>;

  readonly disks: readonly Disk[];
  disk(name: string): Disk | undefined;
  /** Makes the disk under its name in one step. Throws `NoRoomError`. */
  createDisk(name: string, size: number): Promise<Disk>;
  /** Makes a disk larger; a failure leaves the old size. Throws `NoRoomError`. */
  growDisk(disk: Disk, size: number): Promise<Disk>;
  /** Makes a file system on a blank disk; a disk with content stays as it is. */
  formatDisk(disk: Disk): Promise<void>;
  /** Copies an image to the beginning of a blank disk; runs again after a crash as if it had never run. */
  writeDisk(disk: Disk, image: string, signal: AbortSignal): Promise<void>;
  deleteDisk(name: string): Promise<void>;

  /** Volumes and disks of tenants, also those this object never made, and what is left of removed ones. */
  items(): Promise<PoolItem[]>;
  /** Removes one of those and looks that it is gone; what is not there is. */
  removeItem(kind: PoolItem['kind'], name: string): Promise<void>;

  stats(): Promise<Infer<typeof PoolStats>>;
}

export interface OpenedPools {
  readonly pools: readonly StoragePool[];
  readonly brokenPools: { Label: string; Err: string }[];
  readonly brokenDevices: { Path: string; Err: string }[];
}

/** The host has no room although the pool's books say there is. */
export class NoRoomError extends Error {
  override readonly name = 'NoRoomError';
}
