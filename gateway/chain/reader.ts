/** Questions about twins, farms, nodes and contracts. Reads are of the best block unless told. */
import { type ChainConnection, read } from './connection.ts';
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

export class ChainReader {
  readonly connection: ChainConnection;

  constructor(connection: ChainConnection) {
    this.connection = connection;
  }

  async twin(id: number, limits: CallLimits = {}): Promise<Twin | undefined> {
    const [twin] = await this.connection.read([read(TFGRID, 'twins', [id], records.twin.nullable())], limits);
    return twin ?? undefined;
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

  /** Several contracts of one block in one exchange. */
  async contractsAt(ids: readonly bigint[], limits: CallLimits = {}, at?: string): Promise<Array<Contract | null>> {
    if (ids.length === 0) return [];
    const reads = ids.map((id) => read(CONTRACTS, 'contracts', [id], records.contract.nullable()));
    return await this.connection.read(reads, limits, at);
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
