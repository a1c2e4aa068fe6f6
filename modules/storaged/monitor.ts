/** Numbers of every pool for the Monitor stream. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Infer } from '../zbus/wire.ts';
import type { StoragePool } from './drivers/driver.ts';
import type { PoolsStats } from './interface.ts';

const EVERY_MS = 5000;

/** One map of all pools at once, then every five seconds; a pool that cannot be read is left out. */
export async function* monitor(
  pools: readonly StoragePool[],
  signal: AbortSignal,
): AsyncGenerator<Infer<typeof PoolsStats>> {
  while (!signal.aborted) {
    const stats: Infer<typeof PoolsStats> = new Map();
    for (const pool of pools) {
      const found = await pool.stats().catch(() => undefined);
      if (found !== undefined) stats.set(pool.label, found);
    }
    yield stats;
    await delay(EVERY_MS, undefined, { signal }).catch(() => undefined);
  }
}
