/**
 * Which pool takes a new volume or disk. Pure, signed arithmetic on safe
 * integers: a pool that holds more than it has leaves a negative rest.
 */
export interface PoolSpace {
  /** Bytes that may be promised. */
  readonly size: number;
  /** Bytes already promised, whether filled or not. */
  readonly used: number;
}

export function freeBytes(pool: PoolSpace): number {
  return pool.size - pool.used;
}

/** Whether a pool takes `to` bytes where it holds `from` for the same thing now. Nothing is promised twice. */
export function fits(pool: PoolSpace, to: number, from = 0): boolean {
  return to - from <= freeBytes(pool);
}

/** The pools that take `size` bytes, roomiest first. */
export function candidates<P extends PoolSpace>(pools: readonly P[], size: number): P[] {
  return pools.filter((pool) => fits(pool, size)).sort((a, b) => freeBytes(b) - freeBytes(a));
}

/** Part of a pool that its file system keeps for its own growth. */
const STRUCTURE_SHARE = 0.025;
const FIRST_BYTES = 1024 ** 2;
/** Chunks end on 64 KiB boundaries; what is lost there was never above this. */
const ALIGNMENT_BYTES = 16 * 1024 ** 2;

/**
 * Bytes of a device that may be promised. Metadata is stored twice and grows
 * with the number of files, so the larger of its present size and a share of
 * the device is set aside: what is promised can then really be allocated.
 */
export function promisableBytes(deviceBytes: number, structureBytes: number): number {
  const reserve = Math.max(structureBytes, Math.ceil(deviceBytes * STRUCTURE_SHARE)) + FIRST_BYTES + ALIGNMENT_BYTES;
  return Math.max(0, deviceBytes - reserve);
}

/** Grow when this share of the cache volume is filled, shrink below the second (percent). */
const CACHE_GROW_PERCENT = 60;
const CACHE_SHRINK_PERCENT = 20;

/**
 * New limit of the cache volume from its present limit and content: one step
 * up from 60 % filled, down to double the content plus a step below 20 %, never
 * below one step.
 */
export function cacheLimit(step: number, limit: number | undefined, content: number): number {
  let size = limit ?? Math.max(step, 2 * content);
  const percent = size === 0 ? 100 : Math.floor((content * 100) / size);
  if (percent >= CACHE_GROW_PERCENT) size += step;
  else if (percent < CACHE_SHRINK_PERCENT && size > step) size = Math.floor((2 * content) / step) * step + step;
  return Math.max(size, step);
}
