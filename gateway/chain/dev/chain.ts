/** The chain itself: blocks made at once when there is work, finalised a while later. */
import { EventEmitter } from 'node:events';
import { type Block, hashOf, rootOf } from './block.ts';
import { timestamp } from './description/money.ts';
import { system } from './description/system.ts';
import { H256 } from './description/types.ts';
import {
  applyTransaction,
  type BlockFrame,
  type EventValue,
  execution,
  inherentDone,
  TRANSACTION_FEE,
} from './dispatch.ts';
import { inherent, type SigningFacts, type Transaction } from './extrinsic.ts';
import { Finality, type FinalityTerms } from './finality.ts';
import { genesis } from './genesis.ts';
import { Orphans } from './orphans.ts';
import { billDue } from './pallets/billing.ts';
import { type BillingTerms, NO_BILLING } from './pallets/billing-terms.ts';
import type { Execution } from './pallets/context.ts';
import { Pool, type PoolEntry, PoolError } from './pool.ts';
import { encode, vec } from './scale/codec.ts';
import { blake2_256, toHex } from './scale/hashing.ts';
import { type Changes, Overlay, State } from './state.ts';

export interface ChainTiming {
  /** Milliseconds between blocks when nothing happens. */
  readonly idleBlockMs: number;
  /** Milliseconds after which a block is final. Clients that look for their transaction's events need 500. */
  readonly finalityMs: number;
}

/** Blocks whose state is kept, and the longest era a transaction may have. */
export const KEPT_BLOCKS = 2400;
const TRANSACTIONS_PER_BLOCK = 512;

interface ChainEvents {
  /** A new head, with the keys that may differ from what the head before it had. */
  block: [Block, changed: readonly string[]];
  finalized: [Block];
  /** The runtime of the head has another version than the one before. */
  runtime: [specVersion: number];
}

/** A control that cannot be used as told, as a reorganisation of final blocks. */
export class ControlError extends Error {
  override readonly name = 'ControlError';
}

/** State that is not kept any more. */
export class StateDiscarded extends Error {
  override readonly name = 'StateDiscarded';
}

export class DevChain extends EventEmitter<ChainEvents> {
  readonly state = new State();
  readonly pool = new Pool();
  readonly genesisHash: Uint8Array;
  readonly #blocks = new Map<string, Block>();
  readonly #hashes = new Map<number, string>();
  readonly #rootActions: Array<(context: Execution) => void> = [];
  #timing: ChainTiming;
  #head: Block;
  #finalized: Block;
  #sealing: NodeJS.Immediate | undefined;
  #idle: NodeJS.Timeout | undefined;
  readonly #finality: Finality;
  readonly #orphans = new Orphans();
  /** Transactions of blocks that are not final, by the block's hash. */
  readonly #included = new Map<string, readonly PoolEntry[]>();
  #isPaused = false;
  #oldestState = 0;
  /** Milliseconds since 1970 that the next block's time exceeds. */
  #latestMs = 0;
  #billing: BillingTerms = NO_BILLING;

  /** Starts from `from`, else from the genesis state. */
  constructor(timing: ChainTiming, from?: ChainSnapshot) {
    super();
    this.setMaxListeners(0); // The server bounds subscriptions.
    this.#timing = timing;
    this.#finality = new Finality(timing.finalityMs, (block) => this.#finalize(block));
    if (from === undefined) {
      const first = genesis();
      this.state.apply(0, first.changes);
      const header = {
        parent_hash: new Uint8Array(32),
        number: 0,
        state_root: rootOf(new Uint8Array(32), first.changes),
        extrinsics_root: blake2_256(new Uint8Array(0)),
        digest: { logs: [] },
      };
      this.genesisHash = hashOf(header);
      this.#head = { hash: toHex(this.genesisHash), number: 0, header, extrinsics: [], changed: [] };
    } else {
      this.genesisHash = from.genesisHash;
      this.state.apply(from.head.number, from.entries);
      this.#head = from.head;
      for (const [number, hash] of from.hashes) this.#hashes.set(number, hash);
    }
    this.#hashes.set(0, toHex(this.genesisHash));
    this.#finalized = this.#head;
    this.#keep(this.#head);
  }

  get head(): Block {
    return this.#head;
  }

  get finalized(): Block {
    return this.#finalized;
  }

  block(hash: string): Block | undefined {
    return this.#blocks.get(hash);
  }

  hashAt(number: number): string | undefined {
    return this.#hashes.get(number);
  }

  hashes(): ReadonlyMap<number, string> {
    return this.#hashes;
  }

  /** Bytes of a key as of a block. @throws StateDiscarded */
  valueAt(key: string, block: Block): Uint8Array | null {
    const orphaned = this.#orphans.get(block.hash, key, this.state);
    if (orphaned !== undefined) return orphaned;
    if (block.number < this.#oldestState || this.#hashes.get(block.number) !== block.hash) {
      throw new StateDiscarded(`State already discarded for ${block.hash}`);
    }
    return this.state.get(key, block.number);
  }

