/** noded with the chain: the node's record, and since when it runs. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { network } from '../../../modules/networkd/interface.ts';
import type { ZbusServer } from '../../../modules/zbus/server.ts';
import { statistics } from '../../../provision/interface.ts';
import { ReportStand, servePartly } from './stand.ts';

const PATIENCE = { timeout: 40_000 };
const NODED = 'modules/noded/main.ts';
const GIB = 1024 ** 3;

let stand: ReportStand;
const servers: ZbusServer[] = [];
const total = { CRU: 4, SRU: 100 * GIB, HRU: 0, MRU: 8 * GIB, IPV4U: 0 };
const Mac = '54:b2:03:00:00:01';

beforeAll(async () => {
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

afterAll(async () => {
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
    await new Promise((resolve) => setTimeout(resolve, 1_000));
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

  it('changes nothing that is as it should be, and one thing that is not, at its next start', {
    timeout: 120_000,
  }, async () => {
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
    timeout: 120_000,
  }, async () => {
    total.SRU = 300 * GIB;
    const away = stand.chainAway(4_000);
    const child = await stand.start(NODED, [], 'node');
    await away;
    await expect.poll(() => uptimes().length, PATIENCE).toBe(4);
    expect(stand.eventsOf('NodeUpdated')).toHaveLength(1);
    await stand.end(child);
  });
});
