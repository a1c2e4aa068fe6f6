/** Nodes as the grid proxy tells of them: what the chain has, what it follows from, what the node itself says. */

import type { NodeValue } from '../description/grid-types.ts';
import type { Grid } from './grid.ts';
import { text } from './grid.ts';
import {
  among,
  atLeast,
  contains,
  costsAtLeast,
  costsAtMost,
  equals,
  type Filter,
  hasAll,
  holds,
  is,
  type Listing,
  named,
  oneOf,
  without,
} from './listing.ts';
import type { NodeAnswers, NodeFacts, NodeQuestions } from './node-answers.ts';

const GRID_VERSION = 3;
const GiB = 1024 ** 3;
const TEN_MILLION = 10_000_000;

interface Capacity {
  readonly cru: number;
  readonly sru: number;
  readonly hru: number;
  readonly mru: number;
}

/** One row; the single node's page has the same facts with its capacity one level deeper. */
export type NodeRow = Awaited<ReturnType<typeof nodeRow>>;

const numbers = ({ cru, sru, hru, mru }: NodeValue['resources']): Capacity => ({
  cru: Number(cru),
  sru: Number(sru),
  hru: Number(hru),
  mru: Number(mru),
});

/** Contracts that stand on a node. */
function contractsOn(grid: Grid, nodeId: number): Grid['contracts'] {
  return grid.contracts.filter(
    ({ contract: { contract_type: type } }) => type.kind === 'NodeContract' && type.value[0].node_id === nodeId,
  );
}

/** What is taken where the node does not say: reported use of its contracts, and what the grid counts for the node itself. */
function reportedUse(grid: Grid, node: NodeValue): Capacity {
  const used = { cru: 0, sru: 20 * GiB, hru: 0, mru: Math.max(Math.floor(Number(node.resources.mru) / 10), 2 * GiB) };
  for (const one of contractsOn(grid, node.id)) {
    const of = numbers(one.used);
    for (const name of ['cru', 'sru', 'hru', 'mru'] as const) used[name] += of[name];
  }
  return used;
}

/** USD a month for the whole node, as the grid proxy reckons from the pricing policy of its farm. */
function price(grid: Grid, node: NodeValue, extraFee: number): number {
  const policy = grid.policies.get(grid.farms.get(node.farm_id)?.pricing_policy_id || 1);
  if (policy === undefined) return 0;
  const { cru, sru, hru, mru } = numbers(node.resources);
  const gib = mru / GiB;
  const computeUnits = Math.min(Math.max(gib / 4, cru / 2), Math.max(gib / 8, cru), Math.max(gib / 2, cru / 4));
  const storageUnits = hru / GiB / 1200 + sru / GiB / 200;
  const anHour = computeUnits * policy.cu.value + storageUnits * policy.su.value + extraFee;
  const certified = node.certification.kind === 'Certified' ? 1.25 : 1;
  return Math.round(((anHour * certified * 24 * 30) / TEN_MILLION) * 1000) / 1000;
}

/** Standby is a farmer's choice on the chain; up is who answers. */
function statusOf({ state, target }: { readonly state: string; readonly target: string }, answers: boolean): string {
  if (state === 'Down' || target === 'Down') return 'standby';
  return answers ? 'up' : 'down';
}

const coordinate = (bytes: Uint8Array): number | null => {
  const number = Number.parseFloat(text(bytes));
  return Number.isFinite(number) ? number : null;
};

/** Properties of the first subsection that each section of a type has. */
function sections(dmi: NodeFacts['dmi'], type: string): ((name: string) => string)[] {
  const found = dmi?.sections.filter((section) => section.typestr === type) ?? [];
  return found.map(
    ({ subsections }) =>
      (name) =>
        subsections?.[0]?.properties?.[name]?.value ?? '',
  );
}

function dmiOf(dmi: NodeFacts['dmi']): object {
  const [bios] = sections(dmi, 'BIOS');
  const [board] = sections(dmi, 'Baseboard');
  return {
    bios: { vendor: bios?.('Vendor') ?? '', version: bios?.('Version') ?? '' },
    baseboard: { manufacturer: board?.('Manufacturer') ?? '', product_name: board?.('Product Name') ?? '' },
    processor: sections(dmi, 'Processor').map((of) => ({ version: of('Version'), thread_count: of('Thread Count') })),
    memory: sections(dmi, 'MemoryDevice').map((of) => ({ manufacturer: of('Manufacturer'), type: of('Type') })),
  };
}

