/** Everything `up` and the demo do to bring a node to life. */
import { join } from 'node:path';
import { readKeyFile } from '../../gateway/rmb/index.ts';
import { CliError } from '../command.ts';
import { loadConfig, type NodeConfig, saveConfig } from './config.ts';
import { register } from './development.ts';
import { ensureGuest } from './guest.ts';
import { ensureNamespace } from './isolation.ts';
import { ensureKey } from './keys.ts';
import type { Layout } from './layout.ts';
import { startSupervisor, waitForUnits } from './lifecycle.ts';
import { checkNodeFolder } from './ownership.ts';
import { chainPort, relayPort } from './ports.ts';

const UNITS_DEADLINE_MS = 90_000;

/** What a person may choose; the rest follows. */
export interface Wishes {
  readonly isolated: boolean;
  readonly poolSize: number;
  readonly devices: readonly string[];
  readonly accel: NodeConfig['accel'];
  readonly flistFolder: string | null;
  readonly flistAllow?: readonly string[];
  readonly flistDenyPrivate?: boolean;
  readonly limitsFile?: string | null;
  readonly requireEncryption?: boolean;
  readonly adminTwins?: readonly number[];
  readonly local?: NodeConfig['local'];
  readonly location?: string | null;
  readonly iperf?: NodeConfig['iperf'];
  readonly logLevel: string;
  /** Chain and relay of the grid; without them the node runs its own. */
  readonly chain?: readonly string[];
  readonly relay?: readonly string[];
  /** The node's key where it is elsewhere than in the state folder. */
  readonly keyFile?: string;
  readonly updateTwin?: NodeConfig['updateTwin'];
  readonly createTwin?: boolean;
  readonly farm?: number | null;
}

/** A wrapper that names and times a stage. */
export type RunStage = <T>(stage: string, work: (note: (text: string) => void) => Promise<T>) => Promise<T>;

export async function decideConfig(layout: Layout, wishes: Wishes): Promise<NodeConfig> {
  const link = wishes.isolated ? await ensureNamespace(layout) : { address: '127.0.0.1', hostAddress: '127.0.0.1' };
  const development = wishes.chain === undefined;
  const config: NodeConfig = {
    development,
    isolated: wishes.isolated,
    ...link,
    chain: [...(wishes.chain ?? [`ws://${link.address}:${chainPort}`])],
    relay: [...(wishes.relay ?? [`ws://${link.address}:${relayPort}`])],
    relayDomain: development ? link.address : new URL(wishes.relay?.[0] ?? '').hostname,
    keyFile: wishes.keyFile ?? null,
    updateTwin: wishes.updateTwin ?? 'never',
    createTwin: wishes.createTwin ?? false,
    farm: wishes.farm ?? null,
    poolSize: wishes.devices.length > 0 ? 0 : wishes.poolSize,
    cacheSize: 1024 ** 3,
    devices: [...wishes.devices],
    accel: wishes.accel,
    flistFolder: wishes.flistFolder,
    flistAllow: [...(wishes.flistAllow ?? [])],
    flistDenyPrivate: wishes.flistDenyPrivate ?? false,
    limitsFile: wishes.limitsFile ?? null,
    requireEncryption: wishes.requireEncryption ?? false,
    adminTwins: [...(wishes.adminTwins ?? [])],
    local: wishes.local ?? null,
    location: wishes.location ?? null,
    iperf: wishes.iperf ?? { peers: [], listen: null },
    simulated: null,
    logLevel: wishes.logLevel,
  };
  await saveConfig(layout, config);
  return config;
}

/** From an empty folder to a node that answers. With no wishes the node of before starts again. */
export async function startNode(
  layout: Layout,
  wishes: Wishes | undefined,
  stage: RunStage,
  signal: AbortSignal,
): Promise<NodeConfig> {
  if (process.getuid?.() !== 0)
    throw new CliError("a node needs root: networks, pools and machines are the kernel's; try: sudo ./gridnode …");
  checkNodeFolder(layout.state);
  await stage('guest kernel', () => ensureGuest(layout, signal));
  const config = wishes === undefined ? await loadConfig(layout) : await decideConfig(layout, wishes);
  if (wishes === undefined && config.isolated) await ensureNamespace(layout);
  if (config.keyFile === null) await ensureKey(layout, 'node');
  else await readKeyFile(config.keyFile);
  // The web services ask nodes as the farmer.
  if (config.development) await ensureKey(layout, 'farmer');
  const logs = join(layout.state, 'log');
  const client = await stage('supervisor', () => startSupervisor(layout, config));
  if (config.development) {
    await stage('chain', () => waitForUnits(client, { deadlineMs: UNITS_DEADLINE_MS, logs, signal, only: ['chain'] }));
    await stage('farm, node and twins', () => register(layout, config));
  }
  await stage('daemons', (note) =>
    waitForUnits(client, {
      deadlineMs: UNITS_DEADLINE_MS,
      logs,
      signal,
      onUnit: (unit) => {
        if (unit.state === 'running' || unit.state === 'error') note(`${unit.name} ${unit.state}`);
      },
    }),
  );
  return config;
}
