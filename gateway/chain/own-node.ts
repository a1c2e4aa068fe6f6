/** The node of the identity's twin: made where there is none, brought up to date where its record differs. */
import { isDeepStrictEqual } from 'node:util';
import { GridError } from '../../schemas/errors/index.ts';
import { fundsOf } from './account.ts';
import type { ChainClient, Node, NodeInput } from './client.ts';
import type { CallLimits } from './failures.ts';

export interface EnsuredNode {
  readonly nodeId: number;
  readonly done: 'nothing' | 'created' | 'updated';
  /** Names of what differed. */
  readonly differences: readonly string[];
}

/**
 * One transaction at most, none where nothing differs. What a wish leaves out stays as the chain has it.
 * @throws GridError `chain_registration` without a twin, `chain_not_found` for a farm that does not exist,
 *   `chain_account` for an empty account
 */
export async function ensureOwnNode(
  client: ChainClient,
  wishes: NodeInput,
  limits: CallLimits = {},
): Promise<EnsuredNode> {
  const { farmId } = wishes;
  const twinId = await client.twinIdOf(client.publicKey, limits);
  if (twinId === undefined) throw new GridError('chain_registration', { missing: 'twin' });
  const known = await client.nodeIdOf(twinId, limits);
  const node = known === undefined ? undefined : await client.node(known, limits);
  const differences = node === undefined ? [] : differencesOf(node, wishes);
  if (node !== undefined && differences.length === 0) return { nodeId: node.id, done: 'nothing', differences };

  if ((await client.farm(farmId, limits)) === undefined) {
    throw new GridError('chain_not_found', { what: 'farm', id: String(farmId) });
  }
  // A node's updates are free in the end, but their fee is taken first.
  if ((await fundsOf(client, limits)) === 'empty') {
    const reason = "it is empty, and a node's record is paid for by its account";
    throw new GridError('chain_account', { address: client.address, reason });
  }
  if (node === undefined) {
    return { nodeId: await client.createNode(wishes, limits), done: 'created', differences };
  }
  await client.updateNode(node.id, complete(node, wishes), limits);
  return { nodeId: node.id, done: 'updated', differences };
}

type Compared = Required<NodeInput>;

/** The wishes over what the chain has. */
function complete(node: Node, wishes: NodeInput): Compared {
  const { farmId, resources, location, interfaces, secureBoot, virtualized, serialNumber } = node;
  const given = Object.fromEntries(Object.entries(wishes).filter(([, value]) => value !== undefined));
  return { farmId, resources, location, interfaces, secureBoot, virtualized, serialNumber, ...given };
}

/** Names of the fields in which the record is not as it is wished. Interfaces have no order, and addresses neither. */
export function differencesOf(node: Node, wishes: NodeInput): string[] {
  const [stored, wanted] = [
    comparable(complete(node, { farmId: node.farmId, resources: node.resources })),
    comparable(complete(node, wishes)),
  ];
  return Object.keys(wanted).filter((name) => !isDeepStrictEqual(stored[name], wanted[name]));
}

function comparable(record: Compared): Record<string, unknown> {
  const interfaces = record.interfaces.map(({ name, mac, ips }) => [name, mac.toLowerCase(), [...ips].sort()]);
  const { hru, sru, cru, mru } = record.resources;
  const { city, country, latitude, longitude } = record.location;
  return {
    ...record,
    resources: [hru, sru, cru, mru],
    location: [city, country, latitude, longitude],
    interfaces: new Map(interfaces.map(([name, ...rest]) => [name, rest])),
  };
}
