/** Serves the storage interface over the opened pools. */
import { setTimeout as delay } from 'node:timers/promises';
import { GridError } from '../../schemas/errors/index.ts';
import type { Service } from '../zbus/definition.ts';
import type { Infer } from '../zbus/wire.ts';
import { cachePool } from './cache.ts';
import { type Disk, NoRoomError, type OpenedPools, type PoolType, type StoragePool } from './drivers/driver.ts';
import { fits, freeBytes } from './fit.ts';
import type { Device, storage, storagePlacement, VDisk, Volume } from './interface.ts';
import { monitor } from './monitor.ts';
import { CACHE_VOLUME, checkDiskName, checkVolumeName, DEVICE_VOLUME, DISKS_VOLUME, isDiskName } from './names.ts';
import { Preferences } from './preferences.ts';
import type { Serial } from './serial.ts';

const SMALLEST_BYTES = 1024 ** 2;
/** How long space of a deleted volume may stay occupied until the kernel has freed it. */
const CLEANING_MS = 60_000;
const CLEANING_WAIT_MS = 20_000;
const CLEANING_POLL_MS = 250;

function checkSize(name: string, requested: number): void {
  if (requested < SMALLEST_BYTES) {
    throw new GridError('storage_invalid_size', { name, requested, minimum: SMALLEST_BYTES });
  }
}

function noRoom(pools: readonly StoragePool[], type: PoolType, requested: number): GridError {
  const [roomiest] = [...pools].sort((a, b) => freeBytes(b) - freeBytes(a));
  return new GridError('storage_not_enough_space', {
    type,
    requested,
    free: roomiest === undefined ? 0 : Math.max(0, freeBytes(roomiest)),
    largestPool: Math.max(0, ...pools.map((pool) => pool.size)),
    pools: pools.length,
  });
}

/** `work` again until the space of lately deleted volumes is free; the books say that it fits. */
async function whileCleaning<T>(
  pool: StoragePool,
  requested: number,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  const deadline = performance.now() + CLEANING_WAIT_MS;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof NoRoomError)) throw error;
      if (!pool.isCleaning(CLEANING_MS) || performance.now() > deadline) throw noRoom([pool], pool.type, requested);
      await pool.commit();
      await delay(CLEANING_POLL_MS, undefined, { signal });
    }
  }
}

/** The handlers of `placement`, which tell `storage` what they hear. */
export function placementService(opened: OpenedPools, preferences: Preferences): Service<typeof storagePlacement> {
  const isChoice = opened.pools.filter((pool) => pool.type === 'ssd').length > 1;
  return {
    Prefer: ({ name, pool }) => {
      if (isChoice) preferences.prefer(name, pool);
      return isChoice;
    },
  };
}

