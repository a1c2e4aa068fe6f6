/** Two nodes, each with its own bus: one serves measurements, the other measures against it. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ZbusClient } from '../../zbus/client.ts';
import { startRedis } from '../../zbus/testing/redis.ts';
import { performanceMonitor, performanceRuns } from '../interface.ts';

const MAIN = new URL('../main.ts', import.meta.url).pathname;
const SERVING = '127.0.0.91';
const RUN_DEADLINE_MS = 60_000;

const installed = (() => {
  try {
    execFileSync('iperf3', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

const undo: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const step of undo.reverse()) await step();
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, SERVING);
  await once(server, 'listening');
  const address = server.address();
  server.close();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

/** A node's noded on a bus of its own, once its module answers. */
async function startNode(...flags: readonly string[]): Promise<ZbusClient> {
  const folder = await mkdtemp(join(tmpdir(), 'noded-pair-'));
  undo.push(() => rm(folder, { recursive: true, force: true }));
  const redis = await startRedis();
  undo.push(() => redis.stop());
  const bus = new ZbusClient({ broker: redis.broker });
  undo.push(() => bus.close());
  const words = ['--broker', redis.broker, '--state', folder, ...flags];
  const child = spawn(process.execPath, [MAIN, ...words], { stdio: ['ignore', 'ignore', 'inherit'] });
  undo.push(() => end(child));
  const objects = () => bus.status('node', { deadlineMs: 500 }).then(({ Objects }) => Objects.length);
  await expect.poll(() => objects().catch(() => 0)).not.toBe(0);
  return bus;
}

interface Entry {
  readonly error: string;
  readonly test_type: string;
  readonly upload_speed: number;
  readonly download_speed: number;
}

describe.skipIf(!installed)('two nodes', () => {
  it('measure what passes between them, and keep it', { timeout: 120_000 }, async () => {
    const port = await freePort();
    await startNode('--iperf-listen', `${SERVING}:${port}`);
    const bus = await startNode('--iperf-peer', `${SERVING}:${port}`);
    const run = async (): Promise<readonly Entry[]> => {
      const limits = { deadlineMs: RUN_DEADLINE_MS };
      const { Result } = await bus.of(performanceRuns).Run({ taskName: 'iperf' }, limits);
      return Result as unknown as readonly Entry[];
    };
    let entries: readonly Entry[] = [];
    // The other node's program may take a moment until it listens.
    await expect
      .poll(
        async () => {
          entries = await run();
          return entries.map(({ test_type, error }) => [test_type, error]);
        },
        { timeout: 90_000 },
      )
      .toEqual([
        ['tcp', ''],
        ['udp', ''],
      ]);
    for (const { upload_speed, download_speed } of entries) {
      expect(upload_speed).toBeGreaterThan(1_000_000);
      expect(download_speed).toBeGreaterThan(1_000_000);
    }
    const kept = await bus.of(performanceMonitor).Get({ taskName: 'iperf' }, { deadlineMs: 20_000 });
    expect(kept.Result).toEqual(entries);
  });
});
