/** Signatures of twins: keys from the chain, kept for a while; both key types of the grid. */
import { createPublicKey, verify } from 'node:crypto';
import { createRequire } from 'node:module';
import { LRUCache } from 'lru-cache';
import type { chain } from '../modules/api-gateway/interface.ts';
import type { CallOptions, Client } from '../modules/zbus/definition.ts';
import { GridError } from '../schemas/errors/index.ts';
import type { SignatureType, VerifySignature } from '../schemas/signatures.ts';

// The CommonJS form takes half the time and memory.
const require = createRequire(import.meta.url);

const KEYS_KEPT = 1024;
const KEY_TTL_MS = 60 * 60 * 1000;
const REREAD_MS = 1_000;
/** What was told from memory, as the chain is away, is asked for again soon: the twin may have another by now. */
const REMEMBERED_TTL_MS = 5_000;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
/** DER of an ed25519 public key up to its 32 bytes (RFC 8410). */
const ED25519_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

interface KeptKey {
  readonly key: Uint8Array;
  /** Monotonic milliseconds. */
  readonly readAt: number;
}

export class TwinKeys {
  readonly #chain: Client<typeof chain>;
  readonly #keys = new LRUCache<number, KeptKey>({ max: KEYS_KEPT, ttl: KEY_TTL_MS });
  readonly #reading = new Map<number, Promise<Uint8Array>>();

  constructor(client: Client<typeof chain>) {
    this.#chain = client;
  }

  /** A twin changed on chain. */
  forget(twin: number): void {
    this.#keys.delete(twin);
    // A read under way may have read what was before.
    this.#reading.delete(twin);
  }

  /** Some change of a twin may not have been heard of. */
  forgetAll(): void {
    this.#keys.clear();
    this.#reading.clear();
  }

  /**
   * Verifies with the twin's key. A kept key that fails is read again, the twin may have a new one; at most once
   * a second, as who sends wrong signatures must not decide how often the chain is asked.
   */
  verifier(options: CallOptions): VerifySignature {
    return async (twin, type, message, signature) => {
      const kept = this.#keys.get(twin);
      if (kept !== undefined) {
        if (await verifySignature(type, message, signature, kept.key)) return true;
        if (performance.now() - kept.readAt < REREAD_MS) return false;
      }
      const key = await this.#read(twin, options);
      if (kept !== undefined && Buffer.compare(kept.key, key) === 0) return false;
      return verifySignature(type, message, signature, key);
    };
  }

  /** One look-up a twin, whoever waits for it. */
  #read(twin: number, options: CallOptions): Promise<Uint8Array> {
    const running = this.#reading.get(twin);
    if (running !== undefined) return running;
    const { deadlineMs } = options;
    // Without the signal of the first who asks: others wait for it, too.
    const reading: Promise<Uint8Array> = this.#ask(twin, deadlineMs === undefined ? {} : { deadlineMs })
      .then(({ key, isRemembered }) => {
        const ttl = isRemembered ? REMEMBERED_TTL_MS : KEY_TTL_MS;
        if (this.#reading.get(twin) === reading) this.#keys.set(twin, { key, readAt: performance.now() }, { ttl });
        return key;
      })
      .finally(() => {
        if (this.#reading.get(twin) === reading) this.#reading.delete(twin);
      });
    this.#reading.set(twin, reading);
    return reading;
  }

  async #ask(twin: number, options: CallOptions): Promise<{ key: Uint8Array; isRemembered: boolean }> {
    const facts = await this.#chain.Twin({ id: twin }, options).catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      throw new GridError('twin_unreadable', { twin, reason }, { cause: error });
    });
    if (!facts.Found) throw new GridError('twin_unreadable', { twin, reason: 'the chain has no such twin' });
    return { key: facts.Account, isRemembered: facts.AgeSeconds > 0 };
  }
}

/** Whether `signature` is `key`'s over `message`; false for wrong lengths. */
export async function verifySignature(
  type: SignatureType,
  message: Uint8Array,
  signature: Uint8Array,
  key: Uint8Array,
): Promise<boolean> {
  if (signature.length !== SIGNATURE_BYTES || key.length !== KEY_BYTES) return false;
  if (type === 'sr25519') {
    // Loaded when the first such twin comes: it is most of what an idle provisiond would weigh.
    const { sr25519Verify, waitReady } = require('@polkadot/wasm-crypto') as typeof import('@polkadot/wasm-crypto');
    await waitReady();
    return sr25519Verify(signature, message, key);
  }
  const der = Buffer.concat([ED25519_PREFIX, key]);
  try {
    return verify(null, message, createPublicKey({ key: der, format: 'der', type: 'spki' }), signature);
  } catch {
    // Not a point of the curve.
    return false;
  }
}
