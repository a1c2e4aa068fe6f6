/** Questions about twins, farms, nodes and contracts. Reads are of the best block unless told. */
import { type BlockReads, type ChainConnection, type Read, read } from './connection.ts';
import type { CallLimits } from './failures.ts';
import { type Account, type Contract, type Farm, type Node, type NodePower, records, type Twin } from './records.ts';

const TFGRID = 'tfgridModule';
const CONTRACTS = 'smartContractModule';

/** A contract with what else must be known to judge it, all of one block. */
export interface ContractAt {
  readonly contract: Contract | null;
  /** Twin that rents the contract's node, 0 when nobody does. */
  readonly rentedBy: number;
  readonly block: number;
}

/** Something that the chain may hold, as of a block. */
export interface At<T> {
  readonly value: T | undefined;
  readonly block: number;
}

export class ChainReader<C extends BlockReads = ChainConnection> {
  readonly connection: C;

  constructor(connection: C) {
    this.connection = connection;
  }

  async twin(id: number, limits: CallLimits = {}): Promise<Twin | undefined> {
    const [twin] = await this.connection.read([read(TFGRID, 'twins', [id], records.twin.nullable())], limits);
    return twin ?? undefined;
  }

  /** A twin and the block it was read at. */
  async twinAt(id: number, limits: CallLimits = {}): Promise<At<Twin>> {
    return await this.#at(read(TFGRID, 'twins', [id], records.twin.nullable()), limits);
  }

  /** A farm and the block it was read at. */
  async farmAt(id: number, limits: CallLimits = {}): Promise<At<Farm>> {
    return await this.#at(read(TFGRID, 'farms', [id], records.farm.nullable()), limits);
  }

  /** A node and the block it was read at. */
  async nodeAt(id: number, limits: CallLimits = {}): Promise<At<Node>> {
    return await this.#at(read(TFGRID, 'nodes', [id], records.node.nullable()), limits);
  }

