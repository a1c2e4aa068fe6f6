/** The same promises with real processes that are killed: servers by SIGKILL, brokers too. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ZbusClient } from '../../../modules/zbus/client.ts';
import { startRedis, type TestRedis } from '../../../modules/zbus/testing/redis.ts';
import { Ledger } from './ledger.ts';
import { worker } from './worker.ts';

const ROUNDS = 6;
const CALLS = 20;

let folder: string;
let redis: TestRedis;
let peek: Redis;
let journal: string;
let serving: ChildProcess | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gn-faults-'));
  journal = join(folder, 'journal');
  redis = await startRedis();
  peek = new Redis({ path: redis.socket, protocol: 2, maxRetriesPerRequest: null });
  peek.on('error', () => undefined);
});
afterAll(async () => {
  await kill();
  peek.disconnect();
  await redis.stop();
  await rm(folder, { recursive: true, force: true });
});

async function start(): Promise<void> {
  const script = join(import.meta.dirname, 'worker.ts');
  const child = spawn(process.execPath, [script, redis.broker, journal], { stdio: ['ignore', 'pipe', 'inherit'] });
  serving = child;
  await once(child.stdout, 'data');
}

async function kill(): Promise<void> {
  const child = serving;
  serving = undefined;
  if (child !== undefined && child.exitCode === null && child.kill('SIGKILL')) await once(child, 'exit');
}

it('W1: no call of a killed process runs twice or is forgotten', async () => {
  const ledger = new Ledger();
  const client = new ZbusClient({ broker: redis.broker });
  const calls: Promise<void>[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await start();
    for (let call = 0; call < CALLS; call++) {
      const id = `${round}/${call}`;
      const args = { id, key: `${call % 3}`, ms: call };
      calls.push(ledger.follow(id, 20_000, () => client.of(worker).One(args, { deadlineMs: 20_000 })));
    }
    await expect.poll(async () => (await readFile(journal, 'utf8').catch(() => '')).includes(`${round}/`)).toBe(true);
    await sleep(Math.random() * 40);
    if (round === ROUNDS - 2) await redis.restart(20);
    await kill();
  }
  await start();
  await Promise.all(calls);
  await client.close();
  for (const id of (await readFile(journal, 'utf8')).trim().split('\n')) ledger.runs(id);
  expect(ledger.faults()).toEqual([]);
  expect([...ledger.ends.keys()].toSorted()).toEqual(expect.arrayContaining(['answer', 'call_failed']));
  await expect.poll(async () => (await peek.keys('work.*')).length).toBe(0);
}, 120_000);
