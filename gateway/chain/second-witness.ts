/**
 * What takes a contract from this node is read of two endpoints where there are two: who asks again about one
 * that is gone, or went to another node, is answered by another endpoint than the time before.
 */
import { LRUCache } from 'lru-cache';
import type { ChainConnection } from './connection.ts';
import type { CallLimits } from './failures.ts';
import { ChainReader } from './reader.ts';
import { type SettledContract, settledContract } from './settled-contract.ts';

export interface WitnessOptions {
  /** Whether the node has nothing more to do with a contract of this answer. */
  readonly isLost: (contract: SettledContract) => boolean;
  readonly say: (level: 'info' | 'warn', text: string) => void;
}

interface Witness {
  readonly endpoint: string;
  /** The block that its answer was read of. */
  readonly block: number;
  /** Another endpoint said the same. */
  readonly isConfirmed: boolean;
  /** Milliseconds of the process. */
  readonly at: number;
}

/** Contracts remembered; strangers may ask for any. */
const MOST = 1_000;
/** Milliseconds that a witness counts: the node asks again within seconds. */
const LIFETIME_MS = 600_000;
/**
 * Milliseconds after which an id that was never given is asked for elsewhere: a tenant's new contract, which comes
 * with the next block, should not wait for another endpoint.
 */
const NEW_MS = 5_000;
/** Visits at once; beyond, the endpoint in use is asked again. */
const VISITS_AT_ONCE = 8;

export class SecondWitness {
  readonly #reader: ChainReader;
  readonly #options: WitnessOptions;
  readonly #witnesses = new LRUCache<bigint, Witness>({ max: MOST, ttl: LIFETIME_MS });
  readonly #newMs: number;
  #visits = 0;

  constructor(connection: ChainConnection, options: WitnessOptions, newMs = NEW_MS) {
    this.#reader = new ChainReader(connection);
    this.#options = options;
    this.#newMs = newMs;
  }

  /** @throws GridError `chain_behind` from an endpoint that is older than what was seen before */
  async contract(id: bigint, limits: CallLimits = {}): Promise<SettledContract> {
    const { connection } = this.#reader;
    const endpoint = connection.endpoint ?? '';
    const found = await settledContract(this.#reader, id, limits);
    if (!this.#options.isLost(found)) return found;
    const before = this.#witnesses.get(id);
    const at = performance.now();
    if (before === undefined) this.#witnesses.set(id, { endpoint, block: found.block, isConfirmed: false, at });
    if (before === undefined || before.isConfirmed) return found;
    const mayBeNew = found.contract === null && !found.isOver;
    if (mayBeNew && at - before.at < this.#newMs) return found;
    if (before.endpoint !== endpoint) {
      this.#witnesses.set(id, { ...before, isConfirmed: true });
      return found;
    }
    return (await this.#elsewhere(id, before, limits)) ?? found;
  }

  async #elsewhere(id: bigint, before: Witness, limits: CallLimits): Promise<SettledContract | undefined> {
    if (this.#visits >= VISITS_AT_ONCE) return undefined;
    this.#visits += 1;
    try {
      return await this.#reader.connection.elsewhere(before.block, limits, async (visited) => {
        const found = await settledContract(new ChainReader(visited), id, limits);
        if (this.#options.isLost(found)) this.#witnesses.set(id, { ...before, isConfirmed: true });
        else {
          const text = `${before.endpoint} says that contract ${id} is gone as of block ${before.block}`;
          this.#options.say('warn', `${text}, ${visited.url} has it as of block ${found.block}: nothing is ended`);
        }
        return found;
      });
    } finally {
      this.#visits -= 1;
    }
  }
}
