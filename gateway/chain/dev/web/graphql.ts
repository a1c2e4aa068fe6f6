/**
 * The indexer's GraphQL as far as clients use it: lists with `where`, `orderBy`,
 * `limit` and `offset`, and how many there are. Entities are those of the chain's state.
 */
import { buildSchema, type ExecutionResult, execute, GraphQLError, parse, validate } from 'graphql';
import { type Grid, type GridContract, text } from './grid.ts';
import { twinRows } from './records.ts';

type Value = string | number | boolean | null;
type Row = { readonly [field: string]: Value };
type FieldType = 'Int' | 'BigInt' | 'String' | 'Boolean' | 'ContractState';

interface Entity {
  readonly fields: { readonly [field: string]: FieldType };
  rows(grid: Grid): readonly Row[];
}

interface Where {
  readonly [condition: string]: unknown;
}

interface Arguments {
  readonly where?: Where | null;
  readonly orderBy?: readonly string[] | null;
  readonly limit?: number | null;
  readonly offset?: number | null;
}

const MAX_QUERY_TOKENS = 4000;
const MAX_WHERE_DEPTH = 8;

const contractFields = {
  contractID: 'BigInt',
  twinID: 'Int',
  state: 'ContractState',
  createdAt: 'BigInt',
  solutionProviderID: 'Int',
} as const;

const rowOf = ({ contract, createdAt }: GridContract): Row => ({
  id: `contract-${contract.contract_id}`,
  contractID: `${contract.contract_id}`,
  twinID: contract.twin_id,
  state: contract.state.kind,
  createdAt: `${createdAt}`,
  solutionProviderID: contract.solution_provider_id === null ? null : Number(contract.solution_provider_id),
});

const entities: { readonly [list: string]: Entity } = {
  nodes: {
    fields: {
      ...{ nodeID: 'Int', farmID: 'Int', twinID: 'Int', country: 'String', city: 'String', created: 'BigInt' },
      ...{ farmingPolicyId: 'Int', certification: 'String', secure: 'Boolean', virtualized: 'Boolean' },
      ...{ serialNumber: 'String', connectionPrice: 'Int' },
    },
    rows: (grid) =>
      [...grid.nodes.values()].map((node) => ({
        id: `node-${node.id}`,
        nodeID: node.id,
        farmID: node.farm_id,
        twinID: node.twin_id,
        country: text(node.location.country),
        city: text(node.location.city),
        created: `${node.created}`,
        farmingPolicyId: node.farming_policy_id,
        certification: node.certification.kind,
        secure: node.secure_boot,
        virtualized: node.virtualized,
        serialNumber: text(node.serial_number),
        connectionPrice: node.connection_price,
      })),
  },
  farms: {
    fields: {
      ...{ farmID: 'Int', name: 'String', twinID: 'Int', pricingPolicyID: 'Int', certification: 'String' },
      ...{ stellarAddress: 'String', dedicatedFarm: 'Boolean' },
    },
    rows: (grid) =>
      [...grid.farms.values()].map((farm) => ({
        id: `farm-${farm.id}`,
        farmID: farm.id,
        name: text(farm.name),
        twinID: farm.twin_id,
        pricingPolicyID: farm.pricing_policy_id,
        certification: farm.certification.kind,
        stellarAddress: grid.payoutAddresses.get(farm.id) ?? '',
        dedicatedFarm: farm.dedicated_farm,
      })),
  },
  twins: {
    fields: { twinID: 'Int', accountID: 'String', relay: 'String', publicKey: 'String' },
    rows: (grid) =>
      twinRows(grid).map(({ twinId, accountId, relay, publicKey }) => ({
        id: `twin-${twinId}`,
        twinID: twinId,
        accountID: accountId,
        relay,
        publicKey,
      })),
  },
  nodeContracts: {
    fields: {
      ...contractFields,
      ...{ nodeID: 'Int', deploymentData: 'String', deploymentHash: 'String', numberOfPublicIPs: 'Int' },
    },
    rows: (grid) =>
      grid.contracts.flatMap((one) => {
        const type = one.contract.contract_type;
        if (type.kind !== 'NodeContract') return [];
        const [node] = type.value;
        const facts = { deploymentData: text(node.deployment_data), deploymentHash: text(node.deployment_hash) };
        return [{ ...rowOf(one), ...facts, nodeID: node.node_id, numberOfPublicIPs: node.public_ips }];
      }),
  },
  nameContracts: {
    fields: { ...contractFields, name: 'String' },
    rows: (grid) =>
      grid.contracts.flatMap((one) => {
        const type = one.contract.contract_type;
        return type.kind === 'NameContract' ? [{ ...rowOf(one), name: text(type.value[0].name) }] : [];
      }),
  },
  rentContracts: {
    fields: { ...contractFields, nodeID: 'Int' },
    rows: (grid) =>
      grid.contracts.flatMap((one) => {
        const type = one.contract.contract_type;
        return type.kind === 'RentContract' ? [{ ...rowOf(one), nodeID: type.value[0].node_id }] : [];
      }),
  },
  // Bills are events of the chain, which nobody collects here.
  contractBillReports: {
    fields: { contractID: 'BigInt', discountReceived: 'String', amountBilled: 'BigInt', timestamp: 'BigInt' },
    rows: () => [],
  },
};

