/** The library's verdict for strangers; for keys that proved good often, the same verdict in a third of the time. */
import { LRUCache } from 'lru-cache';
import { sr25519Verify } from '../wasm-crypto.ts';
import { KnownKeys } from './known-keys.ts';

/** Learning a key takes longer than a verdict of the library: who signs rarely costs none of it. */
const LEARN_AFTER = 4;
const SLOTS = 256;
/** Keys whose good signatures are counted. */
const COUNTED = 4096;

export class Sr25519Verifier {
  readonly #keys: KnownKeys;
  readonly #free: number[];
  readonly #slots: LRUCache<string, number>;
  readonly #good = new LRUCache<string, number>({ max: COUNTED });

  /** `slots`: keys that are known at a time, 30 KiB each. */
  constructor(slots = SLOTS) {
    this.#keys = new KnownKeys(slots);
    this.#free = Array.from({ length: slots }, (_, slot) => slot);
    this.#slots = new LRUCache({ max: slots, dispose: (slot) => this.#free.push(slot) });
  }

  /** Whether the 64 bytes are the account's signature of `message`. Bytes that are no point or no signature are not. */
  verify(account: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
    const id = Buffer.from(account.buffer, account.byteOffset, account.length).toString('latin1');
    const slot = this.#slots.get(id);
    // What is found bad is asked of the library, too: a mistake of ours can then cost time, but no good signature.
    if (slot !== undefined && this.#keys.verify(slot, account, message, signature)) return true;
    let valid = false;
    try {
      valid = sr25519Verify(signature, message, account);
    } catch {
      // As the type says: no verdict is a bad one.
    }
    if (valid && slot === undefined) this.#count(id, account);
    return valid;
  }

  #count(id: string, account: Uint8Array): void {
    const good = (this.#good.get(id) ?? 0) + 1;
    this.#good.set(id, good);
    if (good < LEARN_AFTER) return;
    this.#good.delete(id);
    if (this.#free.length === 0) this.#slots.pop();
    const slot = this.#free.pop();
    if (slot === undefined) return;
    if (this.#keys.learn(slot, account)) this.#slots.set(id, slot);
    else this.#free.push(slot);
  }
}
