/** Bounds on what the queues of absent sessions may hold. */

export interface QueueLimits {
  /** Bytes in all queues of one twin. */
  readonly twinBytes: number;
  /** Sessions of one twin that have a queue: session names are free text, so anyone could invent them. */
  readonly twinSessions: number;
  /** Bytes in all queues. */
  readonly totalBytes: number;
}

/** The store is the node's broker of 256 MiB, which refuses every write when it is full: the bus keeps most of it. */
export const DEFAULT_QUEUE_LIMITS: QueueLimits = {
  twinBytes: 16 * 1024 * 1024,
  twinSessions: 64,
  totalBytes: 64 * 1024 * 1024,
};

interface Held {
  bytes: number;
  expiresAt: number;
}

/** Counts bytes by twin and queue. A queue's count ends with the queue, one life after its last write. */
export class QueueBudget {
  readonly #limits: QueueLimits;
  readonly #lifeMs: number;
  readonly #twins = new Map<number, Map<string, Held>>();
  #totalBytes = 0;

  constructor(limits: QueueLimits, lifeMs: number) {
    this.#limits = limits;
    this.#lifeMs = lifeMs;
  }

  /** Takes room for one message, `false` where a limit would be passed. */
  take(twin: number, key: string, bytes: number, now = Date.now()): boolean {
    const queues = this.#twins.get(twin) ?? new Map<string, Held>();
    if (!queues.has(key) && queues.size >= this.#limits.twinSessions) return false;
    let twinBytes = bytes;
    for (const held of queues.values()) twinBytes += held.bytes;
    if (twinBytes > this.#limits.twinBytes || this.#totalBytes + bytes > this.#limits.totalBytes) return false;
    const held = queues.get(key) ?? { bytes: 0, expiresAt: 0 };
    held.bytes += bytes;
    held.expiresAt = now + this.#lifeMs;
    queues.set(key, held);
    this.#twins.set(twin, queues);
    this.#totalBytes += bytes;
    return true;
  }

  /** Counts what a queue of an earlier life holds, whatever the limits are. */
  adopt(twin: number, key: string, bytes: number, expiresAt: number): void {
    const queues = this.#twins.get(twin) ?? new Map<string, Held>();
    if (queues.has(key)) return;
    queues.set(key, { bytes, expiresAt });
    this.#twins.set(twin, queues);
    this.#totalBytes += bytes;
  }

  release(twin: number, key: string, bytes: number): void {
    const queues = this.#twins.get(twin);
    const held = queues?.get(key);
    if (queues === undefined || held === undefined) return;
    const freed = Math.min(bytes, held.bytes);
    held.bytes -= freed;
    this.#totalBytes -= freed;
    if (held.bytes === 0) this.#drop(twin, queues, key);
  }

  /** Forgets queues that no longer exist. */
  sweep(now = Date.now()): void {
    for (const [twin, queues] of this.#twins) {
      for (const [key, held] of queues) {
        if (held.expiresAt > now) continue;
        this.#totalBytes -= held.bytes;
        this.#drop(twin, queues, key);
      }
    }
  }

  get totalBytes(): number {
    return this.#totalBytes;
  }

  #drop(twin: number, queues: Map<string, Held>, key: string): void {
    queues.delete(key);
    if (queues.size === 0) this.#twins.delete(twin);
  }
}