/** The handlers of `storage`. `serial` orders every change of a pool's books. */
export function storageService(
  opened: OpenedPools,
  serial: Serial,
  preferences = new Preferences(),
): Service<typeof storage> {
  const ssd = opened.pools.filter((pool) => pool.type === 'ssd');
  const hdd = opened.pools.filter((pool) => pool.type === 'hdd');

  const volumeOf = (pool: StoragePool, name: string): Infer<typeof Volume> | undefined => {
    const volume = pool.volume(name);
    if (volume === undefined) return undefined;
    return { Name: name, Path: volume.path, Usage: { Size: volume.size, Used: volume.used } };
  };
  const poolOf = (name: string): StoragePool => {
    const pool = ssd.find((candidate) => candidate.has(name));
    if (pool === undefined) throw new GridError('storage_volume_not_found', { name });
    return pool;
  };
  const lookup = (name: string): Infer<typeof Volume> => {
    const found = volumeOf(poolOf(name), name);
    if (found === undefined) throw new GridError('storage_volume_not_found', { name });
    return found;
  };

  const vdisk = (disk: Disk): Infer<typeof VDisk> => ({ Path: disk.path, Size: disk.size });
  const findDisk = (name: string): { pool: StoragePool; disk: Disk } | undefined => {
    for (const pool of ssd) {
      const disk = pool.disk(name);
      if (disk !== undefined) return { pool, disk };
    }
    return undefined;
  };
  const needDisk = (name: string): { pool: StoragePool; disk: Disk } => {
    checkDiskName(name);
    const found = findDisk(name);
    if (found === undefined) throw new GridError('storage_disk_not_found', { name });
    return found;
  };

  const device = (pool: StoragePool): Infer<typeof Device> | undefined =>
    pool.has(DEVICE_VOLUME)
      ? { Path: pool.path(DEVICE_VOLUME), ID: pool.label, Usage: { Size: pool.size, Used: pool.used } }
      : undefined;

  return {
    BrokenDevices: () => opened.brokenDevices,
    BrokenPools: () => opened.brokenPools,
    Metrics: () =>
      opened.pools.map((pool) => ({ Name: pool.label, Type: pool.type, Size: pool.size, Used: pool.used })),
    Total({ kind }) {
      if (kind !== 'ssd' && kind !== 'hdd') throw new GridError('storage_kind_unknown', { kind });
      return (kind === 'ssd' ? ssd : hdd).reduce((sum, pool) => sum + pool.size, 0);
    },
    Cache() {
      const pool = cachePool(ssd);
      const found = pool === undefined ? undefined : volumeOf(pool, CACHE_VOLUME);
      if (found === undefined) throw new GridError('storage_no_cache', {});
      return found;
    },

    VolumeCreate: ({ name, size }, { signal }) =>
      serial.run(async () => {
        checkVolumeName(name);
        signal.throwIfAborted();
        if (ssd.some((pool) => pool.has(name))) return lookup(name);
        checkSize(name, size);
        const pool = preferences.choose(ssd, name, size);
        if (pool === undefined) throw noRoom(ssd, 'ssd', size);
        await pool.createVolume(name, size);
        // A caller that has given up believes that nothing was made.
        if (signal.aborted) await pool.deleteVolume(name);
        signal.throwIfAborted();
        return lookup(name);
      }),
    VolumeUpdate: ({ name, size }) =>
      serial.run(async () => {
        checkVolumeName(name);
        const pool = poolOf(name);
        checkSize(name, size);
        const limit = pool.limit(name) ?? 0;
        const content = pool.volume(name)?.content ?? 0;
        if (size < limit && size < content) {
          throw new GridError('storage_shrink', { kind: 'volume', name, size: content, requested: size });
        }
        if (size > limit && !fits(pool, size, limit)) throw noRoom([pool], 'ssd', size - limit);
        await pool.limitVolume(name, size);
      }),
    VolumeDelete: ({ name }) =>
      serial.run(async () => {
        checkVolumeName(name);
        await ssd.find((pool) => pool.has(name))?.deleteVolume(name);
      }),
    VolumeLookup: ({ name }) => lookup(name),
    VolumeExists: ({ name }) => ssd.some((pool) => pool.has(name)),
    VolumeList: () =>
      ssd.flatMap((pool) =>
        pool.volumeNames
          .filter((name) => name !== CACHE_VOLUME && name !== DISKS_VOLUME)
          .flatMap((name) => volumeOf(pool, name) ?? []),
      ),

    DiskCreate: ({ name, size }, { signal }) =>
      serial.run(async () => {
        checkDiskName(name);
        signal.throwIfAborted();
        const found = findDisk(name);
        if (found?.disk.size === size) return vdisk(found.disk);
        if (found !== undefined) {
          throw new GridError('storage_disk_exists', { name, size: found.disk.size, requested: size });
        }
        checkSize(name, size);
        const pool = preferences.choose(ssd, name, size);
        if (pool === undefined) throw noRoom(ssd, 'ssd', size);
        const disk = await whileCleaning(pool, size, signal, () => pool.createDisk(name, size));
        if (signal.aborted) await pool.deleteDisk(name);
        signal.throwIfAborted();
        return vdisk(disk);
      }),
    DiskResize: ({ name, size }, { signal }) =>
      serial.run(async () => {
        signal.throwIfAborted();
        const { pool, disk } = needDisk(name);
        if (size === disk.size) return vdisk(disk);
        if (size < disk.size) {
          throw new GridError('storage_shrink', { kind: 'disk', name, size: disk.size, requested: size });
        }
        if (!fits(pool, size, disk.size)) throw noRoom([pool], 'ssd', size - disk.size);
        return vdisk(await whileCleaning(pool, size - disk.size, signal, () => pool.growDisk(disk, size)));
      }),
    async DiskWrite({ name, image }, { signal }) {
      const { pool, disk } = needDisk(name);
      await pool.writeDisk(disk, image, signal);
    },
    async DiskFormat({ name }) {
      const { pool, disk } = needDisk(name);
      await pool.formatDisk(disk);
    },
    DiskDelete: ({ name }) =>
      serial.run(async () => {
        checkDiskName(name);
        await findDisk(name)?.pool.deleteDisk(name);
      }),
    DiskLookup: ({ name }) => vdisk(needDisk(name).disk),
    // Has no error to return: what cannot be a disk does not exist.
    DiskExists: ({ name }) => isDiskName(name) && findDisk(name) !== undefined,
    DiskList: () => ssd.flatMap((pool) => pool.disks.map(vdisk)),

    Devices: () => hdd.flatMap((pool) => device(pool) ?? []),
    DeviceAllocate: ({ min }) =>
      serial.run(async () => {
        const pool = hdd.find((candidate) => !candidate.has(DEVICE_VOLUME) && fits(candidate, min));
        if (pool !== undefined) await pool.createVolume(DEVICE_VOLUME);
        const allocated = pool === undefined ? undefined : device(pool);
        if (allocated === undefined) {
          throw new GridError('storage_no_free_device', { requested: min, devices: hdd.length });
        }
        return allocated;
      }),
    DeviceLookup({ name }) {
      const pool = hdd.find((candidate) => candidate.label === name);
      if (pool === undefined) throw new GridError('storage_device_not_found', { name });
      const allocated = device(pool);
      if (allocated === undefined) throw new GridError('storage_device_not_allocated', { name });
      return allocated;
    },

    Monitor$: (signal) => monitor(opened.pools, signal),
  };
}
