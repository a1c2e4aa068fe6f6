/** The daemon's own process on a real bus. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { planner } from '../../provision/interface.ts';
import { chain, Node as NodeRecord, substrateGateway } from '../api-gateway/interface.ts';
import { ZbusClient } from '../zbus/client.ts';
import { zero } from '../zbus/codec.ts';
import type { InterfaceDefinition, Service } from '../zbus/definition.ts';
import { ZbusServer } from '../zbus/server.ts';
import { startRedis, type TestRedis } from '../zbus/testing/redis.ts';
import { nodeHost, nodeMachine, nodeSystem } from './interface.ts';

const MAIN = new URL('main.ts', import.meta.url).pathname;
const STREAM_DEADLINE_MS = 20_000;

let folder: string;
let redis: TestRedis;
let bus: ZbusClient;
const children: ChildProcess[] = [];
const servers: ZbusServer[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'noded-'));
  redis = await startRedis();
  bus = new ZbusClient({ broker: redis.broker });
});

afterAll(async () => {
  for (const child of children) await end(child);
  for (const server of servers) await server.stop(200);
  await bus.close();
  await redis.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

/** Starts noded with a folder of programs before all others, and waits until its module answers. */
async function startNoded(programs: string, ...flags: readonly string[]): Promise<ChildProcess> {
  const child = spawn(process.execPath, [MAIN, '--broker', redis.broker, '--state', folder, ...flags], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, PATH: `${programs}${delimiter}${process.env.PATH ?? ''}` },
  });
  children.push(child);
  await expect
    .poll(() =>
      bus.status('node', { deadlineMs: 500 }).then(
        ({ Objects }) => Objects.length,
        () => 0,
      ),
    )
    .not.toBe(0);
  return child;
}

/** An object of which only some methods are asked for. */
function partly<D extends InterfaceDefinition>(definition: D, answers: Partial<Service<D>>): Service<D> {
  const refuse = (): never => {
    throw new Error('not asked for');
  };
  const others = Object.fromEntries(Object.keys(definition.methods).map((name) => [name, refuse]));
  return { ...others, ...answers } as unknown as Service<D>;
}

/** What chaind and provisiond tell a node. */
async function startPartners(): Promise<void> {
  const Location = { City: 'Ghent', Country: 'Belgium', Latitude: '51.05', Longitude: '3.72' };
  const chaind = new ZbusServer({ module: 'api-gateway', broker: redis.broker });
  chaind.serve(
    chain,
    partly(chain, {
      Node: () => ({ NodeID: 11, TwinID: 12, FarmID: 1, FarmerTwinID: 2, BlockNumber: 1, AgeSeconds: 0 }),
    }),
  );
  const GetNode = ({ id }: { readonly id: number }) => ({ ...zero(NodeRecord), ID: id, Location });
  chaind.serve(substrateGateway, partly(substrateGateway, { GetNode }));
  const provisiond = new ZbusServer({ module: 'provision', broker: redis.broker });
  provisiond.serve(planner, partly(planner, { Features: () => ['zmount', 'network'] }));
  for (const server of [chaind, provisiond]) {
    servers.push(server);
    await server.start();
  }
}

describe('noded', { timeout: 60_000 }, () => {
  const system = () => bus.of(nodeSystem);
  const machine = () => bus.of(nodeMachine);

  it('starts without the daemons it asks, and says who is missing', async () => {
    const programs = join(folder, 'bin');
    const table = 'Handle 0x0100, DMI type 1, 27 bytes\\nSystem Information\\n\\tManufacturer: Acme\\n';
    const script = `#!/bin/sh\nprintf '# dmidecode 3.4\\n\\n${table}'\necho run >>"$0.runs"\n`;
    for (const child of children.splice(0)) await end(child);
    rmSync(programs, { recursive: true, force: true });
    mkdirSync(programs);
    writeFileSync(join(programs, 'dmidecode'), script, { mode: 0o755 });
    await startNoded(programs);
    const { Objects } = await bus.status('node');
    expect(Objects.map(({ Name }) => Name)).toEqual(expect.arrayContaining(['system', 'host', 'machine']));
    await expect(machine().Location({})).rejects.toThrow(/^failed to fetch location information$/);
    await expect(system().GetNodeFeatures({}, { deadlineMs: 20_000 })).rejects.toThrow(/paniced/);

    const tables = await Promise.all([machine().Dmi({}), machine().Dmi({}), machine().Dmi({})]);
    expect(tables[0]).toMatchObject({
      Aggregator: 'dmidecode 3.4',
      Decoder: expect.stringMatching(/^gridnode v\d/),
      Sections: [{ Type: 'System', TypeNumber: 1 }],
    });
    // Whoever asks how often, the program runs once.
    expect(tables[2]).toEqual(tables[0]);
    expect(readFileSync(join(programs, 'dmidecode.runs'), 'utf8')).toBe('run\n');
    for (const gpu of await machine().Gpus({})) expect(gpu.ID).toMatch(/^[0-9a-f]+:/);
    expect(await machine().Hypervisor({})).toMatch(/^[a-z]*$/);
  });

  it('knows itself from chain and provisiond', async () => {
    for (const server of servers.splice(0)) await server.stop(200);
    await startPartners();
    expect(await system().NodeID({})).toBe(11);
    expect(await system().GetNodeFeatures({})).toEqual(['zmount', 'network']);
  });

  it('streams what the machine does', async () => {
    const signal = AbortSignal.timeout(STREAM_DEADLINE_MS);
    const first = async <T>(events: AsyncIterable<T>): Promise<T> => {
      for await (const event of events) return event;
      throw new Error('the stream ended without a value');
    };
    const [cpu, memory, disks, nics, uptime] = await Promise.all([
      first(bus.stream(nodeSystem, 'CPU', { signal })),
      first(bus.stream(nodeSystem, 'Memory', { signal })),
      first(bus.stream(nodeSystem, 'Disks', { signal })),
      first(bus.stream(nodeSystem, 'Nics', { signal })),
      first(bus.stream(nodeHost, 'Uptime', { signal })),
    ]);
    expect(cpu.CPU).toBe('cpu-total');
    expect(cpu.Percent).toBeGreaterThanOrEqual(0);
    expect(cpu.Percent).toBeLessThanOrEqual(100);
    expect(memory.Used).toBeLessThanOrEqual(memory.Total);
    expect([...disks].every(([name, disk]) => disk.Name === name)).toBe(true);
    expect(nics.length).toBeGreaterThan(0);
    expect(uptime).toBeGreaterThan(1_000_000_000n);
  });
});

describe('where the node stands', { timeout: 60_000 }, () => {
  const place = () => bus.of(nodeMachine).Location({});

  it('is what the operator says', async () => {
    for (const child of children.splice(0)) await end(child);
    const child = await startNoded(folder, '--location', 'longitude=3.7,latitude=51,country=BE:Belgium');
    expect(await place()).toMatchObject({ Longitude: 3.7, Latitude: 51, CountryCode: 'BE', CountryName: 'Belgium' });
    await end(child);
  });

  it('is what the chain says where nobody else does', async () => {
    for (const child of children.splice(0)) await end(child);
    await startNoded(folder);
    expect(await place()).toMatchObject({ Longitude: 3.72, CityName: 'Ghent', CountryName: 'Belgium', Continent: '' });
  });
});
