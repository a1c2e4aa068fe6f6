/** Farms, addresses, twins, contracts and counts as the grid proxy tells of them, all from the chain. */
import { addressFromAccount } from '../../ss58.ts';
import { type Grid, type GridContract, text } from './grid.ts';
import { among, atLeast, contains, equals, hasAll, holds, is, type Listing, named, oneOf } from './listing.ts';
import type { NodeRow } from './nodes.ts';

/** A farm and its nodes, which queries for farms may ask about. */
export interface FarmRow {
  readonly json: ReturnType<typeof farmJson>;
  readonly nodes: readonly NodeRow[];
}

function farmJson(grid: Grid, id: number) {
  const farm = grid.farms.get(id);
  if (farm === undefined) throw new RangeError(`no farm ${id}`);
  return {
    name: text(farm.name),
    farmId: id,
    twinId: farm.twin_id,
    pricingPolicyId: farm.pricing_policy_id,
    certificationType: farm.certification.kind,
    stellarAddress: grid.payoutAddresses.get(id) ?? '',
    dedicated: farm.dedicated_farm,
    publicIps: farm.public_ips.map(({ ip, gateway, contract_id }) => ({
      id: `${id}-${text(ip)}`,
      ip: text(ip),
      farm_id: id,
      contract_id: Number(contract_id),
      gateway: text(gateway),
    })),
  };
}

export function farmRows(grid: Grid, nodes: readonly NodeRow[]): FarmRow[] {
  return [...grid.farms.keys()].map((id) => ({
    json: farmJson(grid, id),
    nodes: nodes.filter(({ json }) => json.farmId === id),
  }));
}

const freeOf = ({ json }: FarmRow): number => json.publicIps.filter((ip) => ip.contract_id === 0).length;

/** A filter that some node of the farm has to pass. */
const someNode =
  (passes: (row: NodeRow, value: string) => boolean) =>
  ({ nodes }: FarmRow, value: string): boolean =>
    nodes.some((node) => passes(node, value));

export const farmListing: Listing<FarmRow> = {
  filters: {
    free_ips: atLeast(freeOf),
    total_ips: atLeast(({ json }) => json.publicIps.length),
    stellar_address: named(({ json }) => json.stellarAddress),
    pricing_policy_id: equals(({ json }) => json.pricingPolicyId),
    farm_id: equals(({ json }) => json.farmId),
    twin_id: equals(({ json }) => json.twinId),
    name: named(({ json }) => json.name),
    farm_name: named(({ json }) => json.name),
    name_contains: contains(({ json }) => json.name),
    certification_type: named(({ json }) => json.certificationType),
    dedicated: is(({ json }) => json.dedicated),
    country: someNode(named(({ json }) => json.country)),
    region: someNode(named(({ json }) => json.region)),
    node_free_mru: someNode(atLeast(({ total, used }) => total.mru - used.mru)),
    node_free_sru: someNode(atLeast(({ total, used }) => total.sru - used.sru)),
    node_free_hru: someNode(atLeast(({ total, used }) => total.hru - used.hru)),
    node_total_cru: someNode(atLeast(({ total }) => total.cru)),
    node_status: someNode(oneOf(({ json }) => json.status)),
    node_rented_by: someNode(equals(({ json }) => json.rentedByTwinId)),
    node_available_for: someNode(
      holds(({ json }, twin) => json.rentedByTwinId === twin || (!json.rented && !json.inDedicatedFarm)),
    ),
    node_has_gpu: someNode(is(({ json }) => json.num_gpu > 0)),
    node_has_ipv6: someNode(is(({ answers }) => answers?.facts.hasIpv6 ?? false)),
    node_certified: someNode(is(({ json }) => json.certificationType === 'Certified')),
    node_features: someNode(hasAll(({ json }) => json.features)),
  },
  orders: {
    name: ({ json }) => json.name,
    farm_id: ({ json }) => json.farmId,
    twin_id: ({ json }) => json.twinId,
    dedicated: ({ json }) => json.dedicated,
    free_ips: freeOf,
    total_ips: ({ json }) => json.publicIps.length,
    public_ips: ({ json }) => json.publicIps.length,
    used_ips: (row) => row.json.publicIps.length - freeOf(row),
  },
};

type AddressRow = ReturnType<typeof addressRows>[number];

export function addressRows(grid: Grid) {
  return [...grid.farms.keys()].flatMap((id) => farmJson(grid, id).publicIps);
}

export const addressListing: Listing<AddressRow> = {
  filters: {
    farm_ids: among(({ farm_id }) => farm_id),
    free: is(({ contract_id }) => contract_id === 0),
    ip: named(({ ip }) => ip),
    gateway: named(({ gateway }) => gateway),
  },
  orders: { ip: ({ ip }) => ip, farm_id: ({ farm_id }) => farm_id, contract_id: ({ contract_id }) => contract_id },
};

export interface TwinRow {
  readonly twinId: number;
  readonly accountId: string;
  readonly relay: string;
  readonly publicKey: string;
}

