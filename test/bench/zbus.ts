/**
 * Round trips of calls over the bus, with one and with 64 callers, beside the
 * Go library (its caller, its server) and beside a plain peer (RPUSH and BLPOP
 * per call on a connection each), all on one Redis in the same run; what a call
 * costs the broker; how quickly requests are encoded and a long answer decoded.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { Redis } from 'ioredis';
import { ZbusClient } from '../../modules/zbus/client.ts';
import { decode, encode } from '../../modules/zbus/codec.ts';
import { decodeResponse, encodeRequest } from '../../modules/zbus/frames.ts';
import { startRedis } from '../../modules/zbus/testing/redis.ts';
import { float64 } from '../../modules/zbus/wire.ts';
import { GoBus, hasGo, type Run } from './peers/go-zbus.ts';
import { calculator, PLAIN_QUEUE } from './peers/zbus.ts';
import { decodeListMs, encodesPerSecond } from './peers/zbus-codec.ts';

/** The sides are measured in turns, so that what else the machine does hits all. */
const TURNS = 6;
const TURN_MS = 400;
const WARM_UP_MS = 500;
const CALLERS = [1, 64] as const;
const GO_METRICS = [
  'per_second',
  'p50_ms',
  'p99_ms',
  'commands_per_call',
  'connections_per_call',
  'ratio',
  'p50_ratio',
];

type Add = (a: number, b: number) => Promise<number>;
type Side = (callers: number, milliseconds: number) => Promise<Run>;

export async function bench(): Promise<{
  name: string;
  metrics: Record<string, number>;
  missing: Record<string, string>;
}> {
  const metrics: Record<string, number> = {
    request_encodes_per_second: encodesPerSecond(),
    list_decode_ms: round(decodeListMs()),
  };
  const redis = await startRedis();
  const peers = await Promise.all(['zbus', 'plain'].map((kind) => startPeer(kind, redis.broker)));
  const client = new ZbusClient({ broker: redis.broker });
  const plain = plainCallers(redis.socket, Math.max(...CALLERS));
  const go = hasGo ? await GoBus.start(redis.broker) : undefined;
  const control = new Redis({ path: redis.socket, protocol: 2 });
  try {
    const calls = client.of(calculator);
    const sides: Record<string, Side> = {
      zbus: (callers, milliseconds) => run(callers, () => (a, b) => calls.Add({ a, b }), milliseconds),
      plain: (callers, milliseconds) => run(callers, (index) => plain.adds[index] as Add, milliseconds),
      ...(go === undefined ? {} : { go: (callers: number, milliseconds: number) => go.run(callers, milliseconds) }),
    };
    for (const callers of CALLERS) {
      const found = await measure(callers, sides, control);
      for (const [side, figures] of Object.entries(found)) {
        for (const [key, value] of Object.entries(figures)) metrics[`${side}_${callers}_${key}`] = value;
      }
      const { zbus, plain: peer, go: library } = found;
      if (zbus === undefined || peer === undefined) continue;
      metrics[`ratio_${callers}`] = round(zbus.per_second / peer.per_second);
      // The median of single calls is less shaken by what else the machine does.
      metrics[`p50_cost_${callers}`] = round(zbus.p50_ms / peer.p50_ms);
      if (library === undefined) continue;
      metrics[`go_${callers}_ratio`] = round(zbus.per_second / library.per_second);
      metrics[`go_${callers}_p50_ratio`] = round(library.p50_ms / zbus.p50_ms);
    }
    return { name: 'zbus', metrics, missing: go === undefined ? withoutGo() : {} };
  } finally {
    plain.close();
    control.disconnect();
    await client.close();
    await go?.stop();
    await Promise.all(peers.map(end));
    await redis.stop();
  }
}

function withoutGo(): Record<string, string> {
  const names = CALLERS.flatMap((callers) => GO_METRICS.map((metric) => `go_${callers}_${metric}`));
  return Object.fromEntries(names.map((name) => [name, 'needs Go 1.23 or newer']));
}

interface Figures {
  readonly per_second: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  /** What the broker was asked for, by both sides. */
  readonly commands_per_call: number;
  readonly connections_per_call: number;
}

