/** What happens to this node's contracts, from final blocks; gaps are closed by comparing states. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContractEvent as ContractEventType } from '../../modules/api-gateway/interface.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import { isGridError } from '../../schemas/errors/index.ts';
import type { ChainBlock, ChainClient, ChainEvent } from './client.ts';
import { judgeCursor, marksAfter } from './cursor.ts';
import type { NodeMembership } from './membership.ts';
import { type Contract, records } from './records.ts';
import type { ChainStore, Cursor, KnownContract, Mark } from './store.ts';

export type ContractEvent = Infer<typeof ContractEventType>;
type Happening = Omit<ContractEvent, 'Generation' | 'Sequence'>;

const PALLET = 'smartContractModule';

const remember = (contract: Contract): KnownContract => ({
  twinId: contract.twinId,
  hash: contract.contractType.kind === 'node' ? new TextDecoder().decode(contract.contractType.deploymentHash) : '',
  inGrace: contract.state.kind === 'grace',
});

/** Blocks between two writes of a cursor while nothing happens: what is told again after a crash is only that. */
const KEEP_EVERY_BLOCKS = 10;
const RETRY_MS = 1_000;

export interface ContractWatchOptions {
  readonly client: ChainClient;
  readonly membership: NodeMembership;
  readonly store: ChainStore;
  /** What the operator should hear, and whether it is a reason to look. */
  readonly say: (level: 'info' | 'warn', text: string) => void;
}

export class ContractWatch {
  readonly #client: ChainClient;
  readonly #membership: NodeMembership;
  readonly #store: ChainStore;
  readonly #say: ContractWatchOptions['say'];
  #known = new Map<bigint, KnownContract>();
  #complete = false;
  #marks: readonly Mark[] = [];
  #kept = 0;

  constructor({ client, membership, store, say }: ContractWatchOptions) {
    this.#client = client;
    this.#membership = membership;
    this.#store = store;
    this.#say = say;
  }

  /**
   * Something with every final block, numbered, so that a listener notices what it has missed. Goes on after
   * the last block whose events were handed on, also by a process before this one; what was told shortly
   * before a crash may be told again.
   */
  async *events(signal: AbortSignal): AsyncGenerator<ContractEvent> {
    const Generation = Date.now();
    let Sequence = 0;
    const from = await this.#resume(signal);
    let last: ChainBlock | undefined;
    try {
      for await (const block of this.#client.blocks('final', signal, from)) {
        if (block.gap && from !== undefined) {
          this.#say('warn', `blocks before ${block.number} were not read: contracts are compared`);
        }
        const alive: Happening = { Kind: 'alive', ContractID: 0n, TwinID: 0, BlockNumber: block.number };
        const told = await this.#happenings(block);
        for (const one of told.length === 0 ? [alive] : told) {
          Sequence += 1;
          yield { ...one, Generation, Sequence };
        }
        // Here the listener has asked for more: it has what was told.
        last = block;
        if (told.length > 0 || block.gap || block.number >= this.#kept + KEEP_EVERY_BLOCKS) this.#keep(block);
      }
    } finally {
      if (last !== undefined && last.number > this.#kept) this.#keep(last);
    }
  }

  /** The block to go on from, once the chain says that it is one of its own. */
  async #resume(signal: AbortSignal): Promise<Mark | undefined> {
    const cursor = this.#store.cursor();
    if (cursor === undefined) return undefined;
    while (!signal.aborted) {
      try {
        const verdict = await judgeCursor(this.#client.connection, cursor);
        if (verdict.kind === 'foreign') {
          this.#say('warn', `what is kept of the chain does not hold, beginning anew: ${verdict.reason}`);
          this.#store.clear();
          return undefined;
        }
        if (verdict.kind === 'ahead') {
          this.#say('warn', `the chain's final block is ${verdict.final}, waiting for block ${cursor.number}`);
        }
        return await this.#goOn(cursor);
      } catch {
        await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
      }
    }
    return undefined;
  }

  async #goOn(cursor: Cursor): Promise<Mark> {
    // No endpoint that is behind this block may say what has ended.
    this.#client.connection.finalSeen(cursor.number);
    this.#marks = cursor.marks;
    this.#kept = cursor.number;
    this.#known = this.#store.contracts();
    const nodeId = await this.#nodeId();
    if (nodeId === cursor.nodeId) this.#complete = true;
    else {
      this.#say('warn', `this is node ${nodeId} now, contracts were told of node ${cursor.nodeId}`);
      this.#known = new Map();
    }
    this.#say('info', `contracts are told from block ${cursor.number + 1} on`);
    return { number: cursor.number, hash: cursor.hash };
  }

  /** 0 for one that is not on the chain any more. */
  async #nodeId(): Promise<number> {
    try {
      return (await this.#membership.find()).nodeId;
    } catch (error) {
      if (isGridError(error, 'chain_registration')) return 0;
      throw error;
    }
  }

  /** What was not compared yet is not done: a cursor stays before it. */
  #keep({ number, hash }: ChainBlock): void {
    const nodeId = this.#membership.known?.nodeId;
    if (!this.#complete || nodeId === undefined) return;
    const { genesis } = this.#client.connection;
    if (genesis === undefined) return;
    const marks = marksAfter(this.#marks, { number, hash });
    this.#store.keepCursor({ genesis, number, hash, marks, nodeId }, this.#known);
    this.#marks = marks;
    this.#kept = number;
  }

  async #happenings(block: ChainBlock): Promise<Happening[]> {
    if (block.gap) this.#complete = false;
    if (block.gap || block.events.some((event) => this.#membership.isTouchedBy(event))) this.#membership.forget();
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
    const now = new Map<bigint, KnownContract>();
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
