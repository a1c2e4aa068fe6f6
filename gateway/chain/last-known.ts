/** Answers of the chain, kept: what was known last is told, with its age, while the chain cannot be asked. */
import { isGridError } from '../../schemas/errors/index.ts';
import type { ChainConnection } from './connection.ts';
import type { CallLimits } from './failures.ts';
import type { At } from './reader.ts';
import type { ChainStore } from './store.ts';

export interface KnownAt<T> extends At<T> {
  /** Seconds since it was read, 0 for what was read now. */
  readonly ageSeconds: number;
}

export interface LastKnownLimits {
  /** Milliseconds after which what is kept is not told any more. */
  readonly mostAgeMs: number;
  /** Milliseconds that a lost connection may take to come back before what is kept is told. */
  readonly patienceMs: number;
}

export const LAST_KNOWN_LIMITS: LastKnownLimits = { mostAgeMs: 7 * 24 * 3_600_000, patienceMs: 1_000 };

export class LastKnown {
  readonly #store: ChainStore;
  readonly #connection: ChainConnection;
  readonly #limits: LastKnownLimits;
  #wasConnected = false;

  constructor(store: ChainStore, connection: ChainConnection, limits: LastKnownLimits = LAST_KNOWN_LIMITS) {
    this.#store = store;
    this.#connection = connection;
    this.#limits = limits;
    connection.onConnected(() => {
      this.#wasConnected = true;
    });
  }

  /**
   * What the chain says now, else what it said last. That something is not there is never kept. Throws what
   * `read` threw where nothing young enough is known.
   */
  async ask<T>(
    key: string,
    limits: CallLimits & { readonly deadlineMs: number },
    read: (limits: CallLimits) => Promise<At<T>>,
  ): Promise<KnownAt<T>> {
    const kept = this.kept<T>(key, this.#limits.mostAgeMs);
    // After a start without a chain nobody waits for one.
    const patienceMs = this.#connection.isConnected || this.#wasConnected ? this.#limits.patienceMs : 0;
    const isAway = kept !== undefined && !this.#connection.isConnected;
    try {
      if (isAway && patienceMs === 0) return kept;
      const found = await read(isAway ? { ...limits, deadlineMs: Math.min(limits.deadlineMs, patienceMs) } : limits);
      this.keep(key, found);
      return { ...found, ageSeconds: 0 };
    } catch (error) {
      if (kept === undefined || !cannotBeAsked(error)) throw error;
      return kept;
    }
  }

  /** What was kept of the chain's answer, if it is not older than that. */
  kept<T>(key: string, mostAgeMs: number): KnownAt<T> | undefined {
    const view = this.#store.view(key);
    if (view === undefined) return undefined;
    const ageMs = Math.max(0, Date.now() - view.at);
    if (ageMs > Math.min(mostAgeMs, this.#limits.mostAgeMs)) return undefined;
    return { value: view.value as T, block: view.block, ageSeconds: Math.max(1, Math.round(ageMs / 1000)) };
  }

  keep<T>(key: string, { value, block }: At<T>): void {
    if (value === undefined) this.#store.dropView(key);
    else this.#store.keepView(key, value, block);
  }
}

/** Whether the failure says nothing of what was asked, only that nobody answers. */
export function cannotBeAsked(error: unknown): boolean {
  return isGridError(error, 'chain_lost') || isGridError(error, 'chain_deadline');
}

export const twinKey = (id: number): string => `twin/${id}`;
