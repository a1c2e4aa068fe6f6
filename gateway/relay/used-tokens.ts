/** Tokens that opened a connection, until they expire: with this a copy from a log opens none. */
import { createHash } from 'node:crypto';

const MAX_TOKENS = 100_000;
const SWEEP_EVERY = 1000;

export class UsedTokens {
  /** Digest of the signed part to Unix seconds of its end. */
  readonly #used = new Map<string, number>();
  #uses = 0;

  /** Marks a verified token; `false` where it was used already, or where no more can be remembered. */
  use(signed: Uint8Array, exp: number, now: number): boolean {
    this.#uses += 1;
    if (this.#uses % SWEEP_EVERY === 0 || this.#used.size >= MAX_TOKENS) {
      for (const [digest, end] of this.#used) if (end < now) this.#used.delete(digest);
    }
    const digest = createHash('sha256').update(signed).digest('base64');
    if (this.#used.has(digest) || this.#used.size >= MAX_TOKENS) return false;
    this.#used.set(digest, exp);
    return true;
  }
}
