/** Signs calls, sends them, and learns what became of them. */
import type { ApiPromise } from '@polkadot/api';
import type { SubmittableExtrinsic } from '@polkadot/api/types';
import type { DispatchError } from '@polkadot/types/interfaces';
import type { ISubmittableResult } from '@polkadot/types/types';
import { TRAFFIC_LIFE_BLOCKS } from '../../modules/api-gateway/interface.ts';
import { GridError } from '../../schemas/errors/index.ts';
import type { ChainConnection } from './connection.ts';
import type { CallLimits } from './failures.ts';
import { addressFromAccount } from './ss58.ts';

/** Who signs. `sign` gives a type byte of its own and 64 signature bytes, as `Identity` of gateway/rmb does. */
export interface ChainSigner {
  readonly keyType: 'ed25519' | 'sr25519';
  readonly publicKey: Uint8Array;
  readonly sign: (message: Uint8Array) => Uint8Array;
}

/** First byte of the chain's MultiSignature. */
const SIGNATURE_KIND = { ed25519: 0, sr25519: 1 } as const;

/** A call by pallet and method in the decorated spelling. */
export interface ChainCall {
  readonly pallet: string;
  readonly method: string;
  readonly args: readonly unknown[];
}

export interface ChainEvent {
  readonly pallet: string;
  readonly name: string;
  /** The event's fields as JSON values: bytes and wide integers are hex. */
  readonly data: readonly unknown[];
}

export interface Included {
  readonly hash: string;
  readonly block: string;
  readonly events: readonly ChainEvent[];
}

/** A block that a transaction's life begins with. */
export interface BirthBlock {
  readonly number: number;
  readonly hash: string;
}

export interface SubmitOptions {
  /**
   * The first block of the transaction's life: whenever it is sent, it is void `LIFE_BLOCKS` later. Without,
   * its life begins when it is sent.
   */
  readonly birth?: BirthBlock;
  /** Which block has it when `submit` returns or throws `chain_dispatch`: the best one, which may be replaced, or a final one. */
  readonly until?: 'best' | 'final';
}

/** Blocks in which a transaction with a birth block can be. */
export const LIFE_BLOCKS = TRAFFIC_LIFE_BLOCKS;

/** What a refusal is called: the pallet's error, or the kind of a failure outside pallets. */
export function describeDispatchError(
  api: ApiPromise,
  error: DispatchError,
): { pallet: string; error: string; docs: string } {
  if (error.isModule) {
    const { section, name, docs } = api.registry.findMetaError(error.asModule);
    return { pallet: section, error: name, docs: docs.join(' ').trim() };
  }
  const inner = error.isToken ? error.asToken.type : error.isArithmetic ? error.asArithmetic.type : error.type;
  return { pallet: error.type, error: inner, docs: '' };
}

interface Sending extends SubmitOptions {
  readonly name: string;
  readonly limits: CallLimits;
  readonly onInBlock: () => void;
}

export class Transactions {
  readonly #connection: ChainConnection;
  readonly #signer: ChainSigner;
  /** Sends one at a time: each takes the nonce after the one before. */
  #sending: Promise<unknown> = Promise.resolve();

  constructor(connection: ChainConnection, signer: ChainSigner) {
    this.#connection = connection;
    this.#signer = signer;
  }

  /** SS58 address of the signer; known once the connection has been up. */
  get address(): string {
    return addressFromAccount(this.#signer.publicKey);
  }

  get publicKey(): Uint8Array {
    return this.#signer.publicKey;
  }

  /**
   * Sends a call and waits until a block has it. Throws `chain_dispatch` when
   * the chain refuses the call, `chain_rejected` when the pool does.
   */
  async submit(call: ChainCall, limits: CallLimits = {}, options: SubmitOptions = {}): Promise<Included> {
    const name = `${call.pallet}.${call.method}`;
    const inBlock = Promise.withResolvers<void>();
    const turn = this.#sending.then(() =>
      this.#connection.ask(name, limits, (api) =>
        this.#send(api, call, { name, limits, ...options, onInBlock: inBlock.resolve }),
      ),
    );
    // The next one has its nonce from then on; it does not wait until this one is final.
    this.#sending = Promise.race([inBlock.promise, turn.catch(() => undefined)]);
    return turn;
  }

  async #send(api: ApiPromise, call: ChainCall, sending: Sending): Promise<Included> {
    const { name, birth } = sending;
    const make = api.tx[call.pallet]?.[call.method];
    if (make === undefined) throw new GridError('chain_unsupported', { what: `call ${name} of this chain` });
    const nonce = await api.rpc.system.accountNextIndex(this.address);
    const signed = await make(...call.args).signAsync(this.#pair(), { nonce, ...lifeFrom(api, birth) });
    return await this.#watch(api, signed, sending);
  }

  #pair(): never {
    const { keyType, publicKey, sign } = this.#signer;
    const pair = {
      address: this.address,
      addressRaw: publicKey,
      publicKey,
      type: keyType,
      sign: (message: Uint8Array): Uint8Array => {
        const signature = sign.call(this.#signer, message);
        signature[0] = SIGNATURE_KIND[keyType];
        return signature;
      },
    };
    return pair as never;
  }

  async #watch(
    api: ApiPromise,
    signed: SubmittableExtrinsic<'promise'>,
    { name, limits, until = 'best', onInBlock }: Sending,
  ): Promise<Included> {
    const { promise, resolve, reject } = Promise.withResolvers<Included>();
    const lost = (): void => {
      reject(new GridError('chain_lost', { what: name, endpoints: [...this.#connection.endpoints] }));
    };
    const onResult = (result: ISubmittableResult): void => {
      const { status } = result;
      if (status.isInBlock) onInBlock();
      if (status.isInBlock && until === 'final') return;
      if (status.isInBlock || status.isFinalized) {
        if (result.dispatchError !== undefined) {
          reject(new GridError('chain_dispatch', { call: name, ...describeDispatchError(api, result.dispatchError) }));
          return;
        }
        const block = status.isInBlock ? status.asInBlock : status.asFinalized;
        const events = result.events.map(({ event }) => ({
          pallet: event.section,
          name: event.method,
          data: event.data.toJSON() as unknown[],
        }));
        resolve({ hash: signed.hash.toHex(), block: block.toHex(), events });
      } else if (result.isError) {
        reject(new GridError('chain_transaction_lost', { call: name, status: status.type }));
      }
    };
    const stopWatchingLoss = this.#connection.onLost(lost);
    let unsubscribe: (() => void) | undefined;
    const deadline = AbortSignal.timeout(limits.deadlineMs ?? this.#connection.deadlineMs);
    const givenUp = (): void => reject(deadline.reason as Error);
    deadline.addEventListener('abort', givenUp, { once: true });
    try {
      unsubscribe = await signed.send(onResult);
      return await promise;
    } finally {
      deadline.removeEventListener('abort', givenUp);
      stopWatchingLoss();
      unsubscribe?.();
    }
  }
}

/** What `signAsync` takes for a life that begins at a block. */
function lifeFrom(api: ApiPromise, birth: BirthBlock | undefined): object {
  if (birth === undefined) return {};
  const era = api.registry.createType('ExtrinsicEra', { current: birth.number, period: LIFE_BLOCKS });
  return { era, blockHash: birth.hash };
}

/** The fields of the first event of that name; its absence means that the chain changed its ways. */
export function eventData(included: Included, pallet: string, name: string): readonly unknown[] {
  const found = included.events.find((event) => event.pallet === pallet && event.name === name);
  if (found === undefined)
    throw new GridError('chain_unsupported', { what: `a transaction without ${pallet}.${name}` });
  return found.data;
}
