/** What happens to this node's contracts, from final blocks; gaps are closed by comparing states. */
import type { ContractEvent as ContractEventType } from '../../modules/api-gateway/interface.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import type { ChainBlock, ChainClient, ChainEvent } from './client.ts';
import type { NodeMembership } from './membership.ts';
import { type Contract, records } from './records.ts';

export type ContractEvent = Infer<typeof ContractEventType>;
type Happening = Omit<ContractEvent, 'Generation' | 'Sequence'>;

/** What is remembered of a contract to see a change after a gap. */
interface Known {
  readonly twinId: number;
  readonly hash: string;
  readonly inGrace: boolean;
}

const PALLET = 'smartContractModule';

const remember = (contract: Contract): Known => ({
  twinId: contract.twinId,
  hash: contract.contractType.kind === 'node' ? new TextDecoder().decode(contract.contractType.deploymentHash) : '',
  inGrace: contract.state.kind === 'grace',
});

export class ContractWatch {
  readonly #client: ChainClient;
  readonly #membership: NodeMembership;
  #known = new Map<bigint, Known>();
  #complete = false;

  constructor(client: ChainClient, membership: NodeMembership) {
    this.#client = client;
    this.#membership = membership;
  }

  /** Something with every final block, numbered, so that a listener notices what it has missed. */
  async *events(signal: AbortSignal): AsyncGenerator<ContractEvent> {
    const Generation = Date.now();
    let Sequence = 0;
    for await (const block of this.#client.blocks('final', signal)) {
      const alive: Happening = { Kind: 'alive', ContractID: 0n, TwinID: 0, BlockNumber: block.number };
      const told = await this.#happenings(block);
      for (const one of told.length === 0 ? [alive] : told) {
        Sequence += 1;
        yield { ...one, Generation, Sequence };
      }
    }
  }

  async #happenings(block: ChainBlock): Promise<Happening[]> {
    if (block.gap) this.#complete = false;
    const mentions = block.events.some(({ pallet }) => pallet === PALLET || pallet === 'tfgridModule');
    return this.#complete && !mentions ? [] : await this.#eventsOf(block);
  }

  async #eventsOf(block: ChainBlock): Promise<Happening[]> {
    try {
      const { nodeId } = await this.#membership.find();
      if (!this.#complete) return await this.#compare(block, nodeId);
      return block.events.flatMap((event) => this.#translate(event, nodeId, block.number) ?? []);
    } catch {
      // Not registered yet, or the chain went away: the next block compares everything.
      this.#complete = false;
      return [];
    }
  }

  /** Reads all of the node's contracts at a block; what differs from what was known is told as events. */
  async #compare(block: ChainBlock, nodeId: number): Promise<Happening[]> {
    const ids = await this.#client.activeContracts(nodeId, {}, block.hash);
    const contracts = await this.#client.contractsAt(ids, {}, block.hash);
    const now = new Map<bigint, Known>();
    for (const contract of contracts) if (contract !== null) now.set(contract.contractId, remember(contract));
    const events: Happening[] = [];
    const tell = (Kind: string, ContractID: bigint, TwinID: number): void => {
      events.push({ Kind, ContractID, TwinID, BlockNumber: block.number });
    };
    for (const [id, { twinId }] of this.#known) if (!now.has(id)) tell('cancelled', id, twinId);
    for (const [id, { twinId, hash, inGrace }] of now) {
      const before = this.#known.get(id);
      if (before === undefined) tell('created', id, twinId);
      else if (before.hash !== hash) tell('updated', id, twinId);
      if (inGrace !== (before?.inGrace ?? false)) tell(inGrace ? 'grace_started' : 'grace_ended', id, twinId);
    }
    this.#known = now;
    this.#complete = true;
    return events;
  }

  #translate({ pallet, name, data }: ChainEvent, nodeId: number, block: number): Happening[] | undefined {
    if (pallet !== PALLET) return undefined;
    if (name === 'ContractCreated' || name === 'ContractUpdated') {
      const contract = records.contract.parse(data[0]);
      const { contractId: id, twinId, contractType } = contract;
      const here = contractType.kind === 'node' && contractType.nodeId === nodeId;
      const before = this.#known.get(id);
      if (here) {
        this.#known.set(id, remember(contract));
        const Kind = name === 'ContractCreated' ? 'created' : 'updated';
        return [{ Kind, ContractID: id, TwinID: twinId, BlockNumber: block }];
      }
      // Governance may move a contract to another node; here it has ended.
      if (before === undefined) return undefined;
      this.#known.delete(id);
      return [{ Kind: 'cancelled', ContractID: id, TwinID: twinId, BlockNumber: block }];
    }
    const Kind = {
      NodeContractCanceled: 'cancelled',
      ContractGracePeriodStarted: 'grace_started',
      ContractGracePeriodEnded: 'grace_ended',
    }[name];
    if (Kind === undefined) return undefined;
    const [contract, node, twin] = data;
    if (Number(node) !== nodeId) return undefined;
    const id = records.integer.parse(contract);
    const before = this.#known.get(id);
    if (Kind === 'cancelled') this.#known.delete(id);
    else if (before !== undefined) this.#known.set(id, { ...before, inGrace: Kind === 'grace_started' });
    return [{ Kind, ContractID: id, TwinID: Number(twin), BlockNumber: block }];
  }
}