/** Commands and connections that a broker has had. */
interface Load {
  commands: number;
  connections: number;
}

async function measure(callers: number, sides: Record<string, Side>, control: Redis): Promise<Record<string, Figures>> {
  const runs = new Map<string, Run[]>();
  const loads = new Map<string, Load>();
  for (const side of Object.values(sides)) await side(callers, WARM_UP_MS);
  for (let turn = 0; turn < TURNS; turn++) {
    for (const [name, side] of Object.entries(sides)) {
      const before = await loadOf(control);
      const made = await side(callers, TURN_MS);
      const after = await loadOf(control);
      runs.set(name, [...(runs.get(name) ?? []), made]);
      const load = loads.get(name) ?? { commands: 0, connections: 0 };
      load.commands += after.commands - before.commands;
      load.connections += after.connections - before.connections;
      loads.set(name, load);
    }
  }
  return Object.fromEntries(
    [...runs].map(([name, made]) => [name, figures(made, loads.get(name) ?? { commands: 0, connections: 0 })]),
  );
}

async function loadOf(control: Redis): Promise<Load> {
  const stats = await control.info('stats');
  const read = (field: string): number => Number(new RegExp(`^${field}:(\\d+)`, 'm').exec(stats)?.[1]);
  return { commands: read('total_commands_processed'), connections: read('total_connections_received') };
}

function figures(runs: readonly Run[], load: Load): Figures {
  const latencies = runs.flatMap((each) => each.latencies).sort((a, b) => a - b);
  const rates = runs.map((each) => each.latencies.length / each.seconds).sort((a, b) => a - b);
  const at = (part: number): number => round(latencies[Math.floor(latencies.length * part)] ?? 0);
  return {
    per_second: Math.round(rates[TURNS / 2] ?? 0),
    p50_ms: at(0.5),
    p99_ms: at(0.99),
    commands_per_call: round(load.commands / latencies.length),
    connections_per_call: round(load.connections / latencies.length),
  };
}

async function run(callers: number, callerOf: (index: number) => Add, milliseconds: number): Promise<Run> {
  const latencies: number[] = [];
  const started = performance.now();
  const one = async (index: number): Promise<void> => {
    const add = callerOf(index);
    for (let count = 0; performance.now() - started < milliseconds; count++) {
      const before = performance.now();
      const sum = await add(count, 1);
      if (sum !== count + 1) throw new Error(`a call answered ${sum} for ${count} + 1`);
      latencies.push(performance.now() - before);
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, index) => one(index)));
  return { latencies, seconds: (performance.now() - started) / 1000 };
}

/** Callers as the Go client works: a reply list per call, but on a lasting connection. */
function plainCallers(path: string, count: number): { adds: Add[]; close: () => void } {
  const connections = Array.from({ length: count }, () => new Redis({ path, protocol: 2 }));
  const object = { Name: calculator.object, Version: calculator.version };
  const adds = connections.map(
    (redis): Add =>
      async (a, b) => {
        const id = randomUUID();
        const inputs = [encode(float64, a), encode(float64, b)];
        const frame = encodeRequest({ id, inputs, object, replyTo: id, method: 'Add' });
        const [, found] = await Promise.all([redis.rpush(PLAIN_QUEUE, frame), redis.blpopBuffer(id, 10)]);
        const response = decodeResponse(found?.[1] ?? new Uint8Array(0));
        return decode(float64, response.data ?? new Uint8Array(0));
      },
  );
  return {
    adds,
    close: () => {
      for (const redis of connections) redis.disconnect();
    },
  };
}

async function startPeer(kind: string, broker: string): Promise<ChildProcess> {
  const script = new URL('./peers/zbus.ts', import.meta.url).pathname;
  const peer = spawn(process.execPath, [script, kind, broker], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(peer.stdout, 'data', { signal: AbortSignal.timeout(20_000) });
  return peer;
}

async function end(peer: ChildProcess): Promise<void> {
  if (peer.exitCode !== null || peer.signalCode !== null) return;
  peer.kill('SIGKILL');
  await once(peer, 'exit');
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await bench())}\n`);
