/**
 * Opens the node's pools at start: named devices, or a sparse file where none
 * is named. Safe to run again at any point of its own interrupted run.
 */
import { readdirSync, statfsSync, statSync } from 'node:fs';
import { mkdir, open, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { GridError } from '../../../schemas/errors/index.ts';
import { mountAt } from '../../host/mounts.ts';
import { run } from '../../host/run.ts';
import { growFilesystem, makeFilesystem, newLabel, OWN_LABEL } from './btrfs.ts';
import { deviceBytes, inspectDevice } from './device.ts';
import type { OpenedPools, PoolType } from './driver.ts';
import { attachLoop, refreshLoop } from './loop.ts';
import { Pool } from './pool.ts';

export interface NamedDevice {
  readonly path: string;
  readonly type: PoolType | undefined;
}

export interface PoolOptions {
  /** Folder of the pool file. */
  readonly root: string;
  /** Folder under which pools are mounted. */
  readonly pools: string;
  readonly devices: readonly NamedDevice[];
  /** Bytes of the pool file, where no device is named. */
  readonly poolBytes: number;
  readonly log: Logger;
}

const FILE_SUFFIX = '.img';
const UNFINISHED_SUFFIX = '.img.new';
/** Device type as kept at a pool's root, where other node software looks for it too. */
const TYPE_FILE = '.seektime';

/** Opens what can be opened; what cannot is listed with its reason and touched no further. */
export async function openPools(options: PoolOptions): Promise<OpenedPools> {
  const pools: Pool[] = [];
  const opened: OpenedPools = { pools, brokenPools: [], brokenDevices: [] };
  await mkdir(options.pools, { recursive: true, mode: 0o700 });
  const sources = options.devices.length > 0 ? await namedSources(options, opened) : await fileSources(options, opened);
  for (const { label, device, type } of sources) {
    try {
      pools.push(await openPool(options, label, device, type));
    } catch (error) {
      options.log.error({ err: error, pool: label }, 'pool cannot be used');
      opened.brokenPools.push({ Label: label, Err: (error as Error).message });
    }
  }
  return opened;
}

interface Source {
  readonly label: string;
  readonly device: string;
  readonly type: PoolType | undefined;
}

async function namedSources(options: PoolOptions, opened: OpenedPools): Promise<Source[]> {
  const sources: Source[] = [];
  for (const { path, type } of options.devices) {
    try {
      const found = await inspectDevice(path, options.pools);
      let label = found.label;
      if (label === undefined) {
        label = newLabel();
        options.log.info({ device: found.device, label }, 'formatting a blank device');
        await makeFilesystem(found.device, label);
      }
      if (sources.some((source) => source.device === found.device)) continue;
      sources.push({ label, device: found.device, type });
    } catch (error) {
      options.log.error({ err: error, device: path }, 'device cannot be used');
      opened.brokenDevices.push({ Path: path, Err: (error as Error).message });
    }
  }
  return sources;
}

async function fileSources(options: PoolOptions, opened: OpenedPools): Promise<Source[]> {
  const { root } = options;
  for (const name of readdirSync(root)) if (name.endsWith(UNFINISHED_SUFFIX)) await rm(join(root, name));
  const isPool = (name: string): boolean =>
    name.endsWith(FILE_SUFFIX) && OWN_LABEL.test(name.slice(0, -FILE_SUFFIX.length));
  if (!readdirSync(root).some(isPool)) await createPoolFile(options);
  const sources: Source[] = [];
  for (const name of readdirSync(root).filter(isPool)) {
    const label = name.slice(0, -FILE_SUFFIX.length);
    try {
      const device = await attachLoop(join(root, name));
      await growPoolFile(options, join(root, name), device);
      sources.push({ label, device, type: 'ssd' });
    } catch (error) {
      options.log.error({ err: error, pool: label }, 'pool file cannot be attached');
      opened.brokenPools.push({ Label: label, Err: (error as Error).message });
    }
  }
  return sources;
}

/** Makes the file system inside an unfinished file; only the rename makes it a pool. */
async function createPoolFile({ root, poolBytes, log }: PoolOptions): Promise<void> {
  const host = statfsSync(root);
  const available = host.bavail * host.bsize;
  if (poolBytes > available) {
    throw new GridError('storage_host_full', { path: root, requested: poolBytes, available });
  }
  const label = newLabel();
  const unfinished = join(root, `${label}${UNFINISHED_SUFFIX}`);
  const file = await open(unfinished, 'wx', 0o600);
  try {
    await file.truncate(poolBytes);
  } finally {
    await file.close();
  }
  await makeFilesystem(unfinished, label);
  await rename(unfinished, join(root, `${label}${FILE_SUFFIX}`));
  log.info({ label, bytes: poolBytes }, 'made a pool file');
}

async function growPoolFile({ poolBytes, log }: PoolOptions, path: string, device: string): Promise<void> {
  const { size, blocks } = statSync(path);
  if (poolBytes < size) log.warn({ path, bytes: size, requested: poolBytes }, 'a pool file is never made smaller');
  if (poolBytes > size) await truncate(path, poolBytes);
  if (deviceBytes(device) < statSync(path).size) await refreshLoop(device);
  const host = statfsSync(path);
  const available = host.bavail * host.bsize;
  const missing = Math.max(size, poolBytes) - blocks * 512 - available;
  if (missing > 0) log.warn({ path, missing }, 'the host has less free space than the pool file may still need');
}

async function openPool(options: PoolOptions, label: string, device: string, type?: PoolType): Promise<Pool> {
  const mountPoint = join(options.pools, label);
  const mounted = mountAt(mountPoint);
  if (mounted !== undefined && mounted.source !== device) {
    throw new GridError('storage_pool_broken', {
      pool: label,
      reason: `${mountPoint} is occupied by ${mounted.source}, expected ${device}`,
    });
  }
  if (mounted === undefined) {
    await mkdir(mountPoint, { recursive: true, mode: 0o755 });
    // What tenants store is data: no device node and no set-user-id file of theirs works on the host.
    await run('mount', ['-t', 'btrfs', '-o', 'noatime,nodev,nosuid', device, mountPoint], { deadlineMs: 60_000 });
  }
  await growFilesystem(mountPoint);
  return Pool.open({
    label,
    type: await poolType(mountPoint, type),
    device,
    mountPoint,
    deviceBytes: deviceBytes(device),
  });
}

/** The type as given, else as kept in the pool, else ssd; kept for the next start. */
async function poolType(mountPoint: string, given?: PoolType): Promise<PoolType> {
  const path = join(mountPoint, TYPE_FILE);
  const kept = (await readFile(path, 'utf8').catch(() => '')).trim();
  const type = given ?? (kept === 'hdd' ? 'hdd' : 'ssd');
  if (kept !== type) await writeFile(path, type, { mode: 0o644 });
  return type;
}

/** Parses `--device`: a comma list of paths, each with `:ssd` or `:hdd` after it or not. */
export function parseDevices(list: string | undefined): NamedDevice[] {
  return (list ?? '')
    .split(',')
    .filter((part) => part !== '')
    .map((part) => {
      const type = /:(ssd|hdd)$/.exec(part)?.[1] as PoolType | undefined;
      return { path: type === undefined ? part : part.slice(0, -1 - type.length), type };
    });
}