  async #at<T>(one: Read<T | null>, limits: CallLimits): Promise<At<T>> {
    const [value, block] = await this.connection.read([one, read('system', 'number', [], records.id)], limits);
    return { value: value ?? undefined, block };
  }

  /** The id of an account's twin. */
  async twinIdOf(account: Uint8Array, limits: CallLimits = {}): Promise<number | undefined> {
    const [id] = await this.connection.read(
      [read(TFGRID, 'twinIdByAccountID', [account], records.id.nullable())],
      limits,
    );
    return id === null || id === 0 ? undefined : id;
  }

  async twinByAccount(account: Uint8Array, limits: CallLimits = {}): Promise<Twin | undefined> {
    const id = await this.twinIdOf(account, limits);
    return id === undefined ? undefined : this.twin(id, limits);
  }

  async farm(id: number, limits: CallLimits = {}): Promise<Farm | undefined> {
    const [farm] = await this.connection.read([read(TFGRID, 'farms', [id], records.farm.nullable())], limits);
    return farm ?? undefined;
  }

  async farmIdByName(name: string, limits: CallLimits = {}): Promise<number | undefined> {
    const [id] = await this.connection.read([read(TFGRID, 'farmIdByName', [name], records.id)], limits);
    return id === 0 ? undefined : id;
  }

  async node(id: number, limits: CallLimits = {}): Promise<Node | undefined> {
    const [node] = await this.connection.read([read(TFGRID, 'nodes', [id], records.node.nullable())], limits);
    return node ?? undefined;
  }

  async nodeIdOf(twin: number, limits: CallLimits = {}): Promise<number | undefined> {
    const [id] = await this.connection.read([read(TFGRID, 'nodeIdByTwinID', [twin], records.id)], limits);
    return id === 0 ? undefined : id;
  }

  async nodesOf(farm: number, limits: CallLimits = {}): Promise<number[]> {
    const [nodes] = await this.connection.read([read(TFGRID, 'nodesByFarmID', [farm], records.id.array())], limits);
    return nodes;
  }

  async power(node: number, limits: CallLimits = {}): Promise<NodePower> {
    const [power] = await this.connection.read([read(TFGRID, 'nodePower', [node], records.nodePower)], limits);
    return power;
  }

  async contract(id: bigint, limits: CallLimits = {}): Promise<Contract | undefined> {
    return (await this.contractAt(id, limits)).contract ?? undefined;
  }

  /** A contract and who rents its node, read at one block. */
  async contractAt(id: bigint, limits: CallLimits = {}, at?: string): Promise<ContractAt> {
    const hash = at ?? (await this.connection.blockHash('best', limits));
    const [contract, block] = await this.connection.read(
      [read(CONTRACTS, 'contracts', [id], records.contract.nullable()), read('system', 'number', [], records.id)],
      limits,
      hash,
    );
    const type = contract?.contractType;
    if (type === undefined || type.kind === 'name') return { contract, rentedBy: 0, block };
    const [rentId] = await this.connection.read(
      [read(CONTRACTS, 'activeRentContractForNode', [type.nodeId], records.integer.nullable())],
      limits,
      hash,
    );
    if (rentId === null) return { contract, rentedBy: 0, block };
    const [rent] = await this.connection.read(
      [read(CONTRACTS, 'contracts', [rentId], records.contract.nullable())],
      limits,
      hash,
    );
    return { contract, rentedBy: rent?.twinId ?? 0, block };
  }

  /**
   * Many contracts and who rents their nodes, as of the newest final block: three exchanges at most, however
   * many they are. @throws GridError `chain_behind` from an endpoint that lags
   */
  async finalContracts(ids: readonly bigint[], limits: CallLimits = {}): Promise<ContractAt[]> {
    const hash = await this.connection.blockHash('final', limits);
    const asked = ids.map((id) => read(CONTRACTS, 'contracts', [id], records.contract.nullable()));
    const [block, ...contracts] = (await this.connection.read(
      [read('system', 'number', [], records.id), ...asked],
      limits,
      hash,
    )) as [number, ...Array<Contract | null>];
    this.connection.requireFinal(block);
    const nodes = [...new Set(contracts.flatMap((contract) => nodeOf(contract) ?? []))];
    const tenants = await this.#tenantsOf(nodes, limits, hash);
    return contracts.map((contract) => ({ contract, rentedBy: tenants.get(nodeOf(contract) ?? 0) ?? 0, block }));
  }

  /** Twins that rent nodes, by node. */
  async #tenantsOf(nodes: readonly number[], limits: CallLimits, at: string): Promise<Map<number, number>> {
    if (nodes.length === 0) return new Map();
    const rents = await this.connection.read(
      nodes.map((node) => read(CONTRACTS, 'activeRentContractForNode', [node], records.integer.nullable())),
      limits,
      at,
    );
    const contracts = await this.contractsAt(
      rents.filter((id) => id !== null),
      limits,
      at,
    );
    const tenants = new Map<number, number>();
    for (const contract of contracts) {
      const node = nodeOf(contract);
      if (contract !== null && node !== undefined) tenants.set(node, contract.twinId);
    }
    return tenants;
  }

  /** Several contracts of one block in one exchange. */
  async contractsAt(ids: readonly bigint[], limits: CallLimits = {}, at?: string): Promise<Array<Contract | null>> {
    if (ids.length === 0) return [];
    const reads = ids.map((id) => read(CONTRACTS, 'contracts', [id], records.contract.nullable()));
    return await this.connection.read(reads, limits, at);
  }

  /** The highest id that a contract ever had. */
  async newestContract(limits: CallLimits = {}, at?: string): Promise<bigint> {
    const [id] = await this.connection.read([read(CONTRACTS, 'contractID', [], records.integer)], limits, at);
    return id;
  }

  async activeContracts(node: number, limits: CallLimits = {}, at?: string): Promise<bigint[]> {
    const [ids] = await this.connection.read(
      [read(CONTRACTS, 'activeNodeContracts', [node], records.integer.array())],
      limits,
      at,
    );
    return ids;
  }

  async rentContract(node: number, limits: CallLimits = {}): Promise<bigint | undefined> {
    const [id] = await this.connection.read(
      [read(CONTRACTS, 'activeRentContractForNode', [node], records.integer.nullable())],
      limits,
    );
    return id ?? undefined;
  }

  async contractByName(name: string, limits: CallLimits = {}): Promise<bigint | undefined> {
    const [id] = await this.connection.read(
      [read(CONTRACTS, 'contractIDByNameRegistration', [name], records.integer)],
      limits,
    );
    return id === 0n ? undefined : id;
  }

  /** Balance in uTFT and nonce; an account that was never used reads as zeros. */
  async account(key: Uint8Array, limits: CallLimits = {}): Promise<Account> {
    const [account] = await this.connection.read([read('system', 'account', [key], records.accountInfo)], limits);
    return account;
  }

  async hasAcceptedTerms(key: Uint8Array, limits: CallLimits = {}): Promise<boolean> {
    const terms = read(TFGRID, 'usersTermsAndConditions', [key], records.anything);
    const [accepted] = await this.connection.read([terms], limits);
    return Array.isArray(accepted) && accepted.length > 0;
  }

  /** The chain's clock, milliseconds since 1970. */
  async time(limits: CallLimits = {}): Promise<number> {
    const [now] = await this.connection.read([read('timestamp', 'now', [], records.integer)], limits);
    return Number(now);
  }

  async zosVersion(limits: CallLimits = {}): Promise<string> {
    const [version] = await this.connection.read([read(TFGRID, 'zosVersion', [], records.text)], limits);
    return version;
  }
}

/** The node of a node or rent contract. */
function nodeOf(contract: Contract | null): number | undefined {
  const type = contract?.contractType;
  return type === undefined || type.kind === 'name' ? undefined : type.nodeId;
}
