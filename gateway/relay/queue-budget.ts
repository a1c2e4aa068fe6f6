/** Bounds on what the queues of sessions may hold. */

export interface QueueLimits {
  /** Bytes in all queues of one twin. */
  readonly twinBytes: number;
  /** Messages in all queues of one twin. */
  readonly twinMessages: number;
  /** Sessions of one twin that have a queue: session names are free text, so anyone could invent them. */
  readonly twinSessions: number;
  /** Bytes in all queues. */
  readonly totalBytes: number;
}

/** The store is the node's broker of 256 MiB, which refuses every write when it is full: the bus keeps most of it. */
export const DEFAULT_QUEUE_LIMITS: QueueLimits = {
  twinBytes: 16 * 1024 * 1024,
  twinMessages: 10_000,
  twinSessions: 64,
  totalBytes: 64 * 1024 * 1024,
};

/** What Redis keeps for an entry beside its bytes, about: many empty messages must not weigh nothing. */
const ENTRY_BYTES = 64;

interface Held {
  bytes: number;
  messages: number;
  expiresAt: number;
}

/** Counts bytes and messages by twin and queue. A queue's count ends with the queue, one life after its last write. */
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
  take(twin: number, key: string, size: number, now = Date.now()): boolean {
    const bytes = size + ENTRY_BYTES;
    const queues = this.#twins.get(twin) ?? new Map<string, Held>();
    if (!queues.has(key) && queues.size >= this.#limits.twinSessions) return false;
    let [twinBytes, twinMessages] = [bytes, 1];
    for (const held of queues.values()) {
      twinBytes += held.bytes;
      twinMessages += held.messages;
    }
    if (twinBytes > this.#limits.twinBytes || twinMessages > this.#limits.twinMessages) return false;
    if (this.#totalBytes + bytes > this.#limits.totalBytes) return false;
    const held = queues.get(key) ?? { bytes: 0, messages: 0, expiresAt: 0 };
    held.bytes += bytes;
    held.messages += 1;
    held.expiresAt = now + this.#lifeMs;
    queues.set(key, held);
    this.#twins.set(twin, queues);
    this.#totalBytes += bytes;
    return true;
  }

  /** Counts what a queue already holds, whatever the limits are. */
  adopt(twin: number, key: string, held: Readonly<Held>): void {
    const queues = this.#twins.get(twin) ?? new Map<string, Held>();
    if (queues.has(key)) return;
    queues.set(key, { ...held });
    this.#twins.set(twin, queues);
    this.#totalBytes += held.bytes;
  }

  release(twin: number, key: string, size: number): void {
    const queues = this.#twins.get(twin);
    const held = queues?.get(key);
    if (queues === undefined || held === undefined) return;
    const freed = Math.min(size + ENTRY_BYTES, held.bytes);
    held.bytes -= freed;
    held.messages = Math.max(0, held.messages - 1);
    this.#totalBytes -= freed;
    if (held.bytes === 0 || held.messages === 0) this.#drop(twin, queues, key);
  }

  /** Forgets queues that no longer exist. */
  sweep(now = Date.now()): void {
    for (const [twin, queues] of this.#twins) {
      for (const [key, held] of queues) {
        if (held.expiresAt <= now) this.#drop(twin, queues, key);
      }
    }
  }

  /** Forgets everything, to be counted anew. */
  reset(): void {
    this.#twins.clear();
    this.#totalBytes = 0;
  }

  get totalBytes(): number {
    return this.#totalBytes;
  }

  #drop(twin: number, queues: Map<string, Held>, key: string): void {
    this.#totalBytes -= queues.get(key)?.bytes ?? 0;
    queues.delete(key);
    if (queues.size === 0) this.#twins.delete(twin);
  }
}
