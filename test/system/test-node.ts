/** A whole isolated node for tests, through the same code that `up` and the demo use. */
import { execFile } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { NodeConfig } from '../../cli/node/config.ts';
import { openChain, type Registration, readRegistration } from '../../cli/node/development.ts';
import { ensureKey, type KeyName } from '../../cli/node/keys.ts';
import { type Layout, makeLayout } from '../../cli/node/layout.ts';
import { stopNode } from '../../cli/node/lifecycle.ts';
import { openPeer, type Peer } from '../../cli/node/peer.ts';
import { startNode, type Wishes } from '../../cli/node/start.ts';
import { findTraces } from '../../cli/node/traces.ts';
import type { ChainClient } from '../../gateway/chain/client.ts';
import type { Identity } from '../../gateway/rmb/index.ts';
import { ZinitClient } from '../../modules/zinit/index.ts';

const GiB = 1024 ** 3;

export interface TestNode {
  readonly layout: Layout;
  readonly config: NodeConfig;
  readonly registration: Registration;
  readonly zinit: ZinitClient;
  identity(name: KeyName): Promise<Identity>;
  peer(name: KeyName): Promise<Peer>;
  chain(name: KeyName): Promise<ChainClient>;
  /** Stops the node and says what it left on the host. */
  stop(): Promise<string[]>;
}

export const isRoot = process.getuid?.() === 0;

export async function startTestNode(wishes: Partial<Wishes> = {}): Promise<TestNode> {
  const layout = makeLayout(await mkdtemp('/var/tmp/gn-sys-'));
  const open: { close(): Promise<void> }[] = [];
  const stop = async (): Promise<string[]> => {
    for (const one of open.splice(0)) await one.close();
    await stopNode(layout, { purge: true });
    return findTraces(layout);
  };
  try {
    const config = await startNode(
      layout,
      { isolated: true, poolSize: 3 * GiB, devices: [], accel: 'tcg', flistFolder: null, logLevel: 'info', ...wishes },
      (_stage, work) => work(() => undefined),
      AbortSignal.timeout(120_000),
    );
    const registration = await readRegistration(layout);
    if (registration === undefined) throw new Error('the node is not registered');
    const kept = <T extends { close(): Promise<void> }>(one: T): T => {
      open.push(one);
      return one;
    };
    return {
      layout,
      config,
      registration,
      zinit: new ZinitClient(layout.control),
      identity: (name) => ensureKey(layout, name),
      peer: async (name) => kept(await openPeer(layout, config, name)),
      chain: async (name) => kept(await openChain(layout, config, name)),
      stop,
    };
  } catch (error) {
    const log = await promisify(execFile)('tail', ['-n', '20', join(layout.state, 'log', 'zinit.log')]).catch(() => ({
      stdout: '',
    }));
    await stop().catch(() => undefined);
    throw new Error(`${(error as Error).message}\n${log.stdout}`, { cause: error });
  }
}

/** An HTTP server on the person's side of the node's link; ended by `close`. */
export async function serveHttp(
  config: NodeConfig,
  listener: RequestListener,
): Promise<{ url: string; server: Server; close(): Promise<void> }> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, config.hostAddress, resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `http://${config.hostAddress}:${address.port}`,
    server,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
