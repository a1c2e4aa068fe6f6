/**
 * Check 4: each request once. Remembered until it expires by source, session
 * and uid, and by what was signed: that has no separators, so a thief could
 * move the end of the uid into the tags and send the same request under another uid.
 */
import { hash } from 'node:crypto';
import { GridError } from '../../schemas/errors/index.ts';
import { challenge } from '../rmb/challenge.ts';
import type { Envelope } from '../rmb/envelope.ts';
import type { DoorLimits } from './limits.ts';

/** A request that was let in. */
export interface ReplayEntry {
  /** Of source, session and uid: 16 bytes as latin1. */
  readonly key: string;
  /** What was signed: 16 bytes as latin1. */
  readonly signed: string;
  readonly twin: number;
  /** Unix seconds. */
  readonly expiresAt: number;
}

/** Bytes of `key` and of `signed`. */
export const DIGEST_BYTES = 16;

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
  readonly #expiring = new Map<number, ReplayEntry[]>();
  readonly #perTwin = new Map<number, number>();
  #sweptTo = 0;

  constructor(limits: DoorLimits) {
    this.#limits = limits;
  }

  /** A refusal for a request that was entered before. */
  check(envelope: Envelope): GridError | undefined {
    return this.#seen.has(keyOf(envelope)) ? replayed(envelope) : undefined;
  }

  /** Enters a verified request; a refusal where it is known already or there is no room. */
  enter(envelope: Envelope, nowSeconds: number): ReplayEntry | GridError {
    const entry = entryOf(envelope, nowSeconds, this.#limits);
    if (this.#seen.has(entry.key)) return replayed(envelope);
    this.#sweep(nowSeconds);
    if (this.#signed.has(signedOf(entry))) return replayed(envelope);
    const { twin } = entry;
    const ofTwin = this.#perTwin.get(twin) ?? 0;
    const { replayEntries, replayEntriesPerTwin } = this.#limits;
    if (ofTwin >= replayEntriesPerTwin) {
      return new GridError('replay_memory_full', { twin, remembered: ofTwin, limit: replayEntriesPerTwin });
    }
    if (this.#seen.size >= replayEntries) {
      return new GridError('replay_memory_full', { twin, remembered: this.#seen.size, limit: replayEntries });
    }
    this.#add(entry);
    return entry;
  }

  /** Takes back what an earlier process let in; nothing of it is refused room. */
  restore(entry: ReplayEntry): void {
    if (!this.#seen.has(entry.key)) this.#add(entry);
  }

  /** What has not expired. Entries that come while it is read may be among them. */
  *living(nowSeconds: number): Generator<ReplayEntry> {
    for (const [second, entries] of this.#expiring) if (second > nowSeconds) yield* entries;
  }

  get size(): number {
    return this.#seen.size;
  }

  #add(entry: ReplayEntry): void {
    this.#seen.add(entry.key);
    this.#signed.add(signedOf(entry));
    this.#perTwin.set(entry.twin, (this.#perTwin.get(entry.twin) ?? 0) + 1);
    const slot = this.#expiring.get(entry.expiresAt);
    if (slot === undefined) this.#expiring.set(entry.expiresAt, [entry]);
    else slot.push(entry);
  }

  /** Forgets what its own expiry refuses from now on. */
  #sweep(nowSeconds: number): void {
    if (nowSeconds <= this.#sweptTo) return;
    this.#sweptTo = nowSeconds;
    for (const [second, entries] of this.#expiring) {
      if (second > nowSeconds) continue;
      this.#expiring.delete(second);
      for (const entry of entries) {
        this.#seen.delete(entry.key);
        this.#signed.delete(signedOf(entry));
        const left = (this.#perTwin.get(entry.twin) ?? 1) - 1;
        if (left > 0) this.#perTwin.set(entry.twin, left);
        else this.#perTwin.delete(entry.twin);
      }
    }
  }
}

function replayed(envelope: Envelope): GridError {
  return new GridError('envelope_replayed', { twin: envelope.source?.twin ?? 0, uid: envelope.uid });
}

function entryOf(envelope: Envelope, nowSeconds: number, limits: DoorLimits): ReplayEntry {
  return {
    key: keyOf(envelope),
    signed: Buffer.from(challenge(envelope)).toString('latin1'),
    twin: envelope.source?.twin ?? 0,
    expiresAt: lastExpiry(envelope, nowSeconds, limits),
  };
}

/**
 * Unix seconds after which no reading of what was signed passes the check of
 * its life, of those that can pass it within an hour. The digits of time, life,
 * twin and session stand side by side, so `60` `7` `7x` is also a life of 607 s
 * and session `x`: forgotten after 60 s, it could be sent a second time.
 */
function lastExpiry(envelope: Envelope, nowSeconds: number, { lifetimeSeconds }: DoorLimits): number {
  const { source, timestamp, expiration } = envelope;
  const twin = `${source?.twin ?? 0}`;
  const text = `${envelope.uid}${envelope.tags ?? ''}${timestamp}${expiration}${twin}${source?.connection ?? ''}`;
  let last = Number(timestamp + expiration);
  for (const { index: start, 0: run } of text.matchAll(/\d{11,}/g)) {
    for (let at = start; at + 10 < start + run.length; at += 1) {
      const sentAt = Number(text.slice(at, at + 10));
      if (Math.abs(sentAt - nowSeconds) > lifetimeSeconds || text[at + 10] === '0') continue;
      for (let digits = 1; digits <= `${lifetimeSeconds}`.length; digits += 1) {
        const life = Number(text.slice(at + 10, at + 10 + digits));
        if (life <= lifetimeSeconds && text.startsWith(twin, at + 10 + digits)) last = Math.max(last, sentAt + life);
      }
    }
  }
  return last;
}

const signedOf = ({ twin, signed }: ReplayEntry): string => `${twin} ${signed}`;

/** Texts in it have no control characters, so a newline keeps the parts apart. */
function keyOf(envelope: Envelope): string {
  const session = envelope.source?.connection;
  const text = `${envelope.source?.twin}\n${session === undefined ? '' : `:${session}`}\n${envelope.uid}`;
  return hash('sha256', text, 'buffer').toString('latin1', 0, DIGEST_BYTES);
}
