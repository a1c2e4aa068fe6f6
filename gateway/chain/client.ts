/** The chain for a program that acts as one twin: the command line, the demo, tests, our chain process. */
import { setTimeout as sleep } from 'node:timers/promises';
import { GridError, isGridError } from '../../schemas/errors/index.ts';
import { Identity } from '../rmb/keys.ts';
import { ChainConnection, type ConnectionOptions } from './connection.ts';
import type { CallLimits } from './failures.ts';
import { BlockFollower, type ChainBlock, type FollowerOptions } from './follower.ts';
import { ChainReader } from './reader.ts';
import {
  type ChainCall,
  type ChainSigner,
  eventData,
  type Included,
  type SubmitOptions,
  Transactions,
} from './transactions.ts';

export type { CallLimits } from './failures.ts';
export type { ChainBlock, ChainEvent } from './follower.ts';
export type { Account, Contract, Farm, Node, NodePower, Resources, Twin } from './records.ts';
export type { ChainCall, ChainSigner, Included } from './transactions.ts';

export interface ChainClientOptions extends ConnectionOptions {
  /** Signs transactions; without it the client can only read. */
  readonly identity?: ChainSigner;
}

const HASH_TEXT = /^[0-9a-f]{32}$/;
const TERMS = { link: 'http://zos.tf/terms/v0.1', hash: '9021d4dee05a661e2cb6838152c67f25' } as const;
/** The mini secret behind the development account `//Alice`, known to everyone. */
const DEVELOPMENT_FUNDER = '0xe5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a';
const DEVELOPMENT_FUNDS = 10_000_000_000n;
const ENDOW_ATTEMPTS = 10;

export interface TwinInput {
  /** Relay domains; more than one are joined by `_`, or a list. */
  readonly relay: string | readonly string[];
  /** Compressed secp256k1 point for end-to-end encryption. */
  readonly encryptionKey?: Uint8Array | null;
}

export interface NodeInput {
  readonly farmId: number;
  /** Bytes, and cores in `cru`. */
  readonly resources: { readonly hru: bigint; readonly sru: bigint; readonly cru: bigint; readonly mru: bigint };
  readonly location?: {
    readonly city: string;
    readonly country: string;
    readonly latitude: string;
    readonly longitude: string;
  };
  readonly interfaces?: ReadonlyArray<{ readonly name: string; readonly mac: string; readonly ips: readonly string[] }>;
  readonly secureBoot?: boolean;
  readonly virtualized?: boolean;
  readonly serialNumber?: string | null;
}

export interface NodeContractInput {
  readonly nodeId: number;
  /** The deployment's challenge hash: 32 lowercase hex digits. */
  readonly hash: string;
  /** Deployment metadata, at most 512 bytes. */
  readonly data?: string;
  /** Public IPv4 addresses to reserve of the farm. */
  readonly publicIps?: number;
  readonly solutionProviderId?: bigint | null;
}

export class ChainClient extends ChainReader {
  readonly #transactions: Transactions | undefined;

  /** Connects in the background; `connect` waits for it. */
  constructor(options: ChainClientOptions, connection: ChainConnection = new ChainConnection(options)) {
    super(connection);
    if (options.identity !== undefined) this.#transactions = new Transactions(this.connection, options.identity);
  }

  /** The same connection for another identity. It ends with the `close` of any of its clients. */
  actingAs(identity: ChainSigner): ChainClient {
    return new ChainClient({ endpoints: this.connection.endpoints, identity }, this.connection);
  }

  /** A client that is connected. @throws GridError `chain_lost` after `deadlineMs` */
  static async connect(options: ChainClientOptions): Promise<ChainClient> {
    const client = new ChainClient(options);
    try {
      await client.connection.api('its runtime');
      return client;
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /** SS58 address of the identity; known once the connection has been up. */
  get address(): string {
    return this.#signing().address;
  }

  get publicKey(): Uint8Array {
    return this.#signing().publicKey;
  }

  #signing(): Transactions {
    if (this.#transactions === undefined) {
      throw new GridError('chain_key', { reason: 'this client was opened without an identity' });
    }
    return this.#transactions;
  }

  #tfgrid(method: string, args: readonly unknown[], limits: CallLimits | undefined): Promise<Included> {
    return this.#signing().submit({ pallet: 'tfgridModule', method, args }, limits);
  }

