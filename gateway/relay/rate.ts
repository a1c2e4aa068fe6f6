/** How much may come in: fixed windows of 60 s, aligned to the clock, as the network's relays count. */

export interface MessageLimits {
  /** Messages in a window. */
  readonly count: number;
  /** Bytes in a window; a larger single message is refused without being counted. */
  readonly bytes: number;
}

/** Of one twin, all its sessions together: 10,000 messages and 17 MiB a second, more than a busy node has. */
export const DEFAULT_TWIN_LIMITS: MessageLimits = { count: 600_000, bytes: 1024 ** 3 };

const WINDOW_MS = 60_000;

/** Counts by key; what it holds ends with the window. */
export class WindowedLimit<Key> {
  readonly #limits: MessageLimits;
  readonly #maxKeys: number;
  readonly #used = new Map<Key, { count: number; bytes: number }>();
  /** What all keys beyond `maxKeys` have used together. */
  #others = { count: 0, bytes: 0 };
  #window = 0;

  /** Beyond `maxKeys` keys in one window new ones share what one may have: who brings many does not shut out all others. */
  constructor(limits: MessageLimits, maxKeys: number) {
    this.#limits = limits;
    this.#maxKeys = maxKeys;
  }

  /** Counts one message; `false` where it is over the limit. */
  take(key: Key, bytes: number, now = Date.now()): boolean {
    const window = Math.floor(now / WINDOW_MS);
    if (window !== this.#window) {
      this.#window = window;
      this.#used.clear();
      this.#others = { count: 0, bytes: 0 };
    }
    if (bytes > this.#limits.bytes) return false;
    let used = this.#used.get(key);
    if (used === undefined) {
      const isFull = this.#used.size >= this.#maxKeys;
      used = isFull ? this.#others : { count: 0, bytes: 0 };
      if (!isFull) this.#used.set(key, used);
    }
    used.count += 1;
    used.bytes += bytes;
    return used.count <= this.#limits.count && used.bytes <= this.#limits.bytes;
  }
}
