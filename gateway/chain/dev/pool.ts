/** Transactions that wait for a block: checked, in nonce order for each account. */
import { system } from './description/system.ts';
import { TRANSACTION_FEE } from './dispatch.ts';
import { readTransaction, type SigningFacts, signatureIsGood, signedPayload, type Transaction } from './extrinsic.ts';
import { ScaleError } from './scale/bytes.ts';
import { toHex } from './scale/hashing.ts';
import type { Overlay } from './state.ts';

/** A transaction that no block will take; `code` and `text` are what a Substrate node answers. */
export class PoolError extends Error {
  override readonly name = 'PoolError';
  readonly code: number;
  readonly data: string;

  constructor(code: number, message: string, data: string) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

const invalid = (data: string): PoolError => new PoolError(1010, 'Invalid Transaction', data);

/** Most transactions that wait at once, and how far ahead a nonce may be. */
const POOL_LIMIT = 4096;
const FUTURE_LIMIT = 256;

export interface PoolEntry {
  readonly transaction: Transaction;
  /** `usurped` carries the hash of what took its place. */
  readonly notify: (status: unknown) => void;
}

export class Pool {
  readonly #accounts = new Map<string, Map<number, PoolEntry>>();
  #size = 0;

  /** Checks and queues. Throws `PoolError`. */
  add(bytes: Uint8Array, state: Overlay, facts: SigningFacts, notify: (status: unknown) => void): Transaction {
    const transaction = this.#read(bytes);
    const { who, nonce, tip } = transaction;
    const payload = signedPayload(transaction, facts);
    if (payload === null) throw invalid('Transaction has an ancient birth block');
    if (!signatureIsGood(transaction, payload)) throw invalid('Transaction has a bad signature');
    const account = state.read(system.storage.Account, who);
    if (nonce < account.nonce) throw invalid('Transaction is outdated');
    if (account.data.free < TRANSACTION_FEE + tip) {
      throw invalid('Inability to pay some fees (e.g. account balance too low)');
    }
    if (nonce > account.nonce + FUTURE_LIMIT || this.#size >= POOL_LIMIT) {
      throw new PoolError(1016, 'Immediately Dropped', "The transaction couldn't enter the pool because of the limit");
    }
    const key = toHex(who);
    const queue = this.#accounts.get(key) ?? new Map<number, PoolEntry>();
    this.#accounts.set(key, queue);
    const waiting = queue.get(nonce);
    if (waiting?.transaction.hash === transaction.hash) {
      throw new PoolError(1013, 'Transaction is already imported', 'already in the pool');
    }
    if (waiting !== undefined && waiting.transaction.tip >= tip) {
      throw new PoolError(1014, 'Priority is too low', `(${tip} vs ${waiting.transaction.tip})`);
    }
    waiting?.notify({ usurped: transaction.hash });
    if (waiting === undefined) this.#size += 1;
    queue.set(nonce, { transaction, notify });
    notify(nonce === account.nonce || queue.has(nonce - 1) ? 'ready' : 'future');
    return transaction;
  }

  #read(bytes: Uint8Array): Transaction {
    try {
      return readTransaction(bytes);
    } catch (error) {
      if (error instanceof ScaleError)
        throw new PoolError(1002, 'Verification Error: could not decode the extrinsic', error.message);
      throw error;
    }
  }

  get size(): number {
    return this.#size;
  }

  /** Nonce that the account's next transaction should carry. */
  nextNonce(who: Uint8Array, state: Overlay): number {
    let nonce = state.read(system.storage.Account, who).nonce;
    const queue = this.#accounts.get(toHex(who));
    while (queue?.has(nonce)) nonce += 1;
    return nonce;
  }

  /** Whether some transaction can go into the next block. */
  hasReady(state: Overlay): boolean {
    for (const queue of this.#accounts.values()) {
      const [first] = queue.values();
      if (first !== undefined && queue.has(state.read(system.storage.Account, first.transaction.who).nonce))
        return true;
    }
    return false;
  }

  /** Takes out what can go into the next block, at most `limit`, in order. */
  take(state: Overlay, limit: number): PoolEntry[] {
    const taken: PoolEntry[] = [];
    for (const [key, queue] of this.#accounts) {
      const [first] = queue.values();
      if (first === undefined) continue;
      let { nonce } = state.read(system.storage.Account, first.transaction.who);
      for (let entry = queue.get(nonce); entry !== undefined && taken.length < limit; entry = queue.get(nonce)) {
        queue.delete(nonce);
        this.#size -= 1;
        taken.push(entry);
        nonce += 1;
      }
      if (queue.size === 0) this.#accounts.delete(key);
    }
    return taken;
  }
}
