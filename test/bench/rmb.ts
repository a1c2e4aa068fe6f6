/**
 * Signed requests a second: a caller, a relay with its Redis, and a serving
 * peer behind the door, each a process of its own, all keys on all messages
 * verified, payloads encrypted. Run directly it prints one JSON object.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { Door } from '../../gateway/door/door.ts';
import { Relay } from '../../gateway/relay/relay.ts';
import { PayloadCipher } from '../../gateway/rmb/cipher.ts';
import { RmbClient } from '../../gateway/rmb/client.ts';
import { Identity, type KeyType, keyTypes } from '../../gateway/rmb/keys.ts';
import { SignatureVerifier } from '../../gateway/rmb/signature.ts';
import type { TwinRecord, TwinSource } from '../../gateway/rmb/twins.ts';
import { startRedis } from '../../modules/zbus/testing/redis.ts';

const CALLER = 7;
const SERVER = 17;
const SIDE_BY_SIDE = 64;
const WARM_UP_MS = 1000;
const MEASURED_MS = 4000;
const START_DEADLINE_MS = 20_000;
const DOMAIN = 'bench.example';

interface Setup {
  readonly role: 'relay' | 'server';
  readonly keyType: KeyType;
  readonly secrets: Readonly<Record<number, string>>;
  readonly broker: string;
  readonly port: number;
}

const log = pino({ level: 'silent' });

async function twinsOf({ secrets, keyType }: Pick<Setup, 'secrets' | 'keyType'>): Promise<TwinSource> {
  const records = new Map<number, TwinRecord>();
  for (const [id, secret] of Object.entries(secrets)) {
    const { publicKey, encryptionKey } = await Identity.fromSecret(secret, keyType);
    records.set(Number(id), { id: Number(id), account: publicKey, relay: [DOMAIN], encryptionKey });
  }
  return { twin: async (id) => records.get(id) };
}

async function runRelay(setup: Setup): Promise<number> {
  const relay = new Relay({ domains: [DOMAIN], twins: await twinsOf(setup), broker: setup.broker, log });
  return await relay.listen('127.0.0.1', 0);
}

async function runServer(setup: Setup): Promise<number> {
  const identity = await Identity.fromSecret(setup.secrets[SERVER] ?? '', setup.keyType);
  const twins = await twinsOf(setup);
  const verifier = new SignatureVerifier();
  const relays = [`ws://127.0.0.1:${setup.port}`];
  const client = new RmbClient({ relays, identity, twinId: SERVER, twins, verifier });
  const door = new Door({
    twinId: SERVER,
    twins,
    verifier,
    cipher: new PayloadCipher(identity),
    answer: (request, twin, answer) => client.answer(request, twin, answer),
    log,
    limits: {
      ratePerSecond: 1e6,
      rateBurst: 1e6,
      concurrencyPerTwin: 1024,
      concurrency: 1024,
      replayEntriesPerTwin: 200_000,
    },
  });
  client.serve(door.handler(async () => ({ kind: 'response', payload: '{"zos":"0.1.0","zinit":"0.1.0"}' })));
  await client.connect();
  return setup.port;
}

async function start(setup: Setup): Promise<{ child: ChildProcess; port: number }> {
  const child = fork(fileURLToPath(import.meta.url), ['--part'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  child.send(setup);
  const deadline = AbortSignal.timeout(START_DEADLINE_MS);
  const [port] = (await once(child, 'message', { signal: deadline })) as [number];
  return { child, port };
}

async function measure(keyType: KeyType, broker: string): Promise<Record<string, number>> {
  const secrets = { [CALLER]: randomBytes(32).toString('hex'), [SERVER]: randomBytes(32).toString('hex') };
  const children: ChildProcess[] = [];
  let client: RmbClient | undefined;
  try {
    const relay = await start({ role: 'relay', keyType, secrets, broker, port: 0 });
    children.push(relay.child);
    const server = await start({ role: 'server', keyType, secrets, broker, port: relay.port });
    children.push(server.child);
    const identity = await Identity.fromSecret(secrets[CALLER] ?? '', keyType);
    const relays = [`ws://127.0.0.1:${relay.port}`];
    client = new RmbClient({
      relays,
      identity,
      twinId: CALLER,
      session: 'bench',
      twins: await twinsOf({ secrets, keyType }),
    });
    await client.connect();
    await callFor(client, WARM_UP_MS);
    const started = performance.now();
    const milliseconds = (await callFor(client, MEASURED_MS)).sort((a, b) => a - b);
    const seconds = (performance.now() - started) / 1000;
    const at = (share: number): number => round(milliseconds[Math.floor(milliseconds.length * share)] ?? 0);
    return {
      [`${keyType}_requests_per_second`]: round(milliseconds.length / seconds),
      [`${keyType}_p50_ms`]: at(0.5),
      [`${keyType}_p99_ms`]: at(0.99),
    };
  } finally {
    await client?.close();
    for (const child of children) child.kill('SIGKILL');
  }
}

/** Calls side by side for a while; each call's milliseconds. */
async function callFor(client: RmbClient, durationMs: number): Promise<number[]> {
  const end = performance.now() + durationMs;
  const milliseconds: number[] = [];
  const lane = async (): Promise<void> => {
    while (performance.now() < end) {
      const sent = performance.now();
      await client.call({ twin: SERVER, command: 'zos.system.version', payload: 'null', deadlineMs: 20_000 });
      milliseconds.push(performance.now() - sent);
    }
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, lane));
  return milliseconds;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

export async function bench(): Promise<{ name: string; metrics: Record<string, number> }> {
  const redis = await startRedis();
  try {
    const metrics: Record<string, number> = {};
    for (const keyType of keyTypes) Object.assign(metrics, await measure(keyType, redis.broker));
    return { name: 'rmb', metrics };
  } finally {
    await redis.stop();
  }
}

if (process.argv[2] === '--part') {
  const [setup] = (await once(process, 'message')) as [Setup];
  process.once('disconnect', () => process.exit(0));
  process.send?.(setup.role === 'relay' ? await runRelay(setup) : await runServer(setup));
} else if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.stdout.write(`${JSON.stringify(await bench())}\n`);
}
