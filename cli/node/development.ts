/** A development node's people on its own chain: farmer, node, and users. */
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { ChainClient } from '../../gateway/chain/client.ts';
import { ensureOwnNode } from '../../gateway/chain/own-node.ts';
import { readJson, writeFileAtomic } from '../../modules/host/files.ts';
import type { NodeConfig } from './config.ts';
import { ensureKey, type KeyName } from './keys.ts';
import type { Layout } from './layout.ts';

const CHAIN_DEADLINE_MS = 30_000;

const registration = z.object({
  farmId: z.int(),
  nodeId: z.int(),
  twins: z.object({ node: z.int(), farmer: z.int(), user: z.int() }),
});
export type Registration = z.infer<typeof registration>;

const place = (layout: Layout): string => join(layout.state, 'development.json');

/** Who is who on the development chain, undefined before `register`. */
export async function readRegistration(layout: Layout): Promise<Registration | undefined> {
  return registration.optional().parse(await readJson(place(layout)));
}

/** A chain connection that acts as one of the node's people. */
export async function openChain(layout: Layout, config: NodeConfig, name: KeyName): Promise<ChainClient> {
  return ChainClient.connect({
    endpoints: config.chain,
    identity: await ensureKey(layout, name),
    deadlineMs: CHAIN_DEADLINE_MS,
  });
}

/** Makes twins, a farm and the node on the chain, once. */
export async function register(layout: Layout, config: NodeConfig): Promise<Registration> {
  const known = await readRegistration(layout);
  if (known !== undefined) return known;
  const twins = { node: 0, farmer: 0, user: 0 };
  // The chain's description is read once for all of them.
  const node = await openChain(layout, config, 'node');
  try {
    const farmer = node.actingAs(await ensureKey(layout, 'farmer'));
    for (const name of ['farmer', 'node', 'user'] as const) {
      const identity = await ensureKey(layout, name);
      const acting = node.actingAs(identity);
      await acting.endow();
      twins[name] = await acting.ensureTwin({ relay: config.relayDomain, encryptionKey: identity.encryptionKey });
    }
    const farmId = await farmer.createFarm('gridnode');
    const { nodeId } = await ensureOwnNode(node, {
      farmId,
      resources: {
        cru: BigInt(availableParallelism()),
        mru: BigInt(totalmem()),
        sru: BigInt(config.poolSize),
        hru: 0n,
      },
    });
    const made = { farmId, nodeId, twins };
    await writeFileAtomic(place(layout), `${JSON.stringify(made)}\n`, 0o600);
    return made;
  } finally {
    await node.close();
  }
}