export function twinRows(grid: Grid): TwinRow[] {
  return [...grid.twins.values()].map(({ id, account_id, relay, pk }) => ({
    twinId: id,
    accountId: addressFromAccount(account_id),
    relay: text(relay),
    publicKey: pk === null ? '' : `0x${Buffer.from(pk).toString('hex')}`,
  }));
}

export const twinListing: Listing<TwinRow> = {
  filters: {
    twin_id: equals(({ twinId }) => twinId),
    account_id: oneOf(({ accountId }) => accountId),
    relay: named(({ relay }) => relay),
    public_key: named(({ publicKey }) => publicKey),
  },
  orders: {
    twin_id: ({ twinId }) => twinId,
    account_id: ({ accountId }) => accountId,
    relay: ({ relay }) => relay,
    public_key: ({ publicKey }) => publicKey,
  },
};

export interface ContractRow {
  readonly contract_id: number;
  readonly twin_id: number;
  readonly state: string;
  readonly created_at: number;
  readonly type: 'node' | 'name' | 'rent';
  readonly details: {
    readonly nodeId?: number;
    readonly deployment_data?: string;
    readonly deployment_hash?: string;
    readonly number_of_public_ips?: number;
    readonly name?: string;
    readonly farm_name?: string;
    readonly farm_id?: number;
  };
}

const TYPES = { NodeContract: 'node', NameContract: 'name', RentContract: 'rent' } as const;

function detailsOf(grid: Grid, type: GridContract['contract']['contract_type']): ContractRow['details'] {
  if (type.kind === 'NameContract') return { name: text(type.value[0].name) };
  const { node_id } = type.value[0];
  const farmId = grid.nodes.get(node_id)?.farm_id ?? 0;
  const place = { nodeId: node_id, farm_name: text(grid.farms.get(farmId)?.name ?? null), farm_id: farmId };
  if (type.kind === 'RentContract') return place;
  const { deployment_data, deployment_hash, public_ips } = type.value[0];
  return {
    ...place,
    deployment_data: text(deployment_data),
    deployment_hash: text(deployment_hash),
    number_of_public_ips: public_ips,
  };
}

/** The chain forgets a contract when it ends, so those that are over are not told of. */
export function contractRows(grid: Grid): ContractRow[] {
  return grid.contracts.map(({ contract, createdAt }) => ({
    contract_id: Number(contract.contract_id),
    twin_id: contract.twin_id,
    state: contract.state.kind,
    created_at: createdAt,
    type: TYPES[contract.contract_type.kind],
    details: detailsOf(grid, contract.contract_type),
  }));
}

export const contractListing: Listing<ContractRow> = {
  filters: {
    contract_id: equals(({ contract_id }) => contract_id),
    twin_id: equals(({ twin_id }) => twin_id),
    node_id: equals(({ details }) => details.nodeId ?? 0),
    type: oneOf(({ type }) => type),
    state: oneOf(({ state }) => state),
    name: named(({ details }) => details.name ?? ''),
    number_of_public_ips: atLeast(({ details }) => details.number_of_public_ips ?? 0),
    deployment_data: named(({ details }) => details.deployment_data ?? ''),
    deployment_hash: named(({ details }) => details.deployment_hash ?? ''),
    farm_name: named(({ details }) => details.farm_name ?? ''),
    farm_id: equals(({ details }) => details.farm_id ?? 0),
  },
  orders: {
    contract_id: ({ contract_id }) => contract_id,
    twin_id: ({ twin_id }) => twin_id,
    state: ({ state }) => state,
    created_at: ({ created_at }) => created_at,
    type: ({ type }) => type,
  },
};

/** Counts over the grid; of nodes only those whose status is asked for. */
export function stats(grid: Grid, all: readonly NodeRow[], statuses: readonly string[]): object {
  const nodes = statuses.length === 0 ? all : all.filter(({ json }) => statuses.includes(json.status));
  const sum = (of: (row: NodeRow) => number): number => nodes.reduce((total, row) => total + of(row), 0);
  const countries = Map.groupBy(nodes, ({ json }) => json.country);
  return {
    nodes: nodes.length,
    farms: grid.farms.size,
    countries: countries.size,
    totalCru: sum(({ total }) => total.cru),
    totalSru: sum(({ total }) => total.sru),
    totalMru: sum(({ total }) => total.mru),
    totalHru: sum(({ total }) => total.hru),
    publicIps: addressRows(grid).length,
    accessNodes: sum(({ json }) => (json.publicConfig.ipv4 === '' && json.publicConfig.ipv6 === '' ? 0 : 1)),
    gateways: sum(({ json }) => (json.publicConfig.domain === '' ? 0 : 1)),
    twins: grid.twins.size,
    contracts: grid.contracts.length,
    nodesDistribution: Object.fromEntries([...countries].map(([country, rows]) => [country, rows.length])),
    gpus: sum(({ json }) => json.num_gpu),
    dedicatedNodes: sum(({ json }) => (json.dedicated ? 1 : 0)),
    workloads_number: sum(({ answers }) => answers?.statistics.users.workloads ?? 0),
  };
}
