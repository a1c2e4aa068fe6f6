/** A relay, a gateway behind it, and what the gateway needs on the bus: each a process of its own, run as a node runs them. */
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gatewayOptions } from '../../../cli/node/unit-file.ts';
import { type KeyType, writeKeyFile } from '../../../gateway/rmb/index.ts';
import { startRedis } from '../../../modules/zbus/testing/redis.ts';
import { Callers } from './callers.ts';
import { end, type Started, start } from './child.ts';
import { startGoPeer } from './go-peer.ts';
import { DOMAIN, NODE, secretOf } from './twins.ts';

export interface Site {
  readonly relay: ChildProcess;
  readonly gateway: ChildProcess;
  readonly callers: Callers;
  /** `ws://HOST:PORT` of the relay. */
  readonly relayUrl: string;
  /** The Go SDK's peer, added to the site. */
  startGo(): Promise<ChildProcess>;
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** One twin's share would be the first limit that few twins reach together. */
const NO_SHARES = {
  ratePerSecond: 100_000,
  rateBurst: 100_000,
  ratePerSecondInAll: 1_000_000,
  rateBurstInAll: 1_000_000,
};

/** Runs `work` beside all of them and ends them, whatever it does. */
export async function withSite<T>(keyType: KeyType, work: (site: Site) => Promise<T>): Promise<T> {
  const state = await mkdtemp(join(tmpdir(), 'gn-rmb-'));
  const redis = await startRedis();
  const children: ChildProcess[] = [];
  // Whatever waits for one of them fails then, and the way out of that cleans up.
  const interrupted = (): void => {
    for (const child of children) child.kill('SIGKILL');
  };
  for (const signal of SIGNALS) process.on(signal, interrupted);
  const run = async (script: string, ...args: string[]): Promise<Started> => {
    const started = await start(join(import.meta.dirname, script), args, { NODE_OPTIONS: gatewayOptions });
    children.push(started.child);
    return started;
  };
  try {
    const keyFile = join(state, 'key.json');
    await writeKeyFile(keyFile, { keyType, secret: secretOf(NODE) });
    await run('grid.ts', redis.broker, keyType);
    const bus = ['--broker', redis.broker, '--state', state, '--log-level', 'info'];
    const listen = ['--listen', '127.0.0.1:0', '--domain', DOMAIN];
    const relay = await run('../../../gateway/relay/main.ts', ...bus, ...listen);
    const relayUrl = `ws://127.0.0.1:${relay.ready.port}`;
    const limits = join(state, 'limits.json');
    await writeFile(limits, JSON.stringify(NO_SHARES), { mode: 0o600 });
    const flags = ['--relay', relayUrl, '--key-file', keyFile, '--limits', limits];
    const gateway = await run('../../../gateway/main.ts', ...bus, ...flags);
    const callers = await Callers.start(relayUrl, keyType);
    children.push(callers.child);
    const startGo = async (): Promise<ChildProcess> => {
      const [peer, chain] = await startGoPeer({ relay: relayUrl, keyType, state });
      children.push(peer as ChildProcess, chain as ChildProcess);
      return peer as ChildProcess;
    };
    return await work({ relay: relay.child, gateway: gateway.child, callers, relayUrl, startGo });
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupted);
    await Promise.all(children.map(end));
    await redis.stop();
    await rm(state, { recursive: true, force: true });
  }
}
