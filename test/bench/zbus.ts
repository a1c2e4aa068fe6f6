/**
 * Round trips of calls over the bus, with one and with 64 callers, beside a
 * plain peer in the same run: RPUSH and BLPOP per call on a connection each.
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
import { calculator, PLAIN_QUEUE } from './peers/zbus.ts';

/** The two are measured in turns, so that what else the machine does hits both. */
const TURNS = 6;
const TURN_MS = 400;
const WARM_UP_MS = 500;
const CALLERS = [1, 64] as const;

type Add = (a: number, b: number) => Promise<number>;

export async function bench(): Promise<{ name: string; metrics: Record<string, number> }> {
  const redis = await startRedis();
  const peers = await Promise.all(['zbus', 'plain'].map((kind) => startPeer(kind, redis.broker)));
  const client = new ZbusClient({ broker: redis.broker });
  const plain = plainCallers(redis.socket, Math.max(...CALLERS));
  try {
    const calls = client.of(calculator);
    const metrics: Record<string, number> = {};
    for (const callers of CALLERS) {
      const [bus, peer] = await measure(callers, [
        () => (a, b) => calls.Add({ a, b }),
        (index) => plain.adds[index] as Add,
      ]);
      for (const [key, value] of Object.entries(bus)) metrics[`zbus_${callers}_${key}`] = value;
      for (const [key, value] of Object.entries(peer)) metrics[`plain_${callers}_${key}`] = value;
      metrics[`ratio_${callers}`] = round(bus.per_second / peer.per_second);
      // The median of single calls is less shaken by what else the machine does.
      metrics[`p50_cost_${callers}`] = round(bus.p50_ms / peer.p50_ms);
    }
    return { name: 'zbus', metrics };
  } finally {
    plain.close();
    await client.close();
    await Promise.all(peers.map(end));
    await redis.stop();
  }
}

interface Figures {
  readonly per_second: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
}

type CallerOf = (index: number) => Add;

async function measure(callers: number, sides: readonly [CallerOf, CallerOf]): Promise<[Figures, Figures]> {
  for (const side of sides) await run(callers, side, WARM_UP_MS);
  const runs: [Run[], Run[]] = [[], []];
  for (let turn = 0; turn < TURNS; turn++) {
    runs[0].push(await run(callers, sides[0], TURN_MS));
    runs[1].push(await run(callers, sides[1], TURN_MS));
  }
  return [figures(runs[0]), figures(runs[1])];
}

function figures(runs: readonly Run[]): Figures {
  const latencies = runs.flatMap((each) => each.latencies).sort((a, b) => a - b);
  const rates = runs.map((each) => each.latencies.length / each.seconds).sort((a, b) => a - b);
  const at = (part: number): number => round(latencies[Math.floor(latencies.length * part)] ?? 0);
  return { per_second: Math.round(rates[TURNS / 2] ?? 0), p50_ms: at(0.5), p99_ms: at(0.99) };
}

interface Run {
  readonly latencies: number[];
  readonly seconds: number;
}

async function run(callers: number, callerOf: CallerOf, milliseconds: number): Promise<Run> {
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
