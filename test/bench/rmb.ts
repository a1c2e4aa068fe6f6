/**
 * Signed requests a second, both key types: callers, the relay, the gateway
 * with its door, dispatcher and a module on the bus, each a process of its own,
 * every signature verified, every payload encrypted. In the same run the same
 * callers ask a plain peer through the same relay: it verifies nothing and
 * answers at once, so the ratio is what the gateway's checks and the bus cost.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RmbClient, SignatureVerifier, writeKeyFile } from '../../gateway/rmb/index.ts';
import { type KeyType, keyTypes } from '../../gateway/rmb/keys.ts';
import { startRedis } from '../../modules/zbus/testing/redis.ts';
import { end, start } from './peers/child.ts';
import { CALLERS, DOMAIN, identityOf, NODE, PLAIN, secretOf, twinsOf } from './peers/twins.ts';

/** Requests on their way at any moment. */
const LANES = 64;
/** The two are measured in turns, so that what else the machine does hits both. */
const TURNS = 5;
const TURN_MS = 700;
const WARM_UP_MS = 700;
const CALL_DEADLINE_MS = 20_000;

type Metrics = Record<string, number>;

export async function bench(): Promise<{ name: string; metrics: Metrics }> {
  const metrics: Metrics = {};
  for (const keyType of keyTypes) Object.assign(metrics, await measure(keyType));
  return { name: 'rmb', metrics };
}

async function measure(keyType: KeyType): Promise<Metrics> {
  const state = await mkdtemp(join(tmpdir(), 'gn-rmb-'));
  const redis = await startRedis();
  const children: ChildProcess[] = [];
  const clients: RmbClient[] = [];
  const verifier = new SignatureVerifier();
  const run = async (script: string, ...args: string[]): Promise<Readonly<Record<string, unknown>>> => {
    const { child, ready } = await start(join(import.meta.dirname, script), args);
    children.push(child);
    return ready;
  };
  try {
    const keyFile = join(state, 'key.json');
    await writeKeyFile(keyFile, { keyType, secret: secretOf(NODE) });
    await run('peers/grid.ts', redis.broker, keyType);
    const bus = ['--broker', redis.broker, '--state', state, '--log-level', 'info'];
    const listen = ['--listen', '127.0.0.1:0', '--domain', DOMAIN];
    const { port } = await run('../../gateway/relay/main.ts', ...bus, ...listen);
    const relay = `ws://127.0.0.1:${port}`;
    await run('../../gateway/main.ts', ...bus, '--relay', relay, '--key-file', keyFile);
    await run('peers/plain.ts', relay, keyType);

    const twins = await twinsOf(keyType);
    for (const twinId of CALLERS) {
      const identity = await identityOf(twinId, keyType);
      const client = new RmbClient({ relays: [relay], identity, twinId, session: 'bench', twins, verifier });
      clients.push(client);
      await client.connect();
    }
    const turns: Record<'gateway' | 'plain', Turn[]> = { gateway: [], plain: [] };
    for (const twin of [NODE, PLAIN]) await callFor(clients, twin, WARM_UP_MS);
    for (let turn = 0; turn < TURNS; turn += 1) {
      turns.gateway.push(await callFor(clients, NODE, TURN_MS));
      turns.plain.push(await callFor(clients, PLAIN, TURN_MS));
    }
    const [gateway, plain] = [figures(turns.gateway), figures(turns.plain)];
    return {
      [`${keyType}_requests_per_second`]: gateway.perSecond,
      [`${keyType}_p50_ms`]: gateway.p50,
      [`${keyType}_p99_ms`]: gateway.p99,
      [`${keyType}_plain_per_second`]: plain.perSecond,
      [`${keyType}_plain_p50_ms`]: plain.p50,
      [`${keyType}_ratio`]: round(gateway.perSecond / plain.perSecond, 1000),
    };
  } finally {
    await Promise.all(clients.map((client) => client.close()));
    await verifier.close();
    await Promise.all(children.map(end));
    await redis.stop();
    await rm(state, { recursive: true, force: true });
  }
}

interface Turn {
  readonly milliseconds: readonly number[];
  readonly seconds: number;
}

/** Calls side by side for a while; the lanes share the callers among them. */
async function callFor(clients: readonly RmbClient[], twin: number, durationMs: number): Promise<Turn> {
  const started = performance.now();
  const milliseconds: number[] = [];
  const lane = async (index: number): Promise<void> => {
    for (let at = index; performance.now() - started < durationMs; at += LANES) {
      const client = clients[at % clients.length] as RmbClient;
      const sent = performance.now();
      await client.call({ twin, command: 'zos.storage.pools', payload: 'null', deadlineMs: CALL_DEADLINE_MS });
      milliseconds.push(performance.now() - sent);
    }
  };
  await Promise.all(Array.from({ length: LANES }, (_, index) => lane(index)));
  return { milliseconds, seconds: (performance.now() - started) / 1000 };
}

function figures(turns: readonly Turn[]): { perSecond: number; p50: number; p99: number } {
  const milliseconds = turns.flatMap((turn) => turn.milliseconds).sort((a, b) => a - b);
  const rates = turns.map((turn) => turn.milliseconds.length / turn.seconds).sort((a, b) => a - b);
  const at = (share: number): number => round(milliseconds[Math.floor(milliseconds.length * share)] ?? 0, 10);
  return { perSecond: Math.round(rates[Math.floor(TURNS / 2)] ?? 0), p50: at(0.5), p99: at(0.99) };
}

function round(value: number, parts: number): number {
  return Math.round(value * parts) / parts;
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await bench())}\n`);
