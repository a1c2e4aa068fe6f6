/** What a relay weighs that holds 10,000 sessions which say nothing: proportional set size in MiB. */
import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { nodeOptions } from '../../cli/node/unit-file.ts';
import { startRedis } from '../../modules/zbus/testing/redis.ts';
import { end, start } from './peers/child.ts';
import { DOMAIN } from './peers/twins.ts';

const SESSIONS = 10_000;
/** Beside sessions a relay has its store, its log and some who ask for numbers. */
const FILES = SESSIONS + 500;
const CONNECT_MS = 120_000;
/** Longer than the pause between two pings: each session has answered one. */
const HOLD_MS = 17_000;

async function proportionalMib(pid: number): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1]) / 1024;
}

async function checkFiles(pid: number): Promise<void> {
  const limits = await readFile(`/proc/${pid}/limits`, 'utf8');
  const hard = Number(/^Max open files\s+\d+\s+(\d+)/m.exec(limits)?.[1]);
  if (hard < FILES) throw new Error(`a process here may open ${hard} files, not ${FILES}; raise the limit, ulimit -Hn`);
}

/** Seconds until all are connected. */
async function connected(port: number): Promise<number> {
  const started = performance.now();
  while ((await sessionsOf(port)) < SESSIONS) {
    if (performance.now() - started > CONNECT_MS) {
      throw new Error(`${await sessionsOf(port)} of ${SESSIONS} sessions after ${CONNECT_MS} ms`);
    }
    await sleep(100);
  }
  return (performance.now() - started) / 1000;
}

async function sessionsOf(port: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(/^relay_worker_connections\{worker="0"\} (\d+)$/m.exec(text)?.[1]);
}

export async function bench(): Promise<{ name: string; metrics: Record<string, number> }> {
  const redis = await startRedis();
  const children: ChildProcess[] = [];
  const run = async (script: string, ...args: string[]): Promise<Readonly<Record<string, unknown>>> => {
    const { child, ready } = await start(join(import.meta.dirname, script), args, { NODE_OPTIONS: nodeOptions });
    children.push(child);
    return ready;
  };
  try {
    await checkFiles(process.pid);
    await run('peers/grid.ts', redis.broker, 'ed25519');
    const flags = ['--listen', '127.0.0.1:0', '--domain', DOMAIN, '--log-level', 'info'];
    const { port } = await run('../../gateway/relay/main.ts', '--broker', redis.broker, ...flags);
    const pid = children.at(-1)?.pid ?? 0;
    const empty = await proportionalMib(pid);
    await run('peers/idle-clients.ts', `${port}`, `${SESSIONS}`);
    const seconds = await connected(Number(port));
    await sleep(HOLD_MS);
    const sessions = await sessionsOf(Number(port));
    const full = await proportionalMib(pid);
    const round = (value: number): number => Math.round(value * 10) / 10;
    return {
      name: 'relay-idle',
      metrics: {
        sessions,
        relay_mib: round(full),
        empty_mib: round(empty),
        kib_per_session: round(((full - empty) * 1024) / sessions),
        handshakes_per_second: Math.round(SESSIONS / seconds),
      },
    };
  } finally {
    await Promise.all(children.map(end));
    await redis.stop();
  }
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await bench())}\n`);
