/**
 * storaged: pools, volumes and virtual disks.
 *
 *     storaged --state DIR [--device PATH[:ssd|:hdd],…] [--pool-size BYTES] [--cache-size BYTES]
 *
 * A stop leaves pools mounted: machines go on running while the daemon is
 * replaced. `purge.ts` takes everything down.
 */
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { runDaemon } from '../zbus/daemon.ts';
import { CACHE_CHECK_MS, ensureCache } from './cache.ts';
import { openPools, parseDevices } from './drivers/open.ts';
import { storage } from './interface.ts';
import { Serial } from './serial.ts';
import { storageService } from './service.ts';

const GIB = 1024 ** 3;
const DEFAULT_POOL_BYTES = 10 * GIB;
/** The cache volume takes this share of the node's space, but not more than 5 GiB. */
const CACHE_SHARE = 0.05;
const CACHE_LIMIT_BYTES = 5 * GIB;

function byteCount(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value))
    throw new Error(`storaged: --${flag} takes a number of bytes`);
  return value;
}

await runDaemon({
  name: 'storaged',
  module: 'storage',
  options: ['device', 'pool-size', 'cache-size'],
  start: async ({ server, log, root, state, options }) => {
    const opened = await openPools({
      root,
      pools: join(realpathSync(state), 'pools'),
      devices: parseDevices(options.device),
      poolBytes: byteCount('pool-size', options['pool-size']) ?? DEFAULT_POOL_BYTES,
      log,
    });
    const ssd = opened.pools.filter((pool) => pool.type === 'ssd');
    const total = ssd.reduce((sum, pool) => sum + pool.size, 0);
    const cacheBytes =
      byteCount('cache-size', options['cache-size']) ?? Math.min(CACHE_LIMIT_BYTES, Math.floor(total * CACHE_SHARE));

    const serial = new Serial();
    const watchCache = (): void => {
      serial
        .run(() => ensureCache(ssd, cacheBytes, log))
        .catch((error: unknown) => log.error({ err: error }, 'cache volume not adjusted'));
    };
    if (cacheBytes > 0) await serial.run(() => ensureCache(ssd, cacheBytes, log));
    const timer = cacheBytes > 0 ? setInterval(watchCache, CACHE_CHECK_MS) : undefined;
    timer?.unref();

    server.serve(storage, storageService(opened, serial));
    for (const pool of opened.pools) {
      log.info(
        { pool: pool.label, type: pool.type, device: pool.device, size: pool.size, used: pool.used },
        'pool open',
      );
    }
    return async () => {
      clearInterval(timer);
      await serial.run(async () => undefined);
    };
  },
});