const publicConfigOf = ({ public_config: config }: NodeValue): Record<string, string> => ({
  domain: text(config?.domain ?? null),
  gw4: text(config?.ip4.gw ?? null),
  gw6: text(config?.ip6?.gw ?? null),
  ipv4: text(config?.ip4.ip ?? null),
  ipv6: text(config?.ip6?.ip ?? null),
});

async function nodeRow(grid: Grid, node: NodeValue, questions: NodeQuestions) {
  const answers: NodeAnswers | undefined = await questions.of(node);
  const farm = grid.farms.get(node.farm_id);
  const chosen = grid.power.get(node.id);
  const power = { state: chosen?.state.kind ?? 'Up', target: chosen?.target.kind ?? 'Up' };
  const extraFee = Number(grid.extraFees.get(node.id) ?? 0n);
  const rent = grid.rents.get(node.id);
  const hasContracts = contractsOn(grid, node.id).length > 0;
  const inDedicatedFarm = farm?.dedicated_farm ?? false;
  const facts = answers?.facts;
  const stated = answers?.statistics.used;
  const used: Capacity =
    stated === undefined
      ? reportedUse(grid, node)
      : { cru: stated.cru, sru: stated.sru, hru: stated.hru, mru: stated.mru };
  return {
    answers,
    ownerTwin: farm?.twin_id ?? 0,
    total: numbers(node.resources),
    used,
    json: {
      id: `node-${node.id}`,
      nodeId: node.id,
      farmId: node.farm_id,
      farmName: text(farm?.name ?? null),
      twinId: node.twin_id,
      country: text(node.location.country),
      // Regions come from a list of countries that this chain does not have.
      region: '',
      gridVersion: GRID_VERSION,
      city: text(node.location.city),
      // Uptime is reported in events alone, which nobody collects here.
      uptime: 0,
      created: Number(node.created),
      farmingPolicyId: node.farming_policy_id,
      updatedAt: answers?.at ?? Number(node.created),
      location: {
        country: text(node.location.country),
        city: text(node.location.city),
        longitude: coordinate(node.location.longitude),
        latitude: coordinate(node.location.latitude),
      },
      publicConfig: publicConfigOf(node),
      status: statusOf(power, answers !== undefined),
      certificationType: node.certification.kind,
      dedicated: inDedicatedFarm || !hasContracts || rent !== undefined || extraFee > 0,
      inDedicatedFarm,
      rentContractId: Number(rent?.contract_id ?? 0n),
      rented: rent !== undefined,
      rentable: (inDedicatedFarm || !hasContracts) && rent === undefined,
      rentedByTwinId: rent?.twin_id ?? 0,
      serialNumber: text(node.serial_number),
      power,
      num_gpu: facts?.gpus.length ?? 0,
      extraFee,
      healthy: facts?.healthy ?? false,
      dmi: dmiOf(facts?.dmi),
      // Measured between nodes of a grid; a node alone has nobody to measure with.
      speed: { upload: 0, download: 0 },
      cpu_benchmark: facts?.benchmark ?? { single: 0, multi: 0, threads: 0, workloads: 0 },
      gpus: (facts?.gpus ?? []).map((gpu) => ({ node_twin_id: node.twin_id, ...gpu, updated_at: answers?.at ?? 0 })),
      price_usd: price(grid, node, extraFee),
      farm_free_ips: farm?.public_ips.filter((ip) => ip.contract_id === 0n).length ?? 0,
      features: facts?.features ?? [],
    },
  };
}

/** All nodes, each asked at once. */
export function nodeRows(grid: Grid, questions: NodeQuestions): Promise<NodeRow[]> {
  return Promise.all([...grid.nodes.values()].map((node) => nodeRow(grid, node, questions)));
}

export async function oneNode(grid: Grid, id: number, questions: NodeQuestions): Promise<NodeRow | undefined> {
  const node = grid.nodes.get(id);
  return node === undefined ? undefined : nodeRow(grid, node, questions);
}

/** A row of the list. */
export const listed = ({ json, total, used }: NodeRow): object => ({
  ...json,
  total_resources: total,
  used_resources: used,
});

/** The page of one node. */
export const nested = ({ json, total, used }: NodeRow): object => ({
  ...json,
  capacity: { total_resources: total, used_resources: used },
});

const free = (row: NodeRow, of: keyof Capacity): number => row.total[of] - row.used[of];
const availableFor = ({ json }: NodeRow, twin: number): boolean =>
  json.rentedByTwinId === twin || (!json.rented && !json.inDedicatedFarm && json.extraFee === 0);

