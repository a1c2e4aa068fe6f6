/** Which twin, node and farm this node is on the chain, learnt once they exist. */
import { GridError } from '../../schemas/errors/index.ts';
import type { CallLimits } from './failures.ts';
import type { ChainReader } from './reader.ts';

export interface Membership {
  readonly twinId: number;
  readonly nodeId: number;
  readonly farmId: number;
  /** Twin that owns the farm. */
  readonly farmerTwinId: number;
}

export class NodeMembership {
  readonly #reader: ChainReader;
  readonly #account: Uint8Array;
  #known: Membership | undefined;

  /** `account` is the public key of the node's identity. */
  constructor(reader: ChainReader, account: Uint8Array) {
    this.#reader = reader;
    this.#account = account;
  }

  /** What was found last, without asking. */
  get known(): Membership | undefined {
    return this.#known;
  }

  /** A node may move to another farm. */
  forget(): void {
    this.#known = undefined;
  }

  /** @throws GridError `chain_registration` while a part is missing */
  async find(limits: CallLimits = {}): Promise<Membership> {
    if (this.#known !== undefined) return this.#known;
    const twinId = await this.#reader.twinIdOf(this.#account, limits);
    if (twinId === undefined) throw new GridError('chain_registration', { missing: 'twin' });
    const nodeId = await this.#reader.nodeIdOf(twinId, limits);
    const node = nodeId === undefined ? undefined : await this.#reader.node(nodeId, limits);
    if (node === undefined) throw new GridError('chain_registration', { missing: 'node' });
    const farm = await this.#reader.farm(node.farmId, limits);
    if (farm === undefined) throw new GridError('chain_registration', { missing: 'farm' });
    this.#known = { twinId, nodeId: node.id, farmId: farm.id, farmerTwinId: farm.twinId };
    return this.#known;
  }
}