  /** Version of the runtime that a block left behind. */
  specVersionAt(block: Block): number {
    const state = new Overlay((key) => this.valueAt(key, block));
    return state.read(system.storage.LastRuntimeUpgrade)?.spec_version ?? 0;
  }

  /** The state that the next block starts from. */
  view(): Overlay {
    const { number } = this.#head;
    return new Overlay((key) => this.state.get(key, number));
  }

  /** Makes a block at once: clients refuse a chain without a clock, or with one that stands. */
  start(): void {
    this.#sealSoon();
  }

  stop(): void {
    clearTimeout(this.#idle);
    if (this.#sealing !== undefined) clearImmediate(this.#sealing);
    this.#finality.stop();
    this.removeAllListeners();
  }

  setTiming(timing: Partial<ChainTiming>): void {
    this.#timing = { ...this.#timing, ...timing };
    this.#finality.set({ afterMs: this.#timing.finalityMs });
    this.#sealLater();
  }

  /** How blocks become final from now on. */
  setFinality(terms: Partial<Omit<FinalityTerms, 'afterMs'>>): void {
    this.#finality.set(terms);
  }

  /** Makes everything up to block `number` final at once. */
  finalize(number: number): void {
    this.#finality.upTo(number);
  }

  /** While paused, blocks come from `seal` and `reorg` alone; transactions wait. */
  setPaused(isPaused: boolean): void {
    this.#isPaused = isPaused;
    clearTimeout(this.#idle);
    if (this.#sealing !== undefined) clearImmediate(this.#sealing);
    this.#sealing = undefined;
    this.#sealSoon();
  }

  get billing(): BillingTerms {
    return this.#billing;
  }

  setBilling(terms: Partial<BillingTerms>): void {
    this.#billing = { ...this.#billing, ...terms };
  }

  /** Forgets the states of blocks before `number`; their headers stay. */
  discardStates(number: number): void {
    if (number > this.#finalized.number) throw new ControlError(`block ${number} is not final`);
    this.#oldestState = Math.max(this.#oldestState, number);
    this.state.prune(this.#oldestState);
  }

  /** Makes a block now. */
  seal(): Block {
    return this.#seal();
  }

  /**
   * Replaces the newest `depth` blocks by a longer branch. Their transactions
   * go back to the pool, or are dropped with them.
   */
  reorg(depth: number, transactions: 'kept' | 'dropped'): Block {
    const fork = this.#head.number - depth;
    if (depth < 1 || fork < this.#finalized.number) {
      throw new ControlError(
        `blocks up to ${this.#finalized.number} are final, the head is ${this.#head.number}: no reorganisation of ${depth}`,
      );
    }
    const leaving = this.#path(fork + 1);
    const root = this.#path(fork)[0];
    if (root === undefined) throw new ControlError(`block ${fork} is not kept`);
    const before = this.specVersionAt(this.#head);
    this.#orphans.keep(leaving, fork, this.state);
    this.state.revert(fork);
    this.#finality.forget(fork);
    for (const { number } of leaving) this.#hashes.delete(number);
    this.#head = root;
    for (const block of leaving) this.#retract(block, transactions);
    const changed = new Set(leaving.flatMap((block) => block.changed));
    for (let made = 0; made < depth; made += 1) for (const key of this.#make().changed) changed.add(key);
    return this.#announce(this.#make(), changed, before);
  }

  /** The chain's blocks from `first` to the head. */
  #path(first: number): Block[] {
    const numbers = Array.from({ length: this.#head.number - first + 1 }, (_, index) => first + index);
    return numbers.flatMap((number) => this.#blocks.get(this.#hashes.get(number) ?? '') ?? []);
  }

  #retract(block: Block, transactions: 'kept' | 'dropped'): void {
    for (const { transaction, notify } of this.#included.get(block.hash) ?? []) {
      notify({ retracted: block.hash });
      if (transactions === 'dropped') notify('dropped');
      else this.#takeBack(transaction, notify);
    }
    this.#included.delete(block.hash);
  }

  #takeBack(transaction: Transaction, notify: PoolEntry['notify']): void {
    try {
      this.pool.add(transaction.bytes, this.view(), this.#facts(), notify);
    } catch (error) {
      // Its era may have begun in a block that is gone.
      if (!(error instanceof PoolError)) throw error;
      notify('invalid');
    }
  }

  #facts(): SigningFacts {
    return {
      genesis: this.genesisHash,
      specVersion: this.specVersionAt(this.#head),
      number: this.#head.number,
      blockHash: (number) => {
        const hash = this.#hashes.get(number);
        return hash === undefined ? null : new Uint8Array(Buffer.from(hash.slice(2), 'hex'));
      },
    };
  }

  /** Checks a transaction and puts it into the next block; `notify` hears what becomes of it. */
  submit(bytes: Uint8Array, notify: (status: unknown) => void): Transaction {
    const transaction = this.pool.add(bytes, this.view(), this.#facts(), notify);
    this.#sealSoon();
    return transaction;
  }

  /** Lets `action` change the state at the start of the next block, as governance would. */
  asRoot(action: (context: Execution) => void): Promise<Block> {
    return new Promise((resolve, reject) => {
      this.#rootActions.push((context) => {
        try {
          context.state.attempt(() => action(context));
          this.once('block', resolve);
        } catch (error) {
          reject(error);
        }
      });
      this.#sealSoon();
    });
  }

  #sealSoon(): void {
    if (this.#isPaused && this.#rootActions.length === 0) return;
    this.#sealing ??= setImmediate(() => {
      this.#sealing = undefined;
      this.#seal();
    });
  }

  #sealLater(): void {
    clearTimeout(this.#idle);
    if (!this.#isPaused) this.#idle = setTimeout(() => this.#seal(), this.#timing.idleBlockMs);
  }

  #seal(): Block {
    const before = this.specVersionAt(this.#head);
    return this.#announce(this.#make(), new Set(), before);
  }

  /** Makes a block the clients' head. `earlier` are keys that changed besides. */
  #announce(block: Block, earlier: Iterable<string>, before: number): Block {
    const after = this.specVersionAt(block);
    if (after !== before) this.emit('runtime', after);
    this.emit('block', block, [...new Set([...earlier, ...block.changed])]);
    this.#sealLater();
    if (this.pool.hasReady(this.view())) this.#sealSoon();
    return block;
  }

  #finalize(block: Block): void {
    this.#finalized = block;
    this.emit('finalized', block);
    for (const { notify } of this.#included.get(block.hash) ?? []) notify({ finalized: block.hash });
    this.#included.delete(block.hash);
  }

  #make(): Block {
    const parent = this.#head;
    const number = parent.number + 1;
    const state = this.view();
    // Time never stands still or runs back, whatever the host's clock does.
    const nowMs = Math.max(Date.now(), this.#latestMs + 1, Number(state.read(timestamp.storage.Now)) + 1);
    this.#latestMs = nowMs;
    const events: EventValue[] = [];
    const frame: BlockFrame = { state, block: number, nowMs, events, billing: this.#billing };
    const start = execution(frame, { kind: 'Initialization' });

    for (const action of this.#rootActions.splice(0)) action(start);
    billDue(start);
    const setTime = { kind: 'Timestamp', value: [{ kind: 'set', value: { now: BigInt(nowMs) } }] } as const;
    const extrinsics = [inherent(setTime)];
    state.write(timestamp.storage.Now, [], BigInt(nowMs));
    inherentDone(frame, 0);

    const included = this.pool.take(this.view(), TRANSACTIONS_PER_BLOCK).filter((entry) => {
      // An earlier transaction of this block may have spent what this one needs.
      const account = state.read(system.storage.Account, entry.transaction.who);
      const payable = account.data.free >= TRANSACTION_FEE + entry.transaction.tip;
      if (!payable || account.nonce !== entry.transaction.nonce) {
        entry.notify('invalid');
        return false;
      }
      applyTransaction(frame, entry.transaction, extrinsics.length);
      extrinsics.push(entry.transaction.bytes);
      return true;
    });

    const parentHash = new Uint8Array(Buffer.from(parent.hash.slice(2), 'hex'));
    state.write(system.storage.Number, [], number);
    state.write(system.storage.ParentHash, [], parentHash);
    state.write(system.storage.BlockHash, [parent.number], parentHash);
    if (number > KEPT_BLOCKS) state.remove(system.storage.BlockHash, number - KEPT_BLOCKS - 1);
    state.write(system.storage.Events, [], events);
    state.write(system.storage.EventCount, [], events.length);
    this.state.apply(number, state.changes);

    const header = {
      parent_hash: parentHash,
      number,
      state_root: rootOf(parent.header.state_root, state.changes),
      extrinsics_root: blake2_256(encode(vec(H256), extrinsics.map(blake2_256))),
      digest: { logs: [] },
    };
    const block = { hash: toHex(hashOf(header)), number, header, extrinsics, changed: [...state.changes.keys()] };
    this.#keep(block);
    this.#head = block;
    if (included.length > 0) this.#included.set(block.hash, included);
    for (const { notify } of included) notify({ inBlock: block.hash });
    this.#finality.add(block);
    return block;
  }

  #keep(block: Block): void {
    this.#blocks.set(block.hash, block);
    this.#hashes.set(block.number, block.hash);
    const oldest = block.number - KEPT_BLOCKS;
    const hash = this.#hashes.get(oldest);
    if (oldest > 0 && hash !== undefined) {
      this.#blocks.delete(hash);
      // Nodes keep every hash; the first tells this chain from one that began anew.
      if (oldest > 1) this.#hashes.delete(oldest);
    }
    if (oldest > 0 && block.number % 64 === 0) this.state.prune(oldest);
  }
}

/** A chain as it was at its head. */
export interface ChainSnapshot {
  readonly genesisHash: Uint8Array;
  readonly head: Block;
  readonly hashes: ReadonlyMap<number, string>;
  readonly entries: Changes;
}
