/** Which twin, node and farm this node is on the chain, learnt once they exist. */
import { GridError } from '../../schemas/errors/index.ts';
import { read } from './connection.ts';
import type { CallLimits } from './failures.ts';
import type { ChainReader } from './reader.ts';
import { records } from './records.ts';
import type { ChainEvent } from './transactions.ts';

export interface Membership {
  readonly twinId: number;
  readonly nodeId: number;
  readonly farmId: number;
  /** Twin that owns the farm. */
  readonly farmerTwinId: number;
  /** The block it was read at. */
  readonly block: number;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** A node may move to another farm, and events of that may be missed. */
const LIFETIME_MS = 600_000;

const NODE_EVENTS = new Set(['NodeUpdated', 'NodeDeleted']);
const FARM_EVENTS = new Set(['FarmUpdated', 'FarmDeleted']);

export class NodeMembership {
  readonly #reader: ChainReader;
  readonly #account: Uint8Array;
  readonly #lifetimeMs: number;
  #known: Membership | undefined;
  #isFresh = false;

  /** `account` is the public key of the node's identity. */
  constructor(reader: ChainReader, account: Uint8Array, lifetimeMs = LIFETIME_MS) {
    this.#reader = reader;
    this.#account = account;
    this.#lifetimeMs = lifetimeMs;
  }

  /** What was found last, without asking. */
  get known(): Membership | undefined {
    return this.#known;
  }

  /** Reads it again when it is needed next. */
  forget(): void {
    this.#isFresh = false;
  }

  /** Whether an event may be about this node or its farm. */
  isTouchedBy({ pallet, name, data }: ChainEvent): boolean {
    if (this.#known === undefined || pallet !== 'tfgridModule') return false;
    if (NODE_EVENTS.has(name)) return idOf(data[0]) === this.#known.nodeId;
    return FARM_EVENTS.has(name) && idOf(data[0]) === this.#known.farmId;
  }

  /** @throws GridError `chain_registration` while a part is missing */
  async find(limits: CallLimits = {}): Promise<Membership> {
    const known = this.#known;
    if (known !== undefined && this.#isFresh && Date.now() - known.at < this.#lifetimeMs) return known;
    const twinId = await this.#reader.twinIdOf(this.#account, limits);
    if (twinId === undefined) throw new GridError('chain_registration', { missing: 'twin' });
    const nodeId = await this.#reader.nodeIdOf(twinId, limits);
    const node = nodeId === undefined ? undefined : await this.#reader.node(nodeId, limits);
    if (node === undefined) throw new GridError('chain_registration', { missing: 'node' });
    const [farm, block] = await this.#reader.connection.read(
      [read('tfgridModule', 'farms', [node.farmId], records.farm.nullable()), read('system', 'number', [], records.id)],
      limits,
    );
    if (farm === null) throw new GridError('chain_registration', { missing: 'farm' });
    const { id: farmId, twinId: farmerTwinId } = farm;
    this.#known = { twinId, nodeId: node.id, farmId, farmerTwinId, block, at: Date.now() };
    this.#isFresh = true;
    return this.#known;
  }
}

/** Of a record, or what is an id itself. */
function idOf(value: unknown): number {
  return Number(typeof value === 'object' && value !== null ? (value as { id?: unknown }).id : value);
}
