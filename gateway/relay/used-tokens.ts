/** Tokens that opened a connection, until they expire: with this a copy from a log opens none. */
import { createHash } from 'node:crypto';

const SWEEP_EVERY = 1000;

interface TokenLimits {
  /** Tokens of one twin. */
  readonly perTwin: number;
  /** Tokens of all. Above, those who have most forget their oldest; one token each twin keeps. */
  readonly total: number;
}

const DEFAULT_LIMITS: TokenLimits = { perTwin: 2048, total: 100_000 };

/**
 * Where a twin uses more tokens than are remembered, its own oldest are
 * forgotten: that opens the door to copies of these alone, and to refuse new
 * ones would let a twin lock out everybody.
 */
export class UsedTokens {
  readonly #limits: TokenLimits;
  /** By twin: digest of the signed part to Unix seconds of its end, in the order of their use. */
  readonly #used = new Map<number, Map<string, number>>();
  #size = 0;
  #uses = 0;

  constructor(limits: TokenLimits = DEFAULT_LIMITS) {
    this.#limits = limits;
  }

  /** Marks a verified token; `false` where it was used already. */
  use(twin: number, signed: Uint8Array, exp: number, now: number): boolean {
    this.#uses += 1;
    if (this.#uses % SWEEP_EVERY === 0) this.#dropExpired(now);
    const ofTwin = this.#used.get(twin) ?? new Map<string, number>();
    const digest = createHash('sha256').update(signed).digest('base64');
    if (ofTwin.has(digest)) return false;
    ofTwin.set(digest, exp);
    this.#used.set(twin, ofTwin);
    this.#size += 1;
    this.#trim(ofTwin, this.#limits.perTwin);
    if (this.#size > this.#limits.total) {
      this.#dropExpired(now);
      // To half of it, so that this is not done for each token.
      const share = Math.max(1, Math.floor(this.#limits.total / 2 / Math.max(1, this.#used.size)));
      if (this.#size > this.#limits.total) for (const tokens of this.#used.values()) this.#trim(tokens, share);
    }
    return true;
  }

  #trim(tokens: Map<string, number>, most: number): void {
    for (const digest of tokens.keys()) {
      if (tokens.size <= most) return;
      tokens.delete(digest);
      this.#size -= 1;
    }
  }

  #dropExpired(now: number): void {
    for (const [twin, tokens] of this.#used) {
      for (const [digest, end] of tokens) {
        if (end >= now) continue;
        tokens.delete(digest);
        this.#size -= 1;
      }
      if (tokens.size === 0) this.#used.delete(twin);
    }
  }
}
