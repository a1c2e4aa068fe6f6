/** A chain: contracts and one twin, what was told of them, and a block every few milliseconds. */
import type { ContractFacts } from '../../../modules/api-gateway/interface.ts';
import { chain, type substrateGateway } from '../../../modules/api-gateway/interface.ts';
import type { Service } from '../../../modules/zbus/definition.ts';
import type { Infer } from '../../../modules/zbus/wire.ts';
import { TEST_NODE } from '../../../provision/testing/tenant.ts';
import { deploymentHash } from '../../../schemas/challenge.ts';
import type { Deployment } from '../../../schemas/deployment.ts';
import type { Bus } from './bus.ts';

const BLOCK_MS = 10;
const GRACE_MS = 15;

type Facts = Infer<typeof ContractFacts>;

export class Chain {
  readonly contracts = new Map<bigint, Facts>();
  /** What it was told that contracts use, as text: vCPUs, memory, SSD, HDD. */
  readonly consumption = new Map<bigint, string>();
  readonly #bus: Bus;
  readonly #twin: { readonly id: number; readonly key: Uint8Array };
  readonly #blocks: NodeJS.Timeout;
  /** Of the process that reads the chain. */
  #graceEnd: NodeJS.Timeout | undefined;
  #isOver = false;
  #block = 5;
  generation = 1;
  sequence = 0;

  constructor(bus: Bus, twin: { readonly id: number; readonly key: Uint8Array }) {
    this.#bus = bus;
    this.#twin = twin;
    this.#blocks = setInterval(() => this.#tell('alive', 0n), BLOCK_MS);
  }

  stop(): void {
    clearInterval(this.#blocks);
    clearTimeout(this.#graceEnd);
  }

  /** The tenant's transaction: a contract with the deployment's hash. */
  put(deployment: Deployment): void {
    this.contracts.set(deployment.contract_id, {
      Found: true,
      ContractID: deployment.contract_id,
      TwinID: deployment.twin_id,
      Kind: 'node',
      State: this.#isOver ? 'deleted' : (this.contracts.get(deployment.contract_id)?.State ?? 'created'),
      NodeID: TEST_NODE,
      DeploymentHash: deploymentHash(deployment),
      PublicIPs: 0,
      RentedBy: 0,
      BlockNumber: 5,
      AgeSeconds: 0,
    });
  }

  /** A contract's state changes and the chain tells of it. */
  turn(id: bigint, state: 'created' | 'grace' | 'deleted'): void {
    const facts = this.contracts.get(id);
    if (facts === undefined) throw new Error(`there is no contract ${id}`);
    if (facts.State === 'deleted') return;
    this.contracts.set(id, { ...facts, State: state });
    const told = { created: 'grace_ended', grace: 'grace_started', deleted: 'cancelled' } as const;
    this.#tell(told[state], id);
  }

  /** Whether the tenant has given it up. */
  isCancelled(id: bigint): boolean {
    return this.contracts.get(id)?.State === 'deleted';
  }

  /** Gives up every contract, also those to come. */
  cancelAll(): void {
    this.#isOver = true;
    for (const id of this.contracts.keys()) this.turn(id, 'deleted');
  }

  /** The grace period of every contract that has none, until the next blocks. */
  graceAll(): void {
    const live = [...this.contracts.values()]
      .filter(({ State }) => State === 'created')
      .map(({ ContractID }) => ContractID);
    for (const id of live) this.turn(id, 'grace');
    this.#graceEnd = setTimeout(() => {
      for (const id of live) if (!this.isCancelled(id)) this.turn(id, 'created');
    }, GRACE_MS);
  }

  readonly service = {
    Contract: ({ id }) => this.#facts(id),
    ContractBatch: ({ ids }) => (ids ?? []).map((id) => this.#facts(id)),
    Twin: ({ id }) => ({
      Found: id === this.#twin.id,
      TwinID: id,
      Account: this.#twin.key,
      Relay: '',
      EncryptionKey: null,
      BlockNumber: 1,
      AgeSeconds: 0,
    }),
    Node: () => ({ NodeID: TEST_NODE, TwinID: 1, FarmID: 1, FarmerTwinID: 2, BlockNumber: 1, AgeSeconds: 0 }),
    ActiveContracts: () =>
      [...this.contracts.values()].filter((one) => one.State !== 'deleted').map((one) => one.ContractID),
  } satisfies Partial<Service<typeof chain>>;

  readonly gateway = {
    SetContractConsumption: ({ resources }) => {
      for (const { ContractID, Used } of resources) {
        const { CRU, MRU, SRU, HRU } = Used;
        this.consumption.set(ContractID, [CRU, MRU, SRU, HRU].join(' '));
      }
    },
  } satisfies Partial<Service<typeof substrateGateway>>;

  /** Every question is answered at a newer block. */
  #facts(id: bigint): Facts {
    this.#block += 1;
    return { ...(this.contracts.get(id) ?? NO_CONTRACT), ContractID: id, BlockNumber: this.#block };
  }

  #tell(Kind: string, ContractID: bigint): void {
    this.sequence += 1;
    const numbered = { BlockNumber: 9, Generation: this.generation, Sequence: this.sequence };
    this.#bus.publish(chain, 'Contracts', { Kind, ContractID, TwinID: this.#twin.id, ...numbered });
  }
}

const NO_CONTRACT: Facts = {
  Found: false,
  ContractID: 0n,
  TwinID: 0,
  Kind: '',
  State: '',
  NodeID: 0,
  DeploymentHash: '',
  PublicIPs: 0,
  RentedBy: 0,
  BlockNumber: 5,
  AgeSeconds: 0,
};
