/** The chain's key-value state at every block that is still kept. */
import type { StorageItem } from './description/pallet.ts';
import { storageKey } from './description/pallet.ts';
import { decode, encode } from './scale/codec.ts';

interface Version {
  readonly block: number;
  readonly value: Uint8Array | null;
}

/** Changes of one block or one transaction: hex key to new bytes, null for removed. */
export type Changes = Map<string, Uint8Array | null>;

export class State {
  readonly #versions = new Map<string, Version[]>();
  #sorted: string[] | undefined;

  /** Bytes of a key as of `block`, null where nothing is stored. */
  get(key: string, block: number): Uint8Array | null {
    return this.#versions.get(key)?.findLast((version) => version.block <= block)?.value ?? null;
  }

  apply(block: number, changes: Changes): void {
    for (const [key, value] of changes) {
      const versions = this.#versions.get(key);
      if (versions !== undefined) versions.push({ block, value });
      else {
        this.#versions.set(key, [{ block, value }]);
        this.#sorted = undefined;
      }
    }
  }

  /** Forgets what blocks after `newest` changed. */
  revert(newest: number): void {
    for (const [key, versions] of this.#versions) {
      while ((versions.at(-1)?.block ?? 0) > newest) versions.pop();
      if (versions.length > 0) continue;
      this.#versions.delete(key);
      this.#sorted = undefined;
    }
  }

  /** Forgets what only blocks before `oldest` could see. */
  prune(oldest: number): void {
    for (const [key, versions] of this.#versions) {
      const kept = versions.findLastIndex((version) => version.block <= oldest);
      if (kept > 0) versions.splice(0, kept);
      if (versions.length === 1 && versions[0]?.value === null && versions[0].block <= oldest) {
        this.#versions.delete(key);
        this.#sorted = undefined;
      }
    }
  }

  /** Keys with a prefix that hold something at `block`, in order, after `start`. */
  keys(prefix: string, block: number, limit: number, start = ''): string[] {
    this.#sorted ??= [...this.#versions.keys()].sort();
    const found: string[] = [];
    for (const key of this.#sorted) {
      if (found.length >= limit) break;
      if (key.startsWith(prefix) && key > start && this.get(key, block) !== null) found.push(key);
    }
    return found;
  }

  /** All that is stored at `block`. */
  *entries(block: number): Generator<readonly [string, Uint8Array]> {
    for (const key of this.#versions.keys()) {
      const value = this.get(key, block);
      if (value !== null) yield [key, value];
    }
  }
}

/** A view of the state with changes on top that can be taken back. */
export class Overlay {
  readonly #below: (key: string) => Uint8Array | null;
  readonly changes: Changes = new Map();
  #undo: Array<readonly [string, Uint8Array | null | undefined]> | undefined;

  constructor(below: (key: string) => Uint8Array | null) {
    this.#below = below;
  }

  get(key: string): Uint8Array | null {
    const changed = this.changes.get(key);
    return changed === undefined ? this.#below(key) : changed;
  }

  set(key: string, value: Uint8Array | null): void {
    this.#undo?.push([key, this.changes.get(key)]);
    this.changes.set(key, value);
  }

  read<K extends readonly unknown[], V, R>(item: StorageItem<K, V, R>, ...keys: K): R {
    const bytes = this.get(storageKey(item as unknown as StorageItem<K>, keys));
    if (bytes !== null) return decode(item.value, bytes) as unknown as R;
    return (item.optional ? null : item.value.zero()) as unknown as R;
  }

  write<K extends readonly unknown[], V, R>(item: StorageItem<K, V, R>, keys: K, value: V): void {
    this.set(storageKey(item as unknown as StorageItem<K>, keys), encode(item.value, value));
  }

  remove<K extends readonly unknown[], V, R>(item: StorageItem<K, V, R>, ...keys: K): void {
    this.set(storageKey(item as unknown as StorageItem<K>, keys), null);
  }

  /** Runs `work`; if it throws, everything it changed is as before. Nests. */
  attempt<T>(work: () => T): T {
    const outer = this.#undo;
    const undo: Array<readonly [string, Uint8Array | null | undefined]> = [];
    this.#undo = undo;
    try {
      const result = work();
      outer?.push(...undo);
      return result;
    } catch (error) {
      for (const [key, before] of undo.reverse()) {
        if (before === undefined) this.changes.delete(key);
        else this.changes.set(key, before);
      }
      throw error;
    } finally {
      this.#undo = outer;
    }
  }
}
