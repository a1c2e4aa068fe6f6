/** From an empty folder to a simulated node that answers. */
import { accessSync, constants, existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { CliError } from '../command.ts';
import { loadConfig, type NodeConfig, nodeConfig, type SimulatedConfig, saveConfig } from './config.ts';
import { freePorts } from './free-ports.ts';
import { ensureKey } from './keys.ts';
import type { Layout } from './layout.ts';
import { startSupervisor, supervisorOf, waitForUnits } from './lifecycle.ts';
import { checkNodeFolder } from './ownership.ts';

const ADDRESS = '127.0.0.1';
const UNITS_DEADLINE_MS = 60_000;

/** What a person chose; what is undefined stays as it was, or as usual. */
export interface SimulatedWishes {
  readonly size: Partial<Record<'cru' | 'mru' | 'sru' | 'hru', number>>;
  readonly delayMs: number | undefined;
  readonly fail: readonly string[] | undefined;
  /** Twins that may call `zos.debug.*`. */
  readonly adminTwins: readonly number[] | undefined;
  readonly logLevel: string | undefined;
}

const GiB = 1024 ** 3;
/** The machine that is pretended where nobody says otherwise. */
export const USUAL_SIZE = { cru: 8, mru: 32 * GiB, sru: 1024 * GiB, hru: 4096 * GiB } as const;

/** Throws `CliError` where a program is missing, naming how to get it. */
function checkPrograms(): void {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const has = (program: string): boolean =>
    folders.some((folder) => {
      try {
        accessSync(join(folder, program), constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
  const missing = ['redis-server', 'redis-cli', 'bash'].find((program) => !has(program));
  if (missing === undefined) return;
  throw new CliError(
    `a simulated node needs ${missing}, which is not in PATH. Debian and Ubuntu: sudo apt-get install redis-server; macOS: brew install redis`,
  );
}

async function knownConfig(layout: Layout): Promise<NodeConfig | undefined> {
  if (!existsSync(layout.config)) return undefined;
  const known = await loadConfig(layout);
  if (known.simulated !== null) return known;
  throw new CliError(`${layout.state} holds a node that is not simulated. Choose another --state`);
}

async function decideConfig(layout: Layout, wishes: SimulatedWishes): Promise<NodeConfig> {
  const known = await knownConfig(layout);
  const before = known?.simulated ?? undefined;
  const portOf = (url: string | undefined): number => (url === undefined ? 0 : Number(new URL(url).port));
  const ports = await freePorts([
    portOf(known?.chain[0]),
    portOf(known?.relay[0]),
    before?.httpPort ?? 0,
    before?.webPort ?? 0,
  ]);
  const [chain = 0, relay = 0, httpPort = 0, webPort = 0] = ports;
  const simulated: SimulatedConfig = {
    ...USUAL_SIZE,
    ...before,
    ...wishes.size,
    delayMs: wishes.delayMs ?? before?.delayMs ?? 0,
    fail: [...(wishes.fail ?? before?.fail ?? [])],
    httpPort,
    webPort,
  };
  const config = nodeConfig.parse({
    development: true,
    isolated: false,
    address: ADDRESS,
    hostAddress: ADDRESS,
    chain: [`ws://${ADDRESS}:${chain}`],
    relay: [`ws://${ADDRESS}:${relay}`],
    relayDomain: ADDRESS,
    poolSize: simulated.sru,
    devices: [],
    accel: 'auto',
    flistFolder: null,
    adminTwins: [...(wishes.adminTwins ?? known?.adminTwins ?? [])],
    simulated,
    logLevel: wishes.logLevel ?? known?.logLevel ?? 'info',
  });
  await saveConfig(layout, config);
  return config;
}

/** Everything a client needs, secrets included: the content of `client.json`. */
export async function readClientFile(layout: Layout): Promise<string> {
  return readFile(clientFile(layout), 'utf8');
}

export function clientFile(layout: Layout): string {
  return join(layout.state, 'client.json');
}

/** Starts the node, or one of before with what it had accepted; returns when it answers. */
export async function startSimulated(
  layout: Layout,
  wishes: SimulatedWishes,
  signal: AbortSignal,
): Promise<NodeConfig> {
  checkPrograms();
  checkNodeFolder(layout.state);
  if ((await supervisorOf(layout)) !== undefined) {
    throw new CliError(`the node in ${layout.state} is running; see: gridnode status --state ${layout.state}`);
  }
  const config = await decideConfig(layout, wishes);
  await ensureKey(layout, 'node');
  const client = await startSupervisor(layout, config);
  await waitForUnits(client, { deadlineMs: UNITS_DEADLINE_MS, logs: join(layout.state, 'log'), signal });
  return config;
}
