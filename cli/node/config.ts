/** What `up` decided about a node, kept so that later commands find it again. */
import { z } from 'zod';
import { readJson, writeFileAtomic } from '../../modules/host/files.ts';
import { CliError } from '../command.ts';
import type { Layout } from './layout.ts';

const GiB = 1024 ** 3;

export const nodeConfig = z.object({
  /** Runs its own chain and relay. */
  development: z.boolean(),
  /** Runs in a network and mount namespace of its own. */
  isolated: z.boolean(),
  /** Where the node's relay and chain listen, and the person's side of the link to it. */
  address: z.string(),
  hostAddress: z.string(),
  chain: z.array(z.string()).min(1),
  relay: z.array(z.string()).min(1),
  /** Domain that twins name on the chain for the relay. */
  relayDomain: z.string(),
  /** The node's key where it is elsewhere than in `keys/node.json`. */
  keyFile: z.string().nullable().default(null),
  /** What the gateway may write to the chain of its twin. */
  updateTwin: z.enum(['never', 'union', 'replace']).default('never'),
  /** The gateway may make its twin, which accepts the grid's terms. */
  createTwin: z.boolean().default(false),
  /** Farm that noded registers the node with; null to leave the node's record on the chain alone. */
  farm: z.int().positive().max(0xffffffff).nullable().default(null),
  /** Bytes of the loop file that stands in for a disk; 0 with `devices`. */
  poolSize: z.int().nonnegative(),
  /** Bytes kept back for the node's own cache. */
  cacheSize: z
    .int()
    .positive()
    .default(1 * GiB),
  /** Whole disks given by name. */
  devices: z.array(z.string()),
  accel: z.enum(['auto', 'kvm', 'tcg']),
  /** Folder that `file://` flists may come from; null allows none. */
  flistFolder: z.string().nullable(),
  /** Address ranges, CIDR, that flists may come from although they are the node's own or reserved. */
  flistAllow: z.array(z.string()).default([]),
  /** Flists may not come from private ranges. */
  flistDenyPrivate: z.boolean().default(false),
  /** File of limits for the gateway's door; null for the usual ones. */
  limitsFile: z.string().nullable().default(null),
  /** Twins that have a key on the chain must encrypt their requests. */
  requireEncryption: z.boolean().default(false),
  /** Twins that may look at every twin's deployments, over `zos.debug.*`. */
  adminTwins: z.array(z.int().positive().max(0xffffffff)).default([]),
  /** Programs beside the node that use the queues of rmb-peer; null for none. */
  local: z
    .object({ redis: z.string(), commands: z.array(z.string()), send: z.boolean() })
    .nullable()
    .default(null),
  /** Where the node stands, as noded reads it; null for what the chain says. */
  location: z.string().nullable().default(null),
  /** Throughput to other nodes: whom it is measured against, and where this one lets others measure. */
  iperf: z.object({ peers: z.array(z.string()), listen: z.string().nullable() }).default({ peers: [], listen: null }),
  /** A node whose drivers only keep books: the machine it pretends to be, and how its host behaves. */
  simulated: z
    .object({
      /** Logical CPUs, and bytes. */
      cru: z.int().positive(),
      mru: z.int().positive(),
      sru: z.int().nonnegative(),
      hru: z.int().nonnegative(),
      /** Time of each change of the host. */
      delayMs: z.int().nonnegative(),
      /** Regular expressions of changes that fail. */
      fail: z.array(z.string()),
      httpPort: z.int(),
      webPort: z.int(),
    })
    .nullable()
    .default(null),
  logLevel: z.string(),
});

export type NodeConfig = z.infer<typeof nodeConfig>;
export type SimulatedConfig = NonNullable<NodeConfig['simulated']>;

export async function saveConfig(layout: Layout, config: NodeConfig): Promise<void> {
  await writeFileAtomic(layout.config, `${JSON.stringify(config, null, 2)}\n`, 0o600);
}

/** The node's configuration. Throws `CliError` where no node was ever started. */
export async function loadConfig(layout: Layout): Promise<NodeConfig> {
  const content = await readJson(layout.config);
  if (content === undefined)
    throw new CliError(`no node in ${layout.state}; start one with: gridnode up --state ${layout.state}`);
  const parsed = nodeConfig.safeParse(content);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new CliError(`${layout.config}: ${issue?.path.join('.')}: ${issue?.message}`);
  }
  return parsed.data;
}
