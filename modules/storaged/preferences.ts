/** Which pool a volume or disk was planned for, until it is made. */
import type { StoragePool } from './drivers/driver.ts';
import { candidates } from './fit.ts';

/** Wishes that are kept: of what is never made, the oldest go first. */
const KEPT = 4096;

export class Preferences {
  readonly #pools = new Map<string, string>();

  prefer(name: string, pool: string): void {
    this.#pools.delete(name);
    this.#pools.set(name, pool);
    for (const oldest of this.#pools.keys()) {
      if (this.#pools.size <= KEPT) return;
      this.#pools.delete(oldest);
    }
  }

  /** Where `size` bytes of that name go: into the preferred pool where they fit, else the roomiest; undefined where they fit nowhere. */
  choose(pools: readonly StoragePool[], name: string, size: number): StoragePool | undefined {
    const fitting = candidates(pools, size);
    const preferred = this.#pools.get(name);
    this.#pools.delete(name);
    return fitting.find(({ label }) => label === preferred) ?? fitting[0];
  }
}
