/** One suite for networkd over the kernel, in a namespace of its own, and over books. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { simulatedHost } from '../host/simulation.ts';
import { ZbusClient } from '../zbus/client.ts';
import type { Client } from '../zbus/definition.ts';
import { ZbusServer } from '../zbus/server.ts';
import { startRedis, type TestRedis } from '../zbus/testing/redis.ts';
import { openSimulatedLinks } from './drivers/simulated.ts';
import { network, networkInventory } from './interface.ts';
import { networkInventoryService } from './inventory.ts';
import { Networks } from './networks.ts';
import { formatIp } from './plan/address.ts';
import { WireguardPorts } from './ports.ts';
import { networkService } from './service.ts';
import { NetworkStore } from './store.ts';
import { networkRequest, TestNode } from './testing/node.ts';

interface Kind {
  readonly name: string;
  readonly works: boolean;
  /** Starts networkd, again after `restart`. */
  readonly start: () => Promise<ZbusClient>;
  readonly restart: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

function overKernel(): Kind {
  const node = new TestNode();
  return {
    name: 'the kernel',
    works: process.getuid?.() === 0,
    start: async () => {
      await node.start();
      await node.startDaemon();
      return node.bus;
    },
    restart: async () => {
      await node.stopDaemon('SIGKILL');
      await node.startDaemon();
    },
    stop: () => node.stop(),
  };
}

function overBooks(): Kind {
  const log = pino({ level: 'silent' });
  const root = mkdtempSync(join(tmpdir(), 'gn-nc-'));
  let redis: TestRedis | undefined;
  let server: ZbusServer | undefined;
  let bus: ZbusClient | undefined;
  const serve = async (): Promise<void> => {
    const host = simulatedHost({ delayMs: 0, refuse: () => undefined });
    const links = openSimulatedLinks(join(root, 'links.json'), host, root);
    const { store } = await NetworkStore.open(root);
    const ports = new WireguardPorts(async () => new Set());
    const networks = new Networks({ store, ports, fabric: links.fabric, taps: links.taps, log });
    await networks.adopt();
    server = new ZbusServer({ module: 'network', broker: redis?.broker ?? '', log });
    server.serve(network, networkService({ networks, taps: links.taps, ports, host: links.host, log }));
    server.serve(networkInventory, networkInventoryService({ networks, taps: links.taps }));
    await server.start();
  };
  return {
    name: 'books',
    works: true,
    start: async () => {
      redis = await startRedis();
      await serve();
      bus = new ZbusClient({ broker: redis.broker, log });
      return bus;
    },
    restart: async () => {
      await server?.stop();
      await serve();
    },
    stop: async () => {
      await server?.stop();
      await bus?.close();
      await redis?.stop();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

for (const kind of [overKernel(), overBooks()]) {
  describe.skipIf(!kind.works)(`networkd over ${kind.name}`, () => {
    let client: Client<typeof network>;
    let inventory: Client<typeof networkInventory>;
    const refusal = (code: string) => expect.objectContaining({ remote: expect.objectContaining({ code }) });
    const addressesOf = async (netns: string, iface: string): Promise<string[]> =>
      (await client.Addrs({ iface, netns }))[0].flatMap((ip) => (ip === null ? [] : [formatIp(ip)]));

    beforeAll(async () => {
      const bus = await kind.start();
      [client, inventory] = [bus.of(network), bus.of(networkInventory)];
    });
    afterAll(() => kind.stop());

    it('makes a network with its gateway, its tunnel and its port', async () => {
      const request = networkRequest('confa', { WGListenPort: 4301 });
      const netns = await client.CreateNR({ wl: '1-1-a', network: request });
      expect(netns.endsWith('n-confa')).toBe(true);
      expect(await client.CreateNR({ wl: '1-1-a', network: request })).toBe(netns);
      expect(await client.GetSubnet({ networkID: 'confa' })).toEqual(request.Subnet);
      expect(await addressesOf(netns, 'n-confa')).toContain('10.20.2.1');
      expect(await addressesOf(netns, 'w-confa')).toContain('100.64.20.2');
      expect(await client.WireguardPorts({})).toContain(4301);
      expect([...(await client.Metrics({})).keys()]).toEqual(['1-1-a']);
    });

    it('tells of ports that are asked for what the list has of them', async () => {
      const listed = await client.WireguardPorts({});
      const asked = [4300, 4301, 4302, 80, 9651];
      const taken = await inventory.PortsTaken({ ports: asked });
      expect(taken).toEqual([4301, 80, 9651]);
      expect(taken).toEqual(asked.filter((port) => listed?.includes(port)));
      expect(await inventory.PortsTaken({ ports: [] })).toEqual([]);
    });

    it('gives a port and a tap to one network alone', async () => {
      const other = networkRequest('confb', { subnet: '10.21.2.0/24', range: '10.21.0.0/16', WGListenPort: 4301 });
      await expect(client.CreateNR({ wl: '1-2-b', network: other })).rejects.toEqual(refusal('network_port_taken'));
      await client.CreateNR({ wl: '1-2-b', network: { ...other, WGListenPort: 4302 } });
      expect(await client.SetupPrivTap({ networkID: 'confa', name: 'one' })).toBe('t-one');
      expect(await client.SetupPrivTap({ networkID: 'confa', name: 'one' })).toBe('t-one');
      await expect(client.SetupPrivTap({ networkID: 'confb', name: 'one' })).rejects.toEqual(
        refusal('network_tap_taken'),
      );
      await expect(client.SetupPrivTap({ networkID: 'confa', name: 'far too long a name' })).rejects.toEqual(
        refusal('network_invalid'),
      );
      await expect(client.SetupPrivTap({ networkID: 'none', name: 'two' })).rejects.toEqual(refusal('network_unknown'));
    });

    it('finds networks and taps again after a start', async () => {
      await kind.restart();
      expect(await client.TapExists({ name: 'one' })).toBe(true);
      expect(await client.WireguardPorts({})).toEqual(expect.arrayContaining([4301, 4302]));
      expect(await addressesOf(await client.Namespace({ id: 'confb' }), 'n-confb')).toContain('10.21.2.1');
    });

    it('takes a network away with its taps, and both again', async () => {
      for (const wl of ['1-1-a', '1-2-b', '1-1-a']) await client.DeleteNR({ wl });
      expect(await client.TapExists({ name: 'one' })).toBe(false);
      await client.RemoveTap({ name: 'one' });
      await expect(client.GetSubnet({ networkID: 'confa' })).rejects.toEqual(refusal('network_unknown'));
      const namespace = await client.Namespace({ id: 'confa' });
      await expect(client.Addrs({ iface: 'n-confa', netns: namespace })).rejects.toEqual(
        refusal('network_device_unknown'),
      );
      expect(await client.WireguardPorts({})).not.toContain(4301);
      expect((await client.Metrics({})).size).toBe(0);
    });
  });
}