/** A GPU of the node has these letters in what is looked at. Its id is slot, vendor and device, with slashes between. */
const someGpu = (of: (gpu: NodeRow['json']['gpus'][number]) => string): Filter<NodeRow> => {
  const has = contains(of);
  return ({ json }, value) => json.gpus.some((gpu) => has(gpu, value));
};

export const nodeListing: Listing<NodeRow> = {
  filters: {
    status: oneOf(({ json }) => json.status),
    free_mru: atLeast((row) => free(row, 'mru')),
    free_sru: atLeast((row) => free(row, 'sru')),
    free_hru: atLeast((row) => free(row, 'hru')),
    total_mru: atLeast(({ total }) => total.mru),
    total_sru: atLeast(({ total }) => total.sru),
    total_hru: atLeast(({ total }) => total.hru),
    total_cru: atLeast(({ total }) => total.cru),
    country: named(({ json }) => json.country),
    country_contains: contains(({ json }) => json.country),
    city: named(({ json }) => json.city),
    city_contains: contains(({ json }) => json.city),
    region: named(({ json }) => json.region),
    farm_name: named(({ json }) => json.farmName),
    farm_name_contains: contains(({ json }) => json.farmName),
    farm_id: equals(({ json }) => json.farmId),
    farm_ids: among(({ json }) => json.farmId),
    free_ips: atLeast(({ json }) => json.farm_free_ips),
    ipv4: is(({ json }) => json.publicConfig.ipv4 !== ''),
    ipv6: is(({ json }) => json.publicConfig.ipv6 !== ''),
    has_ipv6: is(({ answers }) => answers?.facts.hasIpv6 ?? false),
    domain: is(({ json }) => json.publicConfig.domain !== ''),
    dedicated: is(({ json }) => json.dedicated),
    in_dedicated_farm: is(({ json }) => json.inDedicatedFarm),
    rentable: is(({ json }) => json.rentable),
    rented: is(({ json }) => json.rented),
    rented_by: equals(({ json }) => json.rentedByTwinId),
    rentable_or_rented_by: holds(({ json }, twin) => json.rentable || json.rentedByTwinId === twin),
    available_for: holds(availableFor),
    owned_by: equals(({ ownerTwin }) => ownerTwin),
    node_id: equals(({ json }) => json.nodeId),
    node_ids: among(({ json }) => json.nodeId),
    excluded: without(({ json }) => json.nodeId),
    twin_id: equals(({ json }) => json.twinId),
    certification_type: named(({ json }) => json.certificationType),
    has_gpu: is(({ json }) => json.num_gpu > 0),
    num_gpu: atLeast(({ json }) => json.num_gpu),
    gpu_device_id: someGpu(({ id }) => id.split('/')[2] ?? ''),
    gpu_device_name: someGpu(({ device }) => device),
    gpu_vendor_id: someGpu(({ id }) => id.split('/')[1] ?? ''),
    gpu_vendor_name: someGpu(({ vendor }) => vendor),
    gpu_available: is(({ json }) => json.gpus.some(({ contract }) => contract === 0)),
    price_min: costsAtLeast(({ json }) => json.price_usd),
    price_max: costsAtMost(({ json }) => json.price_usd),
    healthy: is(({ json }) => json.healthy),
    features: hasAll(({ json }) => json.features),
  },
  orders: {
    node_id: ({ json }) => json.nodeId,
    farm_id: ({ json }) => json.farmId,
    twin_id: ({ json }) => json.twinId,
    rent_contract_id: ({ json }) => json.rentContractId,
    dedicated_farm: ({ json }) => json.inDedicatedFarm,
    country: ({ json }) => json.country,
    city: ({ json }) => json.city,
    uptime: ({ json }) => json.uptime,
    created: ({ json }) => json.created,
    updated_at: ({ json }) => json.updatedAt,
    status: ({ json }) => ['up', 'standby', 'down'].indexOf(json.status),
    rented: ({ json }) => json.rented,
    rentable: ({ json }) => json.rentable,
    num_gpu: ({ json }) => json.num_gpu,
    extra_fee: ({ json }) => json.extraFee,
    price_usd: ({ json }) => json.price_usd,
    total_cru: ({ total }) => total.cru,
    total_mru: ({ total }) => total.mru,
    total_sru: ({ total }) => total.sru,
    total_hru: ({ total }) => total.hru,
    used_cru: ({ used }) => used.cru,
    used_mru: ({ used }) => used.mru,
    used_sru: ({ used }) => used.sru,
    used_hru: ({ used }) => used.hru,
    free_cru: (row) => free(row, 'cru'),
    free_mru: (row) => free(row, 'mru'),
    free_sru: (row) => free(row, 'sru'),
    free_hru: (row) => free(row, 'hru'),
  },
};
