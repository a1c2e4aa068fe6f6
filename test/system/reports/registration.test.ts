/** noded with the chain: the node's record, and since when it runs. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { network } from '../../../modules/networkd/interface.ts';
import type { ZbusServer } from '../../../modules/zbus/server.ts';
import { statistics } from '../../../provision/interface.ts';
import { ReportStand, servePartly } from './stand.ts';

const PATIENCE = { timeout: 40_000 };
const NODED = 'modules/noded/main.ts';
const GIB = 1024 ** 3;

let stand: ReportStand;
let servers: ZbusServer[] = [];
const total = { CRU: 4, SRU: 0, HRU: 0, MRU: 8 * GIB, IPV4U: 0 };
const Mac = '54:b2:03:00:00:01';

// A node is new to its chain once: each attempt has its own.
beforeEach(async () => {
  servers = [];
  total.SRU = 100 * GIB;
  stand = await ReportStand.open();
  const IPs = [{ IP: Uint8Array.of(10, 0, 0, 2), Mask: Uint8Array.of(255, 255, 255, 0) }];
  const { broker } = stand.redis;
  servers.push(
    await servePartly(broker, network, {
      Interfaces: () => ({ Interfaces: new Map([['zos', { Name: 'zos', IPs, Mac }]]) }),
    }),
  );
  servers.push(await servePartly(broker, statistics, { Total: () => total }));
}, 180_000);

afterEach(async () => {
  for (const server of servers) await server.stop();
  await stand?.close();
});

const uptimes = (): number[] => stand.eventsOf('NodeUptimeReported').map(({ data }) => Number(data[2]));

describe('noded', () => {
  const place = 'longitude=3.7,latitude=51,country=BE:Belgium,city=Gent';
  const flags = (): string[] => ['--farm', `${stand.farmId}`, '--location', place];

  it('waits for the twin, makes the node, and tells since when it runs', { timeout: 120_000 }, async () => {
    const child = await stand.start(NODED, flags(), 'node');
    const before = (await stand.node.account(stand.node.publicKey)).nonce;
    await sleep(1_000);
    // Nothing is sent, and paid for, before it can be taken.
    expect((await stand.node.account(stand.node.publicKey)).nonce).toBe(before);
    const twin = await stand.node.ensureTwin({ relay: 'relay.example' });
    await expect.poll(() => stand.node.nodeIdOf(twin), PATIENCE).toBeGreaterThan(0);
    const record = await stand.node.node((await stand.node.nodeIdOf(twin)) ?? 0);
    expect(record).toMatchObject({
      farmId: stand.farmId,
      resources: { cru: 4n, mru: BigInt(8 * GIB), sru: BigInt(100 * GIB), hru: 0n },
      location: { city: 'Gent', country: 'Belgium', latitude: '51', longitude: '3.7' },
      interfaces: [{ name: 'zos', mac: Mac, ips: ['10.0.0.2/24'] }],
    });
    await expect.poll(() => uptimes().length, PATIENCE).toBe(1);
    const running = Number.parseFloat(readFileSync('/proc/uptime', 'utf8'));
    expect(uptimes()[0]).toBeGreaterThan(running - 120);
    expect(uptimes()[0]).toBeLessThanOrEqual(running);
    await stand.end(child);
  });

  /** Starts it for the first time, until the chain has heard of it, and ends it. */
  const registered = async (): Promise<void> => {
    await stand.node.ensureTwin({ relay: 'relay.example' });
    const child = await stand.start(NODED, flags(), 'node');
    await expect.poll(() => uptimes().length, PATIENCE).toBe(1);
    await stand.end(child);
  };

  it('changes nothing that is as it should be, and one thing that is not, at its next start', {
    timeout: 180_000,
  }, async () => {
    await registered();
    const again = await stand.start(NODED, flags(), 'node');
    await expect.poll(() => uptimes().length, PATIENCE).toBe(2);
    await stand.end(again);
    expect(stand.eventsOf('NodeUpdated')).toEqual([]);
    total.SRU = 200 * GIB;
    const grown = await stand.start(NODED, flags(), 'node');
    await expect.poll(() => stand.eventsOf('NodeUpdated').length, PATIENCE).toBe(1);
    await expect.poll(() => uptimes().length, PATIENCE).toBe(3);
    await stand.end(grown);
  });

  it('writes nothing of the node without a farm, and tells its uptime when the chain is back', {
    timeout: 180_000,
  }, async () => {
    await registered();
    total.SRU = 300 * GIB;
    const comeBack = await stand.stopChain();
    const child = await stand.start(NODED, [], 'node');
    await sleep(3_000);
    await comeBack();
    await expect.poll(() => uptimes().length, PATIENCE).toBe(2);
    expect(stand.eventsOf('NodeUpdated')).toEqual([]);
    await stand.end(child);
  });
});
