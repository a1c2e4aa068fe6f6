/** The demo: one node, one signed deployment, one machine, and nothing left behind. */
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { join, normalize } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { z } from 'zod';
import { packFlist } from '../../modules/flistd/format/index.ts';
import {
  capacityGet,
  deploymentChanges,
  deploymentDeploy,
  deploymentList,
  MiB,
  parseOutput,
} from '../../schemas/index.ts';
import { CliError } from '../command.ts';
import type { NodeConfig } from '../node/config.ts';
import { openChain, readRegistration } from '../node/development.ts';
import { added, inventory } from '../node/inventory.ts';
import { ensureKey } from '../node/keys.ts';
import type { Layout } from '../node/layout.ts';
import { openPeer, type Peer } from '../node/peer.ts';
import { startNode, type Wishes } from '../node/start.ts';
import { planDemo } from './deployment.ts';
import { writeSite } from './site.ts';
import type { Stages } from './stages.ts';
import { UserNetwork } from './user-network.ts';

type Capacity = z.output<typeof capacityGet.output>;

const CALL_DEADLINE_MS = 20_000;
const MACHINE_DEADLINE_MS = 120_000;
const PAGE_DEADLINE_MS = 60_000;
const GONE_DEADLINE_MS = 60_000;

export interface DemoResult {
  readonly page: string;
  readonly capacity: { readonly before: Capacity; readonly during: Capacity; readonly after: Capacity | null };
  /** What the cancelled deployment left; empty when nothing, null where it still runs. */
  readonly left: readonly string[] | null;
}

export interface DemoOptions {
  readonly layout: Layout;
  readonly wishes: Wishes;
  readonly stages: Stages;
  readonly signal: AbortSignal;
  /** Leave machine and node running. */
  readonly keep: boolean;
  readonly greeting: string;
}

/** Runs everything up to the cancelled contract; stopping the node is the caller's. */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const { layout, stages, signal } = options;
  const config = await startNode(layout, options.wishes, (name, work) => stages.run(name, work), signal);
  const registration = await readRegistration(layout);
  if (registration === undefined) throw new CliError('the node was not registered');
  const store = await serveStore(layout, config);
  const user = await openPeer(layout, config, 'user');
  const network = new UserNetwork(layout);
  try {
    const flist = await stages.run('flist', () => buildFlist(layout, store.url));
    const before = await askCapacity(user, signal);
    const had = await inventory(layout);
    const plan = planDemo(
      {
        twinId: registration.twins.user,
        flist,
        greeting: options.greeting,
        diskSize: 256 * MiB,
        memory: 256 * MiB,
        networkName: 'net',
      },
      await ensureKey(layout, 'user'),
    );
    const chain = await openChain(layout, config, 'user');
    try {
      const contractId = await stages.run('node contract', () =>
        chain.createNodeContract({ nodeId: registration.nodeId, hash: plan.hash, data: '', publicIps: 0 }),
      );
      await stages.run('deploy', () =>
        user.callNode(deploymentDeploy.name, plan.json(contractId), CALL_DEADLINE_MS, signal),
      );
      await stages.run('machine', (note) => untilRunning(user, contractId, signal, note));
      const page = await stages.run('page', async () => {
        await network.join(plan, config.address);
        return network.fetchPage(plan.machineAddress, PAGE_DEADLINE_MS, signal);
      });
      const during = await askCapacity(user, signal);
      if (options.keep) return { page, capacity: { before, during, after: null }, left: null };
      await network.leave();
      await stages.run('cancel', async () => {
        await chain.cancelContract(contractId);
        await untilGone(user, before, signal);
      });
      const after = await askCapacity(user, signal);
      return { page, capacity: { before, during, after }, left: added(had, await inventory(layout)) };
    } finally {
      await chain.close();
    }
  } finally {
    if (!options.keep) await network.leave();
    await user.close();
    store.server.close();
  }
}

export async function askCapacity(peer: Peer, signal: AbortSignal): Promise<Capacity> {
  return parseOutput(capacityGet, await peer.callNode(capacityGet.name, '', CALL_DEADLINE_MS, signal));
}

/** Serves flist and blocks over HTTP as a hub does, on the person's side of the link. */
async function serveStore(
  layout: Layout,
  config: NodeConfig,
): Promise<{ readonly server: Server; readonly url: string }> {
  const folder = join(layout.state, 'hub');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const server = createServer((request, response) => {
    const path = join(folder, normalize(new URL(request.url ?? '/', 'http://hub').pathname));
    stat(path).then(
      (found) => {
        response.writeHead(200, { 'content-length': found.size });
        createReadStream(path).pipe(response);
      },
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, config.hostAddress, resolve);
  });
  server.unref();
  const address = server.address();
  if (address === null || typeof address === 'string') throw new CliError('the flist server has no port');
  return { server, url: `http://${config.hostAddress}:${address.port}` };
}

/** Packs the demo's tree; returns the flist's URL. */
async function buildFlist(layout: Layout, url: string): Promise<string> {
  const tree = join(layout.state, 'site');
  const hub = join(layout.state, 'hub');
  await writeSite(tree);
  await packFlist({
    directory: tree,
    output: join(hub, 'demo.fl'),
    store: `dir://${join(hub, 'blocks')}`,
    routes: [{ start: 0, end: 255, url: `${url}/blocks` }],
  });
  return `${url}/demo.fl`;
}

async function untilRunning(
  user: Peer,
  contractId: bigint,
  signal: AbortSignal,
  note: (text: string) => void,
): Promise<void> {
  const until = Date.now() + MACHINE_DEADLINE_MS;
  let seen = 0;
  const payload = JSON.stringify({ contract_id: Number(contractId) });
  while (Date.now() < until) {
    const changes = parseOutput(
      deploymentChanges,
      await user.callNode(deploymentChanges.name, payload, CALL_DEADLINE_MS, signal),
    );
    for (const change of changes.slice(seen)) {
      if (change.result.state === 'error') throw new CliError(`${change.name}: ${change.result.message}`);
      note(`${change.name} ${change.result.state}`);
    }
    seen = changes.length;
    if (changes.some((change) => change.name === 'vm' && change.result.state === 'ok')) return;
    await sleep(100, undefined, { signal });
  }
  throw new CliError(`the machine did not run within ${MACHINE_DEADLINE_MS / 1000} s; see: gridnode logs provisiond`);
}

async function untilGone(user: Peer, before: Capacity, signal: AbortSignal): Promise<void> {
  const until = Date.now() + GONE_DEADLINE_MS;
  while (Date.now() < until) {
    const list = parseOutput(deploymentList, await user.callNode(deploymentList.name, '', CALL_DEADLINE_MS, signal));
    const now = await askCapacity(user, signal);
    const taken = now.committed.mru + now.pending.mru + now.committed.sru + now.pending.sru;
    const tookBefore = before.committed.mru + before.pending.mru + before.committed.sru + before.pending.sru;
    if (list.length === 0 && taken === tookBefore) return;
    await sleep(100, undefined, { signal });
  }
  throw new CliError(
    `the cancelled deployment was still there after ${GONE_DEADLINE_MS / 1000} s; see: gridnode logs provisiond`,
  );
}

/** A name for a demo's own folder. */
export function demoFolder(): string {
  return `/var/lib/gridnode/demo-${randomBytes(3).toString('hex')}`;
}
