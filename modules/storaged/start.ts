/** What storaged does with its pools, whichever driver opened them: the cache volume, and the object on the bus. */
import type { Logger } from 'pino';
import type { ZbusServer } from '../zbus/server.ts';
import type { DaemonMetrics } from '../zbus/telemetry/metrics.ts';
import { CACHE_CHECK_MS, ensureCache } from './cache.ts';
import type { OpenedPools } from './drivers/driver.ts';
import { storage, storageInventory, storagePlacement } from './interface.ts';
import { storageInventoryService } from './inventory.ts';
import { Preferences } from './preferences.ts';
import { Serial } from './serial.ts';
import { placementService, storageService } from './service.ts';

/** The cache volume takes this share of the node's space, but not more than 5 GiB. */
const CACHE_SHARE = 0.05;
const CACHE_LIMIT_BYTES = 5 * 1024 ** 3;

export interface StorageOptions {
  readonly server: ZbusServer;
  readonly log: Logger;
  readonly opened: OpenedPools;
  /** Where the pools' operations are measured; they are not when left out. */
  readonly metrics?: DaemonMetrics;
  /** Bytes of the cache volume; 0 for none, undefined for the usual share. */
  readonly cacheBytes: number | undefined;
}

/** Reads of the books take no time worth a number. */
const BOOKS = ['has', 'path', 'volume', 'limit', 'isCleaning', 'disk'];

function measuredPools(opened: OpenedPools, metrics: DaemonMetrics): OpenedPools {
  return { ...opened, pools: opened.pools.map((pool) => metrics.driver('pool', pool, BOOKS)) };
}

/** Serves the pools; what it returns ends that. */
export async function startStorage(options: StorageOptions): Promise<() => Promise<void>> {
  const { server, log, metrics, cacheBytes } = options;
  const opened = metrics === undefined ? options.opened : measuredPools(options.opened, metrics);
  const ssd = opened.pools.filter((pool) => pool.type === 'ssd');
  const total = ssd.reduce((sum, pool) => sum + pool.size, 0);
  const bytes = cacheBytes ?? Math.min(CACHE_LIMIT_BYTES, Math.floor(total * CACHE_SHARE));

  const serial = new Serial();
  const watchCache = (): void => {
    serial
      .run(() => ensureCache(ssd, bytes, log))
      .catch((error: unknown) => log.error({ err: error }, 'cache volume not adjusted'));
  };
  if (bytes > 0) await serial.run(() => ensureCache(ssd, bytes, log));
  const timer = bytes > 0 ? setInterval(watchCache, CACHE_CHECK_MS) : undefined;
  timer?.unref();

  const preferences = new Preferences();
  server.serve(storage, storageService(opened, serial, preferences));
  server.serve(storagePlacement, placementService(opened, preferences));
  server.serve(storageInventory, storageInventoryService(opened, serial));
  for (const pool of opened.pools) {
    log.info({ pool: pool.label, type: pool.type, device: pool.device, size: pool.size, used: pool.used }, 'pool open');
  }
  return async () => {
    clearInterval(timer);
    await serial.run(async () => undefined);
  };
}
