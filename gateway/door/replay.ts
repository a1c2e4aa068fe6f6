/**
 * Check 5: each request once. Remembered until it expires by source, session
 * and uid, and by what was signed: that has no separators, so a thief could
 * move the end of the uid into the tags and send the same request under another uid.
 */
import { GridError } from '../../schemas/errors/index.ts';
import { challenge } from '../rmb/challenge.ts';
import type { Envelope } from '../rmb/envelope.ts';
import type { DoorLimits } from './limits.ts';

/**
 * Memory is bounded in all and for each twin; when it is full, new requests are
 * refused rather than old ones forgotten. Only verified requests are entered,
 * so nobody can use up another twin's uid or room.
 */
export class ReplayMemory {
  readonly #limits: DoorLimits;
  readonly #seen = new Set<string>();
  /** Digests that were signed, of the same requests. */
  readonly #signed = new Set<string>();
  /** Requests by the second they expire in. */
  readonly #expiring = new Map<number, { readonly key: string; readonly digest: string; readonly twin: number }[]>();
  readonly #perTwin = new Map<number, number>();
  #sweptTo = 0;

  constructor(limits: DoorLimits) {
    this.#limits = limits;
  }

  /** A refusal for a request that was entered before. */
  check(envelope: Envelope): GridError | undefined {
    if (!this.#seen.has(keyOf(envelope))) return undefined;
    return new GridError('envelope_replayed', { twin: envelope.source?.twin ?? 0, uid: envelope.uid });
  }

  /** Enters a verified request; a refusal where it is known already or there is no room. */
  enter(envelope: Envelope, nowSeconds: number): GridError | undefined {
    const known = this.check(envelope);
    if (known !== undefined) return known;
    this.#sweep(nowSeconds);
    const twin = envelope.source?.twin ?? 0;
    const digest = `${twin} ${Buffer.from(challenge(envelope)).toString('latin1')}`;
    if (this.#signed.has(digest)) return new GridError('envelope_replayed', { twin, uid: envelope.uid });
    const ofTwin = this.#perTwin.get(twin) ?? 0;
    const { replayEntries, replayEntriesPerTwin } = this.#limits;
    if (ofTwin >= replayEntriesPerTwin) {
      return new GridError('replay_memory_full', { twin, remembered: ofTwin, limit: replayEntriesPerTwin });
    }
    if (this.#seen.size >= replayEntries) {
      return new GridError('replay_memory_full', { twin, remembered: this.#seen.size, limit: replayEntries });
    }
    const key = keyOf(envelope);
    const second = Number(envelope.timestamp + envelope.expiration);
    this.#seen.add(key);
    this.#signed.add(digest);
    this.#perTwin.set(twin, ofTwin + 1);
    const slot = this.#expiring.get(second);
    if (slot === undefined) this.#expiring.set(second, [{ key, digest, twin }]);
    else slot.push({ key, digest, twin });
    return undefined;
  }

  get size(): number {
    return this.#seen.size;
  }

  /** Forgets what its own expiry refuses from now on. */
  #sweep(nowSeconds: number): void {
    if (nowSeconds <= this.#sweptTo) return;
    this.#sweptTo = nowSeconds;
    for (const [second, entries] of this.#expiring) {
      if (second > nowSeconds) continue;
      this.#expiring.delete(second);
      for (const { key, digest, twin } of entries) {
        this.#seen.delete(key);
        this.#signed.delete(digest);
        const left = (this.#perTwin.get(twin) ?? 1) - 1;
        if (left > 0) this.#perTwin.set(twin, left);
        else this.#perTwin.delete(twin);
      }
    }
  }
}

/** Texts in it have no control characters, so a newline keeps the parts apart. */
function keyOf(envelope: Envelope): string {
  const session = envelope.source?.connection;
  return `${envelope.source?.twin}\n${session === undefined ? '' : `:${session}`}\n${envelope.uid}`;
}
