/** The measurements on a real bus, beside daemons that keep what they are told in memory. */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CapacityReport, PlanReport, planner, Refusal, statistics } from '../../../provision/interface.ts';
import { GridError } from '../../../schemas/errors/index.ts';
import { chain, Farm, Node as NodeRecord, substrateGateway } from '../../api-gateway/interface.ts';
import { network } from '../../networkd/interface.ts';
import { storage } from '../../storaged/interface.ts';
import { ZbusClient } from '../../zbus/client.ts';
import { zero } from '../../zbus/codec.ts';
import type { InterfaceDefinition, Service } from '../../zbus/definition.ts';
import { ZbusServer } from '../../zbus/server.ts';
import { startRedis, type TestRedis } from '../../zbus/testing/redis.ts';
import { performanceMonitor, performanceRuns } from '../interface.ts';
import { startPerformance } from './start.ts';
import { TRIAL_NAME } from './trials.ts';

const log = pino({ level: 'silent' });
const RUN_MS = { deadlineMs: 60_000 };

/** What the daemons beside noded hold and do. */
const held = new Map<string, number>();
const made: string[] = [];
let refuses: string | undefined;

let folder: string;
let redis: TestRedis;
let bus: ZbusClient;
const servers: ZbusServer[] = [];
let stop: (() => Promise<void>) | undefined;
const listener = createServer((socket) => socket.destroy());

function partly<D extends InterfaceDefinition>(definition: D, answers: Partial<Service<D>>): Service<D> {
  const refuse = (): never => {
    throw new Error('not asked for');
  };
  const others = Object.fromEntries(Object.keys(definition.methods).map((name) => [name, refuse]));
  return { ...others, ...answers } as unknown as Service<D>;
}

async function serve(module: string, register: (server: ZbusServer) => void): Promise<void> {
  const server = new ZbusServer({ module, broker: redis.broker });
  register(server);
  servers.push(server);
  await server.start();
}

function make(kind: string, name: string, size: number): void {
  if (refuses === kind) throw new Error(`no ${kind} today`);
  made.push(`${kind} ${name}`);
  held.set(`${kind} ${name}`, size);
}

const sizeOf = (kind: string, name: string): number => {
  const size = held.get(`${kind} ${name}`);
  if (size === undefined) throw new Error(`${kind} ${name} is not there`);
  return size;
};

const usage = (size: number) => ({ Size: size, Used: 0 });

async function serveDaemons(): Promise<void> {
  await serve('storage', (server) =>
    server.serve(
      storage,
      partly(storage, {
        Cache: () => ({ Name: 'zos-cache', Path: folder, Usage: usage(0) }),
        VolumeCreate: ({ name, size }) => {
          make('volume', name, size);
          return { Name: name, Path: '', Usage: usage(size) };
        },
        VolumeLookup: ({ name }) => ({ Name: name, Path: '', Usage: usage(sizeOf('volume', name)) }),
        VolumeDelete: ({ name }) => void held.delete(`volume ${name}`),
        DiskCreate: ({ name, size }) => {
          if (refuses === 'disk for lack of room') {
            throw new GridError('storage_not_enough_space', {
              type: 'ssd',
              requested: size,
              free: 0,
              largestPool: 0,
              pools: 1,
            });
          }
          make('disk', name, size);
          return { Path: name, Size: size };
        },
        DiskLookup: ({ name }) => ({ Path: name, Size: sizeOf('disk', name) }),
        DiskDelete: ({ name }) => void held.delete(`disk ${name}`),
      }),
    ),
  );
  await serve('network', (server) =>
    server.serve(
      network,
      partly(network, {
        CreateNR: ({ wl, network: request }) => {
          make('network', wl, request.Peers.length);
          return '';
        },
        GetSubnet: ({ networkID }) => {
          sizeOf('network', networkID);
          return { IP: Uint8Array.from([192, 0, 2, 0]), Mask: Uint8Array.from([255, 255, 255, 0]) };
        },
        DeleteNR: ({ wl }) => void held.delete(`network ${wl}`),
      }),
    ),
  );
  await serve('provision', (server) => {
    server.serve(statistics, partly(statistics, { Workloads: () => 4 }));
    server.serve(
      planner,
      partly(planner, {
        Capacity: () => zero(CapacityReport),
        Plan: ({ deployment }) => ({
          ...zero(PlanReport),
          Refusals: [
            { ...zero(Refusal), Code: 'capacity_memory', Message: 'full' },
            { ...zero(Refusal), Code: 'capacity_unknown', Message: `odd: ${deployment.Workloads.length} workloads` },
          ],
        }),
      }),
    );
  });
  await serve('api-gateway', (server) => {
    server.serve(
      chain,
      partly(chain, {
        Node: () => ({ NodeID: 3, TwinID: 12, FarmID: 1, FarmerTwinID: 2, BlockNumber: 1, AgeSeconds: 0 }),
      }),
    );
    server.serve(
      substrateGateway,
      partly(substrateGateway, {
        GetTime: () => ({ seconds: BigInt(Math.floor(Date.now() / 1000)), nanoseconds: 0 }),
        GetNodes: () => [3, 8],
        GetNode: ({ id }) => ({ ...zero(NodeRecord), ID: id }),
        GetFarm: ({ id }) => ({
          ...zero(Farm),
          ID: id,
          PublicIPs: [{ IP: '185.69.166.10/24', Gateway: '185.69.166.1', ContractID: 9n }],
        }),
      }),
    );
  });
}

