import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { provision } from '../../provision/interface.ts';
import type { Service } from '../zbus/definition.ts';
import { type Client, ZbusClient, ZbusError, ZbusServer } from '../zbus/index.ts';
import { startRedis, type TestRedis } from '../zbus/testing/redis.ts';
import { machineConfig } from './config.ts';
import { vmd } from './interface.ts';
import { bootId, isAlive, type ProcessIdentity } from './processes.ts';
import { leftovers } from './testing/leftovers.ts';
import { canRunMachines, makeRig, type Rig, stillFor, testVM, textOf, until } from './testing/rig.ts';

const namespace = `gnvm${process.pid}`;
const tap = `t-vm${process.pid % 100_000}`;
const BOOT_MS = 60_000;

describe.skipIf(!canRunMachines)('vmd on the bus', { timeout: 180_000 }, () => {
  let rig: Rig;
  let redis: TestRedis;
  let bus: ZbusClient;
  let client: Client<typeof vmd>;
  let daemon: ChildProcess | undefined;

  const inside = (...words: string[]): string =>
    execFileSync('ip', ['netns', 'exec', namespace, ...words], { timeout: 10_000 }).toString();
  const startDaemon = async (): Promise<void> => {
    const main = join(import.meta.dirname, 'main.ts');
    const flags = ['--broker', redis.broker, '--state', rig.state, '--accel', 'tcg', '--log-level', 'warn'];
    daemon = spawn('ip', ['netns', 'exec', namespace, process.execPath, main, ...flags], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const ready = (): Promise<boolean> =>
      bus.status('vmd', { deadlineMs: 500 }).then(
        () => true,
        () => false,
      );
    await until('vmd answers', ready, BOOT_MS);
  };
  const endDaemon = async (signal: NodeJS.Signals): Promise<void> => {
    const ending = daemon;
    daemon = undefined;
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return;
    const ended = once(ending, 'exit');
    ending.kill(signal);
    await ended;
  };
  const processesOf = async (name: string): Promise<ProcessIdentity[]> =>
    (JSON.parse(await readFile(join(rig.state, 'vmd/vms', `${name}.json`), 'utf8')) as { processes: ProcessIdentity[] })
      .processes;

  beforeAll(async () => {
    rig = await makeRig();
    redis = await startRedis();
    bus = new ZbusClient({ broker: redis.broker });
    client = bus.of(vmd);
    execFileSync('ip', ['netns', 'add', namespace]);
    inside('ip', 'link', 'set', 'lo', 'up');
    inside('ip', 'tuntap', 'add', 'dev', tap, 'mode', 'tap');
    inside('ip', 'addr', 'add', '10.77.0.1/24', 'dev', tap);
    inside('ip', '-6', 'addr', 'add', 'fd77::1/64', 'dev', tap, 'nodad');
    inside('ip', 'link', 'set', tap, 'up');
  }, 120_000);
  afterEach(() => endDaemon('SIGTERM'), 120_000);
  // A test that failed half way must not fail the next one with what it left.
  beforeEach(async () => {
    if ((await leftovers(rig.state)).length === 0) return;
    await startDaemon();
    for (const name of await client.List({})) await client.Delete({ name }, { deadlineMs: 20_000 });
    await endDaemon('SIGTERM');
  }, 120_000);
  afterAll(async () => {
    await bus?.close();
    await redis?.stop();
    await rig?.close();
    execFileSync('ip', ['netns', 'del', namespace]);
  }, 120_000);

  it('runs a machine with an address, survives kill -9 of vmd, and deletes it', async () => {
    await startDaemon();
    const root = await rig.root(
      'net',
      `ip addr show eth0 >/addr; ip route >/routes; ip -6 route >/routes6; cat /etc/resolv.conf >/resolv
       i=0; while :; do i=$((i + 1)); echo tick $i; sleep 0.1; done`,
    );
    const name = '7-8-net';
    const v4 = (last: number) => Uint8Array.of(10, 77, 0, last);
    const v6 = (last: number) => Uint8Array.of(0xfd, 0x77, ...new Array<number>(13).fill(0), last);
    const vm = testVM(rig, name, root, {
      Network: {
        Ifaces: [
          {
            Tap: tap,
            MAC: '52:54:00:aa:bb:cc',
            IPs: [
              { IP: v4(2), Mask: Uint8Array.of(255, 255, 255, 0) },
              { IP: v6(2), Mask: new Uint8Array(16).fill(255, 0, 8) },
            ],
            Routes: [
              { Net: { IP: Uint8Array.of(10, 99, 0, 0), Mask: Uint8Array.of(255, 255, 0, 0) }, Gateway: null },
              { Net: { IP: Uint8Array.of(100, 64, 0, 0), Mask: Uint8Array.of(255, 255, 0, 0) }, Gateway: v4(1) },
            ],
            IP4DefaultGateway: v4(1),
            IP6DefaultGateway: v6(1),
            PublicIPv4: false,
            PublicIPv6: false,
            NetID: 'net',
          },
        ],
        Nameservers: [Uint8Array.of(8, 8, 8, 8), Uint8Array.of(1, 1, 1, 1)],
      },
    });
    expect(await client.Run({ vm }, { deadlineMs: 20_000 })).toEqual({ ConsoleURL: '' });
    await until(
      'guest is up',
      () => textOf(join(root, 'resolv')),
      BOOT_MS,
      () => client.Logs({ name }),
    );
    expect(await textOf(join(root, 'addr'))).toMatch(/inet 10\.77\.0\.2\/24/);
    const routes = await textOf(join(root, 'routes'));
    expect(routes).toMatch(/^default via 10\.77\.0\.1 dev eth0/m);
    expect(routes).toMatch(/^10\.99\.0\.0\/16 dev eth0/m);
    expect(routes).toMatch(/^100\.64\.0\.0\/16 via 10\.77\.0\.1 dev eth0/m);
    expect(await textOf(join(root, 'addr'))).toMatch(/inet6 fd77::2\/64/);
    expect(await textOf(join(root, 'routes6'))).toMatch(/^default via fd77::1 dev eth0/m);
    expect(await textOf(join(root, 'resolv'))).toBe('nameserver 8.8.8.8\nnameserver 1.1.1.1\n');
    expect(inside('/bin/busybox', 'ping', '-c', '3', '-i', '0.2', '-W', '2', '10.77.0.2')).toMatch(/ 0% packet loss/);

    inside('/bin/busybox', 'ping', '-c', '1', '-W', '5', 'fd77::2');
    expect(await client.List({})).toEqual([name]);
    expect(await client.Exists({ name })).toBe(true);
    expect(await client.Inspect({ name })).toEqual({ HtEnabled: false, Memory: 256, CPU: 1 });
    const metric = (await client.Metrics({})).get(name);
    expect(metric?.Private.NetTxPackets).toBeGreaterThanOrEqual(3);
    expect(metric?.Private.NetRxBytes).toBeGreaterThanOrEqual(3 * 84);
    expect(metric?.Public.NetRxBytes).toBe(0);
    expect(await client.Run({ vm }, { deadlineMs: 20_000 })).toEqual({ ConsoleURL: '' });

    await client.Lock({ name, lock: true });
    const processes = await processesOf(name);
    await endDaemon('SIGKILL');
    expect(processes.every(isAlive)).toBe(true);
    await startDaemon();
    expect(await client.Exists({ name })).toBe(true);
    expect(await processesOf(name)).toEqual(processes);
    // Still paused, as its owner wished, and its console goes on where it stopped.
    const before = await stillFor(400, () => client.Logs({ name }));
    await client.Lock({ name, lock: false });
    await until('console goes on', async () => (await client.Logs({ name })) !== before, BOOT_MS);
    await endDaemon('SIGTERM');
    expect(processes.every(isAlive)).toBe(true);
    await startDaemon();
    const readTicks = async (): Promise<number[]> =>
      [...(await client.LogsFull({ name })).matchAll(/^tick (\d+)\r?\n/gm)].map(([, tick]) => Number(tick));
    const seen = (await readTicks()).length;
    await until('console goes on after the restart', async () => (await readTicks()).length > seen + 3, BOOT_MS);
    const ticks = await readTicks();
    expect(ticks).toEqual(ticks.map((_, index) => index + 1));

    await client.Delete({ name }, { deadlineMs: 20_000 });
    expect(await client.Exists({ name })).toBe(false);
    expect(await leftovers(rig.state)).toEqual([]);
    await client.Delete({ name });
  });

  it('answers bad input with the grid’s sentences and typed errors', async () => {
    await startDaemon();
    const vm = testVM(rig, '7-8-bad', '/nonexistent');
    const refused = (over: object) =>
      client.Run({ vm: { ...vm, ...over } }).catch((error: unknown) => error as ZbusError);
    const small = (await refused({ Memory: 1 })) as ZbusError;
    expect(small).toBeInstanceOf(ZbusError);
    expect(small.message).toContain('invalid memory must not be less than 250M');
    expect(small.remote?.code).toBe('machine_invalid');
    expect(((await refused({})) as ZbusError).remote?.code).toBe('machine_resource_missing');
    const name = '7-8-unknown';
    await expect(client.Inspect({ name })).rejects.toThrow(/no virtual machine '7-8-unknown'/);
    await expect(client.Lock({ name, lock: true })).rejects.toThrow(/no virtual machine/);
    await expect(client.Logs({ name })).rejects.toThrow(/no virtual machine/);
    await expect(client.StreamCreate({ name, stream: { ID: '', Namespace: '', Output: '' } })).rejects.toThrow(
      'missing stream id',
    );
    await expect(
      client.StreamCreate({ name, stream: { ID: 's', Namespace: '', Output: 'redis://x' } }),
    ).rejects.toThrow(/does not offer/);
    await client.StreamDelete({ id: 's' });
    expect(await leftovers(rig.state)).toEqual([]);
  });

  it('tells the owner of a machine that it gave up, forgets one of an earlier boot, survives a broken record', async () => {
    const heard: { id: string; reason: string }[] = [];
    const owner = new ZbusServer({ module: 'provision', broker: redis.broker });
    const others = Object.keys(provision.methods).map((method) => [method, () => Promise.reject(new Error(method))]);
    const service = {
      ...Object.fromEntries(others),
      DecommissionCached: (args: { id: string; reason: string }) => {
        heard.push(args);
      },
    };
    owner.serve(provision, service as unknown as Service<typeof provision>);
    await owner.start();
    try {
      const root = await rig.root('old', 'true');
      const record = { version: 1, reason: '', paused: false, processes: [], crashes: [], bootId: await bootId() };
      const folder = join(rig.state, 'vmd/vms');
      await mkdir(folder, { recursive: true });
      const write = (name: string, over: object): Promise<void> =>
        writeFile(
          join(folder, `${name}.json`),
          JSON.stringify({ ...record, config: machineConfig(testVM(rig, name, root)), ...over }),
        );
      await write('1-1-gone', { state: 'given_up', reason: 'crashed too often' });
      await write('1-1-old', {
        state: 'running',
        bootId: 'an earlier one',
        processes: [{ role: 'qemu', pid: 1, startTicks: '1' }],
      });
      await writeFile(join(folder, 'broken.json'), '{');
      await startDaemon();
      await until('owner was told', () => heard[0], BOOT_MS);
      expect(heard[0]).toMatchObject({ id: '1-1-gone', reason: 'crashed too often' });
      expect(await client.List({})).toEqual([]);
      await until('records are gone', async () => (await leftovers(rig.state)).length === 1, BOOT_MS);
      expect(await leftovers(rig.state)).toEqual([join(folder, 'broken.json')]);
    } finally {
      await owner.stop();
    }
  });
});
