/** Who a twin is: its account, its relays, its encryption key. */
import { LRUCache } from 'lru-cache';

export interface TwinRecord {
  readonly id: number;
  /** 32-byte public key of the account. */
  readonly account: Uint8Array;
  /** Relay domains, in no order. */
  readonly relay: readonly string[];
  /** SEC1 point, `null` where the twin has none. */
  readonly encryptionKey: Uint8Array | null;
}

export interface TwinSource {
  /** The twin, `undefined` where the chain has none. `fresh` skips caches. Throws when the chain cannot be asked. */
  twin(id: number, options?: { readonly fresh?: boolean }): Promise<TwinRecord | undefined>;
  /** The twin, where it is remembered: nobody has to be asked. */
  known?(id: number): TwinRecord | undefined;
}

export interface TwinCacheOptions {
  readonly lifetimeMs?: number;
  /** Twins kept. */
  readonly size?: number;
  /** Milliseconds in which one twin is loaded fresh at most once, however often it is asked for. */
  readonly freshIntervalMs?: number;
}

/**
 * Remembers twins for a while. Parallel lookups of one twin are one lookup;
 * unknown twins are remembered for seconds only, as they may be made any moment.
 */
export class TwinCache implements TwinSource {
  readonly #source: TwinSource;
  readonly #known: LRUCache<number, { readonly twin: TwinRecord; readonly loadedAt: number }>;
  readonly #missing: LRUCache<number, true>;
  readonly #loading = new Map<number, Promise<TwinRecord | undefined>>();
  readonly #freshIntervalMs: number;
  #hits = 0;
  #misses = 0;
  #flushes = 0;

  constructor(source: TwinSource, options: TwinCacheOptions = {}) {
    this.#source = source;
    this.#freshIntervalMs = options.freshIntervalMs ?? 1000;
    this.#known = new LRUCache({ max: options.size ?? 4096, ttl: options.lifetimeMs ?? 300_000 });
    this.#missing = new LRUCache({ max: 4096, ttl: 2000 });
  }

  async twin(id: number, options: { readonly fresh?: boolean } = {}): Promise<TwinRecord | undefined> {
    const known = this.#known.get(id);
    if (known !== undefined) {
      const reload = options.fresh === true && Date.now() - known.loadedAt >= this.#freshIntervalMs;
      if (!reload) {
        this.#hits += 1;
        return known.twin;
      }
    } else if (this.#missing.has(id)) return undefined;
    return await this.#load(id, options.fresh === true);
  }

  known(id: number): TwinRecord | undefined {
    const known = this.#known.get(id);
    if (known !== undefined) this.#hits += 1;
    return known?.twin;
  }

  /** Drops a twin, as when the chain says it changed. */
  forget(id: number): void {
    this.#known.delete(id);
    this.#missing.delete(id);
    // A lookup under way may have read what was before.
    this.#loading.delete(id);
  }

  /** How often it was asked for a twin it knew or did not know, how often it was emptied, and twins in it. */
  get numbers(): { hits: number; misses: number; flushes: number; entries: number } {
    return { hits: this.#hits, misses: this.#misses, flushes: this.#flushes, entries: this.#known.size };
  }

  /** Drops every twin, as when changes may have been missed. */
  forgetAll(): void {
    this.#flushes += 1;
    this.#known.clear();
    this.#missing.clear();
    this.#loading.clear();
  }

  #load(id: number, fresh: boolean): Promise<TwinRecord | undefined> {
    const running = this.#loading.get(id);
    if (running !== undefined) return running;
    this.#misses += 1;
    const loading = this.#source
      .twin(id, { fresh })
      .then((twin) => {
        if (this.#loading.get(id) !== loading) return twin;
        if (twin === undefined) {
          this.#known.delete(id);
          this.#missing.set(id, true);
        } else this.#known.set(id, { twin, loadedAt: Date.now() });
        return twin;
      })
      .finally(() => {
        if (this.#loading.get(id) === loading) this.#loading.delete(id);
      });
    this.#loading.set(id, loading);
    return loading;
  }
}

/** Relay domains of the chain's text, `a.example.com_b.example.com`. */
export function parseRelayDomains(text: string): string[] {
  return [...new Set(text.split('_').filter((domain) => domain !== ''))];
}
