/** The chain itself: blocks made at once when there is work, finalised a while later. */
import { EventEmitter } from 'node:events';
import { timestamp } from './description/money.ts';
import { system } from './description/system.ts';
import { Digest, H256 } from './description/types.ts';
import {
  applyTransaction,
  type BlockFrame,
  type EventValue,
  execution,
  inherentDone,
  TRANSACTION_FEE,
} from './dispatch.ts';
import { inherent, type SigningFacts, type Transaction } from './extrinsic.ts';
import { genesis } from './genesis.ts';
import type { Execution } from './pallets/context.ts';
import { Pool } from './pool.ts';
import { compact, encode, struct, u32, type ValueOf, vec } from './scale/codec.ts';
import { blake2_256, toHex } from './scale/hashing.ts';
import { type Changes, Overlay, State } from './state.ts';

export const Header = struct('Header', {
  parent_hash: H256,
  number: compact(u32),
  state_root: H256,
  extrinsics_root: H256,
  digest: Digest,
});

export interface Block {
  readonly hash: string;
  readonly number: number;
  readonly header: ValueOf<typeof Header>;
  readonly extrinsics: readonly Uint8Array[];
  /** Storage keys that the block changed. */
  readonly changed: readonly string[];
}

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
  block: [Block];
  finalized: [Block];
}

const hashOf = (header: ValueOf<typeof Header>): Uint8Array => blake2_256(encode(Header, header));

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
  readonly #finalizing = new Set<NodeJS.Timeout>();

  /** Starts from `from`, else from the genesis state. */
  constructor(timing: ChainTiming, from?: ChainSnapshot) {
    super();
    this.#timing = timing;
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
    for (const timer of this.#finalizing) clearTimeout(timer);
    this.removeAllListeners();
  }

  setTiming(timing: Partial<ChainTiming>): void {
    this.#timing = { ...this.#timing, ...timing };
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#seal(), this.#timing.idleBlockMs);
  }

  #facts(): SigningFacts {
    return {
      genesis: this.genesisHash,
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
    this.#sealing ??= setImmediate(() => {
      this.#sealing = undefined;
      this.#seal();
    });
  }

  #seal(): void {
    clearTimeout(this.#idle);
    const parent = this.#head;
    const number = parent.number + 1;
    const state = this.view();
    // Time never stands still or runs back, whatever the host's clock does.
    const nowMs = Math.max(Date.now(), Number(state.read(timestamp.storage.Now)) + 1);
    const events: EventValue[] = [];
    const frame: BlockFrame = { state, block: number, nowMs, events };

    for (const action of this.#rootActions.splice(0)) action(execution(frame, { kind: 'Initialization' }));
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
    for (const entry of included) entry.notify({ inBlock: block.hash });
    this.emit('block', block);
    this.#finalizeLater(block, () => {
      for (const entry of included) entry.notify({ finalized: block.hash });
    });
    this.#idle = setTimeout(() => this.#seal(), this.#timing.idleBlockMs);
    if (this.pool.hasReady(this.view())) this.#sealSoon();
  }

  #finalizeLater(block: Block, tell: () => void): void {
    const timer = setTimeout(() => {
      this.#finalizing.delete(timer);
      this.#finalized = block;
      this.emit('finalized', block);
      tell();
    }, this.#timing.finalityMs);
    this.#finalizing.add(timer);
  }

  #keep(block: Block): void {
    this.#blocks.set(block.hash, block);
    this.#hashes.set(block.number, block.hash);
    const oldest = block.number - KEPT_BLOCKS;
    const hash = this.#hashes.get(oldest);
    if (oldest > 0 && hash !== undefined) {
      this.#blocks.delete(hash);
      this.#hashes.delete(oldest);
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

/** Commits to the parent's root and to the changes; no trie stands behind it. */
function rootOf(parent: Uint8Array, changes: Changes): Uint8Array {
  const parts: Uint8Array[] = [parent];
  for (const key of [...changes.keys()].sort()) {
    parts.push(new TextEncoder().encode(key), blake2_256(changes.get(key) ?? new Uint8Array(0)));
  }
  return blake2_256(Buffer.concat(parts));
}