async function startNode(): Promise<void> {
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const url = `ws://127.0.0.1:${address.port}`;
  const server = new ZbusServer({ module: 'node', broker: redis.broker });
  const end = await startPerformance({ server, bus, log, root: folder, options: { chain: url, relay: url } });
  await server.start();
  stop = async () => {
    stop = undefined;
    await server.stop(200);
    await end();
  };
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'perf-bus-'));
  redis = await startRedis();
  bus = new ZbusClient({ broker: redis.broker });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  await serveDaemons();
  await startNode();
});

afterAll(async () => {
  await stop?.();
  for (const server of servers) await server.stop(200);
  await bus.close();
  await redis.stop();
  listener.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('the measurements of a node', { timeout: 90_000 }, () => {
  const monitor = () => bus.of(performanceMonitor);
  const runs = () => bus.of(performanceRuns);

  it('are those of the grid, with its schedules', async () => {
    const tasks = await runs().Tasks({});
    expect(tasks.map(({ Name, Schedule, JitterSeconds }) => [Name, Schedule, JitterSeconds])).toEqual([
      ['cpu-benchmark', '0 0 */6 * * *', 0],
      ['healthcheck', '0 */15 * * * *', 0],
      ['iperf', '0 0 */6 * * *', 1200],
      ['public-ip-validation', '0 0 */6 * * *', 600],
      ['provisiontest', '0 0 0 * * *', 1800],
    ]);
    await expect(monitor().Get({ taskName: 'iperf' })).rejects.toMatchObject({
      kind: 'call_failed',
      message: 'result not found',
    });
    await expect(runs().Run({ taskName: 'speedtest' })).rejects.toThrow("no measurement 'speedtest'");
  });

  it('find the node healthy when it is', async () => {
    const { Result } = await runs().Run({ taskName: 'healthcheck' }, RUN_MS);
    expect(Result).toEqual({ cache: [], network: [], clock: [] });
    expect(await monitor().Get({ taskName: 'healthcheck' })).toMatchObject({ Name: 'healthcheck', Result });
  });

  it('time the processor with the number of workloads', async () => {
    const { Result } = await runs().Run({ taskName: 'cpu-benchmark' }, RUN_MS);
    expect(Result).toMatchObject({ workloads: 4, threads: expect.any(Number), single: expect.any(Number) });
  });

  it('know the peers and public addresses of the farm', async () => {
    expect(await runs().Run({ taskName: 'iperf' }, RUN_MS)).toMatchObject({ Result: [] });
    expect(await runs().Run({ taskName: 'public-ip-validation' }, RUN_MS)).toMatchObject({
      Result: { '185.69.166.10/24': { state: 'skipped', reason: 'ip is already assigned to a contract' } },
    });
  });

  it('try provisioning and leave nothing, whatever fails', async () => {
    made.length = 0;
    held.clear();
    refuses = undefined;
    const unplanned = 'odd: 3 workloads';
    expect(await runs().Run({ taskName: 'provisiontest' }, RUN_MS)).toMatchObject({ Result: [unplanned] });
    expect(made).toEqual(['volume', 'disk', 'network'].map((kind) => `${kind} ${TRIAL_NAME}`));
    expect([...held]).toEqual([]);

    refuses = 'network';
    const failed = await runs().Run({ taskName: 'provisiontest' }, RUN_MS);
    expect(failed.Result).toEqual([unplanned, expect.stringContaining('failed to make a network: ')]);
    expect(failed.Result).toEqual([unplanned, expect.stringContaining('no network today')]);
    refuses = 'disk for lack of room';
    expect(await runs().Run({ taskName: 'provisiontest' }, RUN_MS)).toMatchObject({ Result: [unplanned] });
    refuses = undefined;
    expect([...held]).toEqual([]);
  });

  it('outlive a restart of the node and of its bus, and what a trial left goes', async () => {
    if (stop === undefined) await startNode();
    const before = await monitor().GetAll({});
    expect(before).toHaveLength(5);
    expect(statSync(join(folder, 'performance.json')).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(join(folder, 'performance.json'), 'utf8')).results).toHaveLength(5);
    await stop?.();
    held.set(`volume ${TRIAL_NAME}`, 1);
    await writeFile(join(folder, 'trial'), '');
    await redis.restart();
    await startNode();
    // A quarter of an hour may be over in between: then one of them is a newer one.
    const kept = async () => {
      const after = await monitor().GetAll({});
      return before.map((one, index) => {
        const { Name, Timestamp = 0n } = after[index] ?? {};
        return Name === one.Name && Timestamp > one.Timestamp ? one : after[index];
      });
    };
    await expect.poll(() => kept().catch(() => [])).toEqual(before);
    await expect.poll(() => [...held]).toEqual([]);
  });
});