const CONDITIONS = {
  eq: (value: Value, wanted: unknown) => same(value, wanted),
  not_eq: (value: Value, wanted: unknown) => !same(value, wanted),
  in: (value: Value, wanted: unknown) => (wanted as readonly unknown[]).some((one) => same(value, one)),
  contains: (value: Value, wanted: unknown) => `${value ?? ''}`.includes(`${wanted}`),
} as const;

const same = (value: Value, wanted: unknown): boolean =>
  value === wanted || (value !== null && wanted !== null && `${value}` === `${wanted}`);

const singular = (list: string): string => `${list[0]?.toUpperCase()}${list.slice(1, -1)}`;

function conditionsOf([field, type]: readonly [string, FieldType]): string {
  const text = type === 'String' ? `${field}_contains: String ` : '';
  return `${field}_eq: ${type} ${field}_not_eq: ${type} ${field}_in: [${type}!] ${text}`;
}

function definitionOf([list, { fields }]: readonly [string, Entity]): string {
  const name = singular(list);
  const all = Object.entries({ id: 'String', ...fields } as Entity['fields']);
  return `
    type ${name} { ${all.map(([field, type]) => `${field}: ${type}`).join(' ')} }
    type ${name}sConnection { totalCount: Int! }
    input ${name}WhereInput {
      ${all.map(conditionsOf).join(' ')} AND: [${name}WhereInput!] OR: [${name}WhereInput!]
    }
    enum ${name}OrderByInput { ${all.map(([field]) => `${field}_ASC ${field}_DESC`).join(' ')} }`;
}

function queriesOf(list: string): string {
  const name = singular(list);
  const order = `orderBy: [${name}OrderByInput!]`;
  return `${list}(where: ${name}WhereInput, ${order}, limit: Int, offset: Int): [${name}!]!
    ${list}Connection(where: ${name}WhereInput, ${order}): ${name}sConnection!`;
}

const schema = buildSchema(`
  scalar BigInt
  enum ContractState { Created GracePeriod Deleted OutOfFunds }
  ${Object.entries(entities).map(definitionOf).join('\n')}
  type Query { ${Object.keys(entities).map(queriesOf).join('\n')} }
`);

function passes(row: Row, where: Where, depth = 0): boolean {
  if (depth > MAX_WHERE_DEPTH) throw new GraphQLError(`where is nested deeper than ${MAX_WHERE_DEPTH}`);
  return Object.entries(where).every(([condition, wanted]) => {
    if (wanted === null || wanted === undefined) return true;
    if (condition === 'AND') return (wanted as readonly Where[]).every((one) => passes(row, one, depth + 1));
    if (condition === 'OR') return (wanted as readonly Where[]).some((one) => passes(row, one, depth + 1));
    const [, field = '', kind = ''] = /^(.+?)_(eq|not_eq|in|contains)$/.exec(condition) ?? [];
    return CONDITIONS[kind as keyof typeof CONDITIONS](row[field] ?? null, wanted);
  });
}

function ordered(rows: readonly Row[], orderBy: readonly string[]): Row[] {
  return [...rows].sort((a, b) => {
    for (const order of orderBy) {
      const [, field = '', direction] = /^(.+)_(ASC|DESC)$/.exec(order) ?? [];
      const [one, other] = [a[field] ?? '', b[field] ?? ''];
      const numbers = Number(one) - Number(other);
      const difference = Number.isNaN(numbers) ? `${one}`.localeCompare(`${other}`) : numbers;
      if (difference !== 0) return direction === 'DESC' ? -difference : difference;
    }
    return 0;
  });
}

function resolvers(grid: Grid): { [query: string]: (options: Arguments) => unknown } {
  const found: { [query: string]: (options: Arguments) => unknown } = {};
  for (const [list, entity] of Object.entries(entities)) {
    const chosen = ({ where }: Arguments): readonly Row[] =>
      entity.rows(grid).filter((row) => passes(row, where ?? {}));
    found[list] = (options) => {
      const rows = ordered(chosen(options), options.orderBy ?? []).slice(Math.max(0, options.offset ?? 0));
      const { limit } = options;
      return limit === null || limit === undefined ? rows : rows.slice(0, Math.max(0, limit));
    };
    found[`${list}Connection`] = (options) => ({ totalCount: chosen(options).length });
  }
  return found;
}

/** Runs a query; what it cannot mean is in `errors`, as GraphQL has it. */
export async function runQuery(grid: Grid, query: string, variables: Row): Promise<ExecutionResult> {
  try {
    const document = parse(query, { maxTokens: MAX_QUERY_TOKENS });
    const errors = validate(schema, document);
    if (errors.length > 0) return { errors };
    return await execute({ schema, document, rootValue: resolvers(grid), variableValues: variables });
  } catch (error) {
    if (error instanceof GraphQLError) return { errors: [error] };
    throw error;
  }
}