  #contracts(method: string, args: readonly unknown[], limits: CallLimits | undefined): Promise<Included> {
    return this.#signing().submit({ pallet: 'smartContractModule', method, args }, limits);
  }

  /** Sends any call by its name; for what has no method of its own here. */
  submit(call: ChainCall, limits?: CallLimits, options?: SubmitOptions): Promise<Included> {
    return this.#signing().submit(call, limits, options);
  }

  async acceptTerms(link: string = TERMS.link, hash: string = TERMS.hash, limits?: CallLimits): Promise<void> {
    await this.#tfgrid('userAcceptTc', [link, hash], limits);
  }

  /** Makes the identity's twin; its id. */
  async createTwin(input: TwinInput, limits?: CallLimits): Promise<number> {
    const done = await this.#tfgrid('createTwin', twinArguments(input), limits);
    return idOf(eventData(done, 'tfgridModule', 'TwinStored')[0], 'id');
  }

  async updateTwin(input: TwinInput, limits?: CallLimits): Promise<void> {
    await this.#tfgrid('updateTwin', twinArguments(input), limits);
  }

  /** The identity's twin, made or brought up to date as needed; its id. */
  async ensureTwin(input: TwinInput, limits?: CallLimits): Promise<number> {
    const known = await this.twinByAccount(this.publicKey, limits);
    if (known === undefined) {
      if (!(await this.hasAcceptedTerms(this.publicKey, limits)))
        await this.acceptTerms(TERMS.link, TERMS.hash, limits);
      return await this.createTwin(input, limits);
    }
    const [relay, key] = twinArguments(input);
    const storedKey = known.pk === null ? null : hex(known.pk);
    if (known.relayText !== relay || storedKey !== key) await this.updateTwin(input, limits);
    return known.id;
  }

  /** Makes a farm with public addresses in CIDR form; its id. */
  async createFarm(
    name: string,
    publicIps: ReadonlyArray<{ readonly ip: string; readonly gw: string }> = [],
    limits?: CallLimits,
  ): Promise<number> {
    const done = await this.#tfgrid('createFarm', [name, publicIps], limits);
    return idOf(eventData(done, 'tfgridModule', 'FarmStored')[0], 'id');
  }

  /** Registers the identity's twin as a node; its id. */
  async createNode(input: NodeInput, limits?: CallLimits): Promise<number> {
    const done = await this.#tfgrid('createNode', nodeArguments(input), limits);
    return idOf(eventData(done, 'tfgridModule', 'NodeStored')[0], 'id');
  }

  async updateNode(nodeId: number, input: NodeInput, limits?: CallLimits): Promise<number> {
    const done = await this.#tfgrid('updateNode', [nodeId, ...nodeArguments(input)], limits);
    return idOf(eventData(done, 'tfgridModule', 'NodeUpdated')[0], 'id');
  }

  /** Reserves a deployment on a node; the contract's id. */
  async createNodeContract(input: NodeContractInput, limits?: CallLimits): Promise<bigint> {
    const { nodeId, hash, data = '', publicIps = 0, solutionProviderId = null } = input;
    const args = [nodeId, checkedHash(hash), data, publicIps, solutionProviderId];
    const done = await this.#contracts('createNodeContract', args, limits);
    return contractIdOf(done, 'ContractCreated');
  }

  async updateNodeContract(id: bigint, hash: string, data = '', limits?: CallLimits): Promise<void> {
    await this.#contracts('updateNodeContract', [id, checkedHash(hash), data], limits);
  }

  async createNameContract(name: string, limits?: CallLimits): Promise<bigint> {
    return contractIdOf(await this.#contracts('createNameContract', [name], limits), 'ContractCreated');
  }

  async createRentContract(nodeId: number, limits?: CallLimits): Promise<bigint> {
    return contractIdOf(await this.#contracts('createRentContract', [nodeId, null], limits), 'ContractCreated');
  }

  /** Ends a contract. One that is gone already is fine. */
  async cancelContract(id: bigint, limits?: CallLimits): Promise<void> {
    try {
      await this.#contracts('cancelContract', [id], limits);
    } catch (error) {
      if (isGridError(error, 'chain_dispatch') && error.details.error === 'ContractNotExists') return;
      throw error;
    }
  }

  /** Reports seconds of uptime as of `timestampHint`, seconds since 1970 on the chain's clock. */
  async reportUptime(uptime: bigint, timestampHint: bigint, limits?: CallLimits): Promise<string> {
    return (await this.#tfgrid('reportUptimeV2', [uptime, timestampHint], limits)).hash;
  }

  async setPowerState(up: boolean, limits?: CallLimits): Promise<string> {
    return (await this.#tfgrid('changePowerState', [up ? 'Up' : 'Down'], limits)).hash;
  }

  /** Reports bytes of public traffic; a block hash of the transaction. */
  async reportNetworkUse(
    reports: ReadonlyArray<{ contractId: bigint; timestamp: bigint; window: bigint; nru: bigint }>,
    limits?: CallLimits,
  ): Promise<string> {
    return (await this.#contracts('addNruReports', [reports], limits)).hash;
  }

  async reportContractResources(
    used: ReadonlyArray<{ contractId: bigint; used: NodeInput['resources'] }>,
    limits?: CallLimits,
  ): Promise<string> {
    return (await this.#contracts('reportContractResources', [used], limits)).hash;
  }

  /** Sends uTFT to an SS58 address or public key. */
  async transfer(to: string | Uint8Array, amount: bigint, limits?: CallLimits): Promise<void> {
    await this.#signing().submit({ pallet: 'balances', method: 'transferKeepAlive', args: [to, amount] }, limits);
  }

  /** On a development chain: gets the identity's account up to `amount` uTFT from the well-known account. */
  async endow(amount = DEVELOPMENT_FUNDS, limits?: CallLimits): Promise<void> {
    const { data } = await this.account(this.publicKey, limits);
    if (data.free >= amount / 2n) return;
    const funder = await Identity.fromSecret(DEVELOPMENT_FUNDER, 'sr25519');
    const call = { pallet: 'balances', method: 'transferKeepAlive', args: [this.address, amount] };
    for (let attempt = 1; ; attempt += 1) {
      try {
        await new Transactions(this.connection, funder).submit(call, limits);
        return;
      } catch (error) {
        // Everyone signs with this key, so another program may have taken the nonce.
        if (!isGridError(error, 'chain_rejected') || attempt === ENDOW_ATTEMPTS) throw error;
        await sleep(50 * attempt * Math.random());
      }
    }
  }

  /**
   * Blocks with their events from now on, or from the one after `from`: `final` ones for what cannot be
   * undone, `best` ones for speed. Lives through lost connections; a block
   * whose `gap` is true follows ones that could not be read.
   */
  blocks(kind: 'best' | 'final', signal: AbortSignal, from?: FollowerOptions['from']): AsyncGenerator<ChainBlock> {
    return new BlockFollower(this.connection, kind, from === undefined ? {} : { from }).blocks(signal);
  }

  async close(): Promise<void> {
    await this.connection.close();
  }
}

const hex = (bytes: Uint8Array): string => `0x${Buffer.from(bytes).toString('hex')}`;

/** Bytes as hex: a text that happens to begin with `0x` must not be taken for hex. */
function textBytes(text: string): string {
  return hex(new TextEncoder().encode(text));
}

function twinArguments({ relay, encryptionKey }: TwinInput): [relay: string | null, pk: string | null] {
  const domains = typeof relay === 'string' ? relay.split('_') : [...relay];
  const sorted = [...new Set(domains.filter((domain) => domain !== ''))].sort().join('_');
  return [sorted === '' ? null : sorted, encryptionKey == null ? null : hex(encryptionKey)];
}

function nodeArguments(input: NodeInput): unknown[] {
  const unknownPlace = { city: 'Unknown', country: 'Unknown', latitude: '0', longitude: '0' };
  return [
    input.farmId,
    input.resources,
    input.location ?? unknownPlace,
    input.interfaces ?? [],
    input.secureBoot ?? false,
    input.virtualized ?? false,
    input.serialNumber ?? null,
  ];
}

/** The 32 bytes on the chain are the text's, not the digest's. */
function checkedHash(hash: string): string {
  if (!HASH_TEXT.test(hash)) throw new RangeError(`a deployment hash is 32 lowercase hex digits, not '${hash}'`);
  return textBytes(hash);
}

function idOf(record: unknown, field: string): number {
  return Number((record as Record<string, unknown>)[field]);
}

function contractIdOf(done: Included, event: string): bigint {
  const record = eventData(done, 'smartContractModule', event)[0] as { contractId: number | string };
  return BigInt(record.contractId);
}
