/** States of blocks that left the chain in a reorganisation: clients may still ask for them by hash. */
import type { Block } from './block.ts';
import type { Changes, State } from './state.ts';

interface Orphan {
  /** Number of the last block that it shares with the chain. */
  readonly fork: number;
  /** What differs from the state at `fork`. */
  readonly changes: Changes;
}

const KEPT_ORPHANS = 256;

export class Orphans {
  readonly #orphans = new Map<string, Orphan>();

  /**
   * Remembers `leaving`, the blocks above `fork` in ascending order; to be
   * called before `state` forgets them.
   */
  keep(leaving: readonly Block[], fork: number, state: State): void {
    for (const [hash, orphan] of this.#orphans) {
      // Its own fork point leaves as well.
      if (orphan.fork > fork) this.#orphans.set(hash, rebased(orphan, leaving, fork, state));
    }
    const keys = new Set<string>();
    for (const block of leaving) {
      for (const key of block.changed) keys.add(key);
      const changes: Changes = new Map();
      for (const key of keys) changes.set(key, state.get(key, block.number));
      this.#orphans.set(block.hash, { fork, changes });
    }
    for (const hash of this.#orphans.keys()) {
      if (this.#orphans.size <= KEPT_ORPHANS) break;
      this.#orphans.delete(hash);
    }
  }

  has(hash: string): boolean {
    return this.#orphans.has(hash);
  }

  /** Bytes of a key as of an orphan, undefined where `hash` is none. */
  get(hash: string, key: string, state: State): Uint8Array | null | undefined {
    const orphan = this.#orphans.get(hash);
    if (orphan === undefined) return undefined;
    const changed = orphan.changes.get(key);
    return changed === undefined ? state.get(key, orphan.fork) : changed;
  }
}

function rebased(orphan: Orphan, leaving: readonly Block[], fork: number, state: State): Orphan {
  const changes: Changes = new Map();
  for (const block of leaving) {
    if (block.number > orphan.fork) continue;
    for (const key of block.changed) changes.set(key, state.get(key, orphan.fork));
  }
  for (const [key, value] of orphan.changes) changes.set(key, value);
  return { fork, changes };
}
