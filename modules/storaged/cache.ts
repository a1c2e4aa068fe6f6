/** The cache volume: a reserve on one pool whose size follows its content. */
import type { Logger } from 'pino';
import type { StoragePool } from './drivers/driver.ts';
import { cacheLimit, candidates, fits } from './fit.ts';
import { CACHE_VOLUME } from './names.ts';

export const CACHE_CHECK_MS = 5 * 60_000;

export function cachePool(pools: readonly StoragePool[]): StoragePool | undefined {
  return pools.find((pool) => pool.has(CACHE_VOLUME));
}

/**
 * Makes the cache volume where there is none and moves its limit by the rule
 * of `cacheLimit`, as far as the pool has room. `step` is bytes.
 */
export async function ensureCache(pools: readonly StoragePool[], step: number, log: Logger): Promise<void> {
  const pool = cachePool(pools);
  if (pool === undefined) {
    const [roomiest] = candidates(pools, step);
    if (roomiest === undefined) log.warn({ bytes: step }, 'no pool has room for the cache volume');
    else await roomiest.createVolume(CACHE_VOLUME, step);
    return;
  }
  const limit = pool.limit(CACHE_VOLUME);
  const next = cacheLimit(step, limit, pool.volume(CACHE_VOLUME)?.content ?? 0);
  if (next === limit) return;
  if (!fits(pool, next, limit ?? 0)) {
    log.warn({ pool: pool.label, bytes: next }, 'the pool has no room for a larger cache volume');
    return;
  }
  await pool.limitVolume(CACHE_VOLUME, next);
  log.info({ pool: pool.label, from: limit, to: next }, 'cache volume resized');
}
